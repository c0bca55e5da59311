"""Random numbers made ahead, over real daemons: made by all, used once, and nothing but time is different."""

import os
import shutil
import signal

import pytest
import trio

from hansa.node.correlations import store as correlations
from hansa.node.errors import UsageError

PAIR = ("bank", "bureau")
AMOUNTS = {"triples": 1, "bit_triples": 1, "bit_pairs": 1, "dabits": 1}


def job_text(parties):
    sections = "".join(
        f'[[party]]\nname = "{party}"\ndataset = "clients"\n' + ('label = "default"\n' if party == "bank" else "")
        for party in parties
    )
    return (
        'name = "alone"\npurpose = "predict default"\nalgorithm = "lr"\nseed = "' + "00" * 16 + '"\n'
        f"[lr]\nepochs = 1\nbatch_size = 64\nlearning_rate = 0.5\n{sections}"
    )


def files(league, name):
    return sorted((league.home / name / "correlations").glob("*/*/*"))


async def ended(league, job, state, names=PAIR):
    def states():
        return [found.record.state.value if (found := league.job(name, job)) else None for name in names]

    with trio.fail_after(120):
        while states() != [state] * len(names):
            assert not {"failed", "refused", "done"} - {state} & set(states()), [
                league.job(name, job).record.error for name in names
            ]
            await trio.sleep(0.05)
    return [league.job(name, job).record for name in names]


async def make(league, peers, amounts=AMOUNTS, by="bank"):
    return (await league.call(by, "correlations.make", peers=list(peers), amounts=amounts))["job"]


async def test_two_nodes_make_list_and_use(league_of):
    async with league_of() as league:
        first = await ended(league, await league.submit(job_text(PAIR)), "done")
        job = await make(league, PAIR[1:])
        records = await ended(league, job, "done")
        assert [record.result["made"] for record in records] == [
            {"triples": 1 << 16, "bit_triples": 1 << 20, "bit_pairs": 1 << 20, "dabits": 1 << 16}
        ] * 2
        for name, other in (PAIR, PAIR[::-1]):
            (listed,) = await league.call(name, "correlations.list")
            assert listed["peers"] == [other]
            assert listed["amounts"] == records[0].result["made"]
            assert len(files(league, name)) == 4
            assert not list((league.home / name / "jobs").glob("*/making-*"))
        assert await league.call("telecom", "correlations.list") == []
        second = await ended(league, await league.submit(job_text(PAIR)), "done")
        for before, after in zip(first, second, strict=True):
            assert not any(before.result["stored"].values())
            assert after.result["drawn"] == before.result["drawn"]
            assert {kind for kind, n in after.result["stored"].items() if n} == {
                w for w, n in after.result["drawn"].items() if n
            }
            assert 0 < after.result["preprocessing"]["seconds"] < after.result["seconds"]
            assert after.result["preprocessing"]["bytes_sent"] < before.result["preprocessing"]["bytes_sent"]
            if before.result["metrics"]:
                assert after.result["metrics"]["auc"] == pytest.approx(before.result["metrics"]["auc"], abs=1e-3)
        used = {kind for kind, n in second[0].result["stored"].items() if n}
        for name in PAIR:
            assert {path.name.partition("-")[0] for path in files(league, name)} == set(AMOUNTS) - used
        like = await league.call("bank", "correlations.make", peers=[], amounts={}, like=second[0].short)
        (again, _) = await ended(league, like["job"], "done")
        assert set(again.result["made"]) == set(second[0].result["drawn"])
        assert (await league.call("bureau", "correlations.drop", peers=["bank"]))["sets"] == 1
        assert files(league, "bureau") == []


@pytest.mark.slow
async def test_a_copy_put_back_finds_nobody_to_use_it_with(league_of, tmp_path):
    async with league_of() as league:
        await ended(league, await make(league, PAIR[1:]), "done")
        shutil.copytree(league.home / "bank" / "correlations", tmp_path / "copy")
        first = await ended(league, await league.submit(job_text(PAIR)), "done")
        assert any(first[0].result["stored"].values())
        shutil.copytree(tmp_path / "copy", league.home / "bank" / "correlations", dirs_exist_ok=True)
        second = await ended(league, await league.submit(job_text(PAIR)), "done")
        assert not any(second[0].result["stored"].values())


@pytest.mark.parametrize(
    "how", ["changed", *(pytest.param(how, marks=pytest.mark.slow) for how in ("swapped", "foreign"))]
)
async def test_a_file_that_is_not_what_it_should_be_is_the_same_error_everywhere(league_of, how):
    async with league_of() as league:
        await ended(league, await make(league, PAIR[1:], AMOUNTS | {"bit_triples": 1 << 21}), "done")
        if how == "foreign":
            await ended(league, await make(league, ("telecom",)), "done", ("bank", "telecom"))
        mine = correlations.store_folder(
            league.home / "bank", [league.daemons[name].node.identity.public for name in PAIR]
        )
        for path in list(mine.glob("*/*")):
            kind, _, place = path.name.partition("-")
            if how == "changed":
                body = bytearray(path.read_bytes())
                body[100] ^= 1
                path.write_bytes(body)
            elif how == "swapped" and kind == "bit_triples" and place == "1":
                path.rename(path.with_name("bit_triples-0"))
            elif how == "foreign":
                found = (league.home / "bank" / "correlations").glob(f"*/*/{kind}-0")
                (other,) = (path for path in found if path.parent.parent != mine)
                path.write_bytes(other.read_bytes())
        with trio.fail_after(60):
            bank, bureau = await ended(league, await league.submit(job_text(PAIR)), "failed")
        assert bank.error == bureau.error
        assert bank.error["code"] == "data"
        assert bank.error["message"].startswith("bank: the correlations made ahead with bureau cannot be used")
        assert bank.error["fields"]["culprit"] == "bank"
        assert bank.error["fields"]["step"]
        assert "hansa correlations drop" in bank.error["remedy"]
        assert str(league.home) not in bank.error["message"]


