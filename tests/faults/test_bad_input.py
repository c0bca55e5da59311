"""Bad input at one party: one clear sentence, the same at every party, every daemon up and ready for the next job."""

import shutil

import pytest

from hansa.config.errors import ConfigError
from hansa.node.errors import UsageError


async def fails_alike(league, job_text, **changes):
    """Submit, and give the common error once every party has failed; then the daemons run the next job."""
    job = await league.submit(job_text("broken", **changes))
    await league.settled(job, "failed")
    return league.common_error(job)


def own_table(league, name):
    """A copy of a party's table that a test may spoil."""
    path = league.home / f"{name}-own.csv"
    shutil.copy(league.tables / f"{name}.csv", path)
    return path


async def with_spoilt(league, party, edit, change):
    path = own_table(league, party)
    await league.call(party, "data.remove", name="clients")
    await league.add_data(party, file=path)
    edit(path, change)


def set_cell(row, column, value):
    def change(rows):
        rows[row][column] = value

    return change


def duplicate_first(rows):
    rows.append(list(rows[1]))


def rename_column(rows):
    rows[0][1] = "renamed"


def other_keys(rows):
    for number, row in enumerate(rows[1:]):
        row[0] = f"x{number}"


def constant_label(rows):
    for row in rows[1:]:
        row[-1] = "1"


def odd_label(rows):
    rows[5][-1] = "2"


@pytest.mark.parametrize(
    ("party", "change", "words"),
    [
        ("bureau", set_cell(7, 1, "n.k."), ("bureau", "debt", "row 7")),
        ("telecom", set_cell(9, 2, ""), ("telecom", "roaming", "row 9")),
        ("bank", duplicate_first, ("bank", "same key")),
        ("bureau", rename_column, ("bureau", "debt")),
        ("telecom", other_keys, ("no key is common to all parties",)),
        ("bank", constant_label, ("bank", "label")),
        ("bank", odd_label, ("bank", "default")),
    ],
    ids=[
        "text cell",
        "missing cell",
        "duplicate keys",
        "changed schema",
        "no intersection",
        "constant label",
        "label 2",
    ],
)
@pytest.mark.slow
async def test_a_table_spoilt_after_it_was_added(league_of, job_text, edit, party, change, words):
    async with league_of() as league:
        await with_spoilt(league, party, edit, change)
        error = await fails_alike(league, job_text)
        for word in words:
            assert word in error["message"]
        assert str(league.home) not in error["message"]
        assert error["remedy"]
        assert all(daemon.jobs.registry.active == 0 for daemon in league.daemons.values())


@pytest.mark.parametrize(
    ("party", "cell", "section", "params", "words"),
    [
        (
            "bank",
            (4, 1, "-1"),
            'weight = "age"',
            "",
            ("bank: the weight 'age' is not from 0 to 128 in row", "bank-own.csv"),
        ),
        (
            "bank",
            (3, -1, "0.5"),
            "",
            'objective = "multi:softprob"\nnum_class = 2',
            ("bank: the label 'default' is not one",),
        ),
        ("bureau", (7, 1, ""), "", "", ("bureau: the column 'debt' is missing in row 7",)),
        ("bureau", (7, 1, "n.k."), "", "missing = true", ("bureau: the column 'debt' is not a number in row 7",)),
    ],
    ids=["negative weight", "no class", "missing cell", "text cell"],
)
@pytest.mark.slow
async def test_a_table_that_trees_cannot_take(league_of, job_text, edit, party, cell, section, params, words):
    """Told before anything is computed, with the remedy, and without a path of the institution's."""
    trees = job_text("broken").replace('"lr"', '"gbdt"')
    before, after = trees[: trees.index("[lr]")], trees[trees.index("[outputs]") :]
    after = after.replace('label = "default"', f'label = "default"\n{section}')
    async with league_of() as league:
        await with_spoilt(league, party, edit, set_cell(*cell))
        job = await league.submit(f"{before}[gbdt]\n{params}\n{after}")
        await league.settled(job, "failed")
        error = league.common_error(job)
        for word in words:
            assert word in error["message"]
        assert str(league.home) not in error["message"]
        assert ("missing = true" in error["remedy"]) == ("is missing" in error["message"])


