"""Making correlations as a job: agreed to, bounded, published by all or by nobody; and proposed when nothing else is done."""

import dataclasses
from pathlib import Path

import pytest

from hansa.config.policy import Policy, Rule
from hansa.node.contracts.policy_match import decide
from hansa.node.correlations import store
from hansa.node.correlations.idle import IDLE_S, IdlePreprocessing
from hansa.node.correlations.propose import preprocessing_contract
from hansa.node.errors import UsageError
from hansa.node.worker.messages import Broke, Finished, Stepped
from hansa.protocols.errors import ConsentError
from hansa.protocols.mpc.additive.stored.kinds import STORED_KINDS, ParcelId
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.terms import Dealer, Opening

NAMES = ("bank", "bureau", "telecom")
AMOUNTS = {"triples": 1, "bit_triples": 100}
DRAWN = {"bit_triples": 2_000_000, "dabits": 64}


def contract_of(league, amounts=AMOUNTS):
    return preprocessing_contract(dict(zip(league.identities, NAMES, strict=True)), amounts, now=league.now())


async def leave_a_parcel(worker):
    """What a worker leaves of its attempt, but for what is in it."""
    folder = store.preprocessing_folder(Path(worker.start.folder), worker.start.attempt)
    folder.mkdir(parents=True)
    (folder / "triples-0").write_bytes(b"sealed")


def steps(made=None):
    return [Stepped("make", 0, 2, 1, 1, 1), leave_a_parcel, 0.5, Finished({"rows": 0, "made": made or AMOUNTS}, b"")]


def stores_of(league):
    return [store.store_folder(home, league.identities) for home in league.homes]


async def test_every_party_publishes_the_same_batch_when_all_have_made_it(autojump_clock, league_of):
    async with league_of() as league:
        league.scripts = {(rank, 0): steps() for rank in range(3)}
        job = await league.jobs[1].submit(contract_of(league))
        await league.settled(job.record.job_id, "done")
        names = [place.name for place in stores_of(league)]
        assert names == [names[0]] * 3
        batch = store.batch_of(job.record.job_id, 0)
        for place, home in zip(stores_of(league), league.homes, strict=True):
            assert list(store.files_in(place)) == [("triples", ParcelId(batch, 0), place / batch.hex() / "triples-0")]
            assert store.members(place) == sorted(league.identities)
            assert not list(home.glob("jobs/*/making-*"))
        starts = [league.workers[rank].start for rank in range(3)]
        assert [start.correlation_store for start in starts] == [str(place) for place in stores_of(league)]
        assert all(start.correlation_key and start.dataset == {} for start in starts)


async def test_what_a_lost_attempt_made_is_burnt_and_the_next_ones_kept(autojump_clock, league_of):
    async with league_of() as league:

        async def die(worker):
            worker.die()

        league.scripts = {(rank, attempt): steps() for rank in range(3) for attempt in range(3)}
        league.scripts[2, 0] = [Stepped("make", 0, 2, 1, 1, 1), leave_a_parcel, 0.1, die]
        job = await league.jobs[0].submit(contract_of(league))
        await league.settled(job.record.job_id, "done")
        attempt = league.record(0, job.record.job_id).attempt
        assert attempt > 0
        for place, home in zip(stores_of(league), league.homes, strict=True):
            assert [path.parent.name for _, _, path in store.files_in(place)] == [
                store.batch_of(job.record.job_id, attempt).hex()
            ]
            assert not list(home.glob("jobs/*/making-*"))