async def test_policies_bounds_and_room(league_of):
    async with league_of(data=False) as league:
        home = league.home / "bureau"
        (home / "policy.toml").write_text(
            'default = "refuse"\n[[rule]]\naction = "approve"\nkinds = ["correlations"]\nmax_mb = 4\n'
            '[[rule]]\naction = "ask"\nkinds = ["correlations"]\nmax_mb = 30\n'
        )
        await ended(league, await make(league, PAIR[1:]), "done")
        (bank, _) = await ended(league, await make(league, PAIR[1:], {"triples": 20_000_000}), "refused")
        assert "its default says refuse" in bank.error["message"]
        asked = await make(league, PAIR[1:], {"triples": 1_000_000})
        with trio.fail_after(20):
            while not ((found := league.job("bureau", asked)) and found.record.awaits_operator):
                await trio.sleep(0.05)
        with pytest.raises(UsageError, match="makes correlations in another job already"):
            await make(league, ("telecom",))
        await league.call("bureau", "job.refuse", job=asked, reason="not now")
        await ended(league, asked, "refused")
        with pytest.raises(UsageError, match="it would take 25770 MB, and this node has room for 20"):
            await make(league, PAIR[1:], {"triples": 2**30})
        with pytest.raises(UsageError, match="'dabits' must be a number from 0 to 10,000,000,000"):
            await make(league, PAIR[1:], {"dabits": 10**10 + 1})
        with pytest.raises(UsageError, match="nothing to make"):
            await make(league, PAIR[1:], {})
        with pytest.raises(UsageError, match="no peer is named"):
            await make(league, [])


async def at_step(league, job, step, name):
    with trio.fail_after(60):
        while (found := league.job(name, job)) is None or found.record.step != step or found.running is None:
            await trio.sleep(0.002)


@pytest.mark.slow
async def test_a_worker_killed_while_it_makes(league_of):
    async with league_of(data=False) as league:
        job = await make(league, PAIR[1:], {"bit_triples": 20 << 20})
        with trio.fail_after(60):
            while not list((league.home / "bureau" / "jobs").glob("*/making-0/bit_triples-5")):
                await trio.sleep(0.002)
        os.kill(league.worker("bureau", job), signal.SIGKILL)
        records = await ended(league, job, "done")
        assert {record.attempt for record in records} == {1}
        lying = [[(path.parent.name, path.name) for path in files(league, name)] for name in PAIR]
        assert lying[0] == lying[1]
        assert len(lying[0]) == 20
        for name in PAIR:
            assert not list((league.home / name / "jobs").glob("*/making-*"))


@pytest.mark.slow
async def test_a_worker_killed_while_it_uses_them(league_of):
    """What it had burnt is lost to all; the job is taken up with what is left, and its result is right."""
    async with league_of() as league:
        await ended(league, await make(league, PAIR[1:], AMOUNTS | {"bit_triples": 8 << 20}), "done")
        before = {name: len(files(league, name)) for name in PAIR}
        job = await league.submit(job_text(PAIR).replace("epochs = 1", "epochs = 60"))
        await at_step(league, job, "train", "bureau")
        with trio.fail_after(60):
            while len(files(league, "bureau")) == before["bureau"]:
                await trio.sleep(0.001)
        os.kill(league.worker("bureau", job), signal.SIGKILL)
        records = await ended(league, job, "done")
        assert records[0].attempt == 1
        assert records[0].result["metrics"]["auc"] > 0.85
        assert [record.result["stored"] for record in records] == [records[0].result["stored"]] * 2
        assert records[0].result["stored"]["bit_triples"]


@pytest.mark.slow
async def test_two_jobs_at_the_same_time_share_no_parcel(league_of):
    async with league_of() as league:
        await ended(league, await make(league, PAIR[1:], {"bit_triples": 16 << 20}), "done")
        text = job_text(PAIR).replace("epochs = 1", "epochs = 10")
        jobs = [await league.submit(text), await league.submit(text.replace("alone", "second"), by="bureau")]
        results = [await ended(league, job, "done") for job in jobs]
        used = [[record.result["stored"]["bit_triples"] for record in records] for records in results]
        assert [a == b > 0 for a, b in used] == [True, True]
        left = [[(path.parent.name, path.name) for path in files(league, name)] for name in PAIR]
        assert left[0] == left[1]  # neither wasted any
        assert len(left[0]) + sum(a >> 20 for a, _ in used) == 16
        for records in results:
            assert records[0].result["metrics"]["auc"] > 0.85