async def test_a_missing_file_and_then_the_next_job(league_of, job_text):
    async with league_of() as league:
        path = own_table(league, "bureau")
        await league.call("bureau", "data.remove", name="clients")
        await league.add_data("bureau", file=path)
        hidden = path.rename(path.with_suffix(".hidden"))
        error = await fails_alike(league, job_text)
        assert error["fields"]["culprit"] == "bureau"
        assert "bureau-own.csv" in error["message"]
        hidden.rename(path)
        again = await league.submit(job_text("mended"), by="telecom")
        await league.settled(again, "done")


async def test_what_a_job_file_names_wrongly_is_told_at_once(league_of, job_text):
    async with league_of() as league:
        good = job_text()
        for text, words in [
            (good.replace('name = "telecom"', 'name = "telekom"'), "did you mean 'telecom'?"),
            (good.replace('dataset = "clients"', 'dataset = "client"', 1), "did you mean 'clients'?"),
            (good.replace('label = "default"', 'label = "defualt"'), "did you mean 'default'?"),
            (good.replace('label = "default"', 'label = "default"\ncolumns = ["agee"]'), "did you mean 'age'?"),
            (good.replace('label = "default"', 'label = "default"\ncolumns = ["id"]'), "is a key"),
            (good.replace('label = "default"', 'label = "id"'), "holds text"),
            (good[: good.rindex("[[party]]")], "takes 3 to 16 parties"),
        ]:
            with pytest.raises(UsageError, match=words.replace("?", r"\?").replace("(", r"\(")):
                await league.call("bank", "job.plan", file_text=text, file_name="job.toml")
        with pytest.raises(ConfigError, match="learning"):
            await league.call(
                "bank", "job.plan", file_text=good.replace("learning_rate", "learning"), file_name="j.toml"
            )


async def test_a_private_dataset_is_not_shown_to_peers(league_of, job_text):
    async with league_of() as league:
        await league.call("telecom", "data.remove", name="clients")
        await league.add_data("telecom", private=True)
        with pytest.raises(UsageError, match="telecom shows no dataset 'clients'"):
            await league.submit(job_text())


async def test_a_peer_that_is_away_cannot_be_planned_with(league_of, job_text):
    async with league_of() as league:
        await league.stop("telecom")
        with pytest.raises(UsageError, match="the node of telecom cannot be reached"):
            await league.submit(job_text())


async def test_a_policy_that_refuses_says_so_to_all(league_of, job_text):
    async with league_of() as league:
        (league.home / "telecom" / "policy.toml").write_text('default = "refuse"\n')
        job = await league.submit(job_text())
        await league.settled(job, "refused")
        assert "telecom refused the job: by policy" in league.common_error(job)["message"]


async def test_an_operator_is_asked_refuses_and_may_cancel(league_of, job_text):
    async with league_of() as league:
        (league.home / "telecom" / "policy.toml").write_text('default = "ask"\n')
        job = await league.submit(job_text())
        await league.settled(job, "proposed")
        status = await league.call("telecom", "node.status")
        assert [approval["job"] for approval in status["approvals"]] == [job]
        await league.call("telecom", "job.refuse", job=job, reason="not this quarter")
        await league.settled(job, "refused")
        assert league.common_error(job)["message"] == "telecom refused the job: not this quarter"

        second = await league.submit(job_text("second"))
        await league.settled(second, "proposed")
        await league.call("bank", "job.cancel", job=second, reason="a mistake")
        await league.settled(second, "cancelled")
        assert league.common_error(second)["message"] == "bank cancelled the job: a mistake"


async def test_an_unsigned_job_expires_alike(league_of, job_text):
    async with league_of(policy='default = "ask"\n') as league:
        job = await league.submit(job_text(expires="2s"))
        await league.settled(job, "expired")
        assert "expired before every party had signed" in league.common_error(job)["message"]