async def test_what_a_failed_or_cancelled_job_made_is_burnt_by_all(autojump_clock, league_of):
    async with league_of() as league:
        league.scripts = {(rank, 0): steps() for rank in range(3)}
        broke = Broke(1, league.identities[1], "make", {"code": "data", "exit_code": 4, "message": "m", "remedy": "r"})
        league.scripts[1, 0] = [leave_a_parcel, 0.2, broke]
        job = await league.jobs[0].submit(contract_of(league))
        await league.settled(job.record.job_id, "failed")
        league.scripts = {(rank, 0): [leave_a_parcel, 500.0] for rank in range(3)}
        job = await league.jobs[0].submit(contract_of(league))
        await league.settled(job.record.job_id, "running")
        await league.until(lambda: len(list(league.homes[0].glob("jobs/*/making-0/*"))) == 1)
        await league.jobs[0].find(job.record.short).cancel("enough")
        await league.settled(job.record.job_id, "cancelled")
        for place, home in zip(stores_of(league), league.homes, strict=True):
            assert not place.exists()
            assert not list(home.glob("jobs/*/making-*"))


async def test_one_at_a_time_and_within_the_room(autojump_clock, league_of):
    async with league_of() as league:
        league.scripts = {(rank, 0): [leave_a_parcel, 20.0, *steps()[2:]] for rank in range(3)}
        first = await league.jobs[0].submit(contract_of(league))
        await league.settled(first.record.job_id, "running")
        with pytest.raises(UsageError, match="makes correlations in another job already"):
            await league.jobs[1].submit(contract_of(league))
        await league.settled(first.record.job_id, "done")
        for jobs in league.jobs:
            jobs.context.max_correlations_mb = 2
        league.jobs[0].context.max_correlations_mb = 10**6
        second = await league.jobs[0].submit(contract_of(league, {"triples": 1 << 17}))
        await league.until(lambda: league.states(second.record.job_id) == ["refused"] * 3)
        assert "it would take 3 MB, and this node has room for 2" in league.errors(second.record.job_id)[0]["message"]


def test_what_such_a_contract_may_say():
    good = preprocessing_contract({b"a" * 32: "bank", b"b" * 32: "bureau"}, AMOUNTS, now=1_800_000_000)
    assert Contract.decode_untrusted(good.encode()) == good
    assert good.params == {"triples": 1, "bit_triples": 100, "bit_pairs": 0, "dabits": 0}
    one, two = good.parties
    cases = [
        ({"params": dict.fromkeys(STORED_KINDS, 0)}, "makes nothing"),
        ({"parties": (dataclasses.replace(one, dataset="clients"), two)}, "makes correlations, and names data"),
        ({"parties": (dataclasses.replace(one, columns=("age",)), two)}, "makes correlations, and names data"),
        ({"parties": (dataclasses.replace(one, label="y"), two)}, "makes correlations, and names data"),
        ({"model": b"m" * 32}, "makes correlations, and names data"),
        ({"openings": (Opening("x", (0,), "x"),)}, "makes correlations, and opens something"),
        ({"dealer": Dealer(b"d" * 32, "dealer")}, "only additive without a dealer takes them"),
        (
            {"algorithm": "lr", "params": {"epochs": 1, "batch_size": 1, "learning_rate": 1.0, "l2": 0.0}},
            "not of its kind",
        ),
        ({"kind": "train"}, "not of its kind"),
    ]
    for change, why in cases:
        with pytest.raises(ConsentError, match=why):
            Contract.decode_untrusted(dataclasses.replace(good, **change).encode())


@pytest.mark.parametrize("amounts", [{"triples": -1}, {"triples": 10**10 + 1}, {"triples": 1.5}, {"other": 1}])
def test_amounts_that_cannot_be(amounts):
    with pytest.raises(UsageError, match=f"'{next(iter(amounts))}' must be a number from 0 to"):
        preprocessing_contract({b"a" * 32: "bank", b"b" * 32: "bureau"}, amounts, now=0)


@pytest.mark.parametrize(
    ("rule", "action"),
    [
        (Rule("approve", kinds=("correlations",)), "approve"),
        (Rule("refuse", kinds=("correlations",)), "refuse"),
        (Rule("approve", kinds=("train",)), "ask"),
        (Rule("approve", max_mb=2), "approve"),
        (Rule("approve", max_mb=1), "ask"),
        (Rule("approve", datasets=("clients",)), "approve"),
        (Rule("approve", peers=("bureau",)), "approve"),
        (Rule("approve", peers=("telecom",)), "ask"),
    ],
)
def test_policies(rule, action):
    me, other = b"a" * 32, b"b" * 32
    contract = preprocessing_contract({me: "bank", other: "bureau"}, AMOUNTS, now=0)
    assert decide(Policy("ask", (rule,)), contract, me, {other: "bureau"}).action == action


def test_a_bound_in_megabytes_is_no_bound_for_other_jobs():
    me, other = b"a" * 32, b"b" * 32
    much = preprocessing_contract({me: "bank", other: "bureau"}, {"triples": 10**9}, now=0)
    for kind, action in (("correlations", "ask"), ("train", "approve")):
        contract = dataclasses.replace(much, kind=kind)
        assert decide(Policy("ask", (Rule("approve", max_mb=1),)), contract, me, {other: "bureau"}).action == action


def idle_at(league, rank):
    jobs = league.jobs[rank]
    context = jobs.context
    return IdlePreprocessing(
        home=context.home,
        me=context.me,
        names=lambda: {**context.peer_names(), context.me: context.name},
        online=context.mesh.online,
        records=lambda: [job.record for job in jobs.all()],
        submit=jobs.submit,
        now=context.now,
    )


def preprocessings(league, rank):
    return [job.record for job in league.jobs[rank].all() if job.record.contract.kind == "correlations"]


async def test_when_idle_the_proposer_of_the_last_job_has_made_what_it_used(autojump_clock, league_of):
    async with league_of() as league:
        used = [*league.honest()[:-1], Finished({"rows": 10, "test_rows": 2, "drawn": DRAWN}, b"sealed model")]
        league.scripts = {(rank, 0): used for rank in range(3)}
        train = await league.jobs[1].submit(league.contract(version=2, engine="additive"))
        await league.settled(train.record.job_id, "done")
        await idle_at(league, 1).look()
        assert preprocessings(league, 1) == []  # it is not idle yet
        league.scripts = {(rank, 0): steps(DRAWN) for rank in range(3)}
        league.clock += IDLE_S
        for rank in (0, 2, 1):
            await idle_at(league, rank).look()
            assert len(preprocessings(league, rank)) == (rank == 1)
        (made,) = preprocessings(league, 1)
        assert made.contract.params == {"triples": 0, "bit_pairs": 0, **DRAWN}
        await league.settled(made.job_id, "done")
        league.clock += IDLE_S
        await idle_at(league, 1).look()
        assert len(preprocessings(league, 1)) == 1  # once a job, whatever came of it


async def test_when_idle_what_lies_there_is_not_made_again(autojump_clock, league_of):
    async with league_of() as league:
        used = [*league.honest()[:-1], Finished({"rows": 10, "test_rows": 2, "drawn": DRAWN}, b"sealed model")]
        league.scripts = {(rank, 0): used for rank in range(3)}
        train = await league.jobs[0].submit(league.contract(version=2, engine="additive"))
        await league.settled(train.record.job_id, "done")
        batch = stores_of(league)[0] / (b"b" * 16).hex()
        batch.mkdir(parents=True)
        for name in ("bit_triples-0", "bit_triples-1", "dabits-0"):
            (batch / name).write_bytes(b"sealed")
        league.clock += IDLE_S
        await idle_at(league, 0).look()
        assert preprocessings(league, 0) == []
        (batch / "dabits-0").unlink()
        full = idle_at(league, 0)
        league.jobs[0].context.max_correlations_mb = 0
        with pytest.raises(UsageError, match="room for 0\n  next: see `hansa correlations list`"):
            await full.look()
        await full.look()  # and it does not ask again
        league.jobs[0].context.max_correlations_mb = 100
        await idle_at(league, 0).look()
        assert preprocessings(league, 0)[0].contract.params == {
            "triples": 0,
            "bit_triples": 0,
            "bit_pairs": 0,
            "dabits": 64,
        }
