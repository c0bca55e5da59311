"""A job of two parties and a dealer: what each believes, and what of the dealer's word counts."""

import pytest

from hansa.config.policy import Policy, Rule
from hansa.node.admin import views as job_views
from hansa.node.contracts.explain import openings_of
from hansa.node.worker.messages import Finished, Start
from hansa.protocols.wire.consent.terms import Dealer, Outputs

POLICY = Policy("refuse", (Rule("approve", peers=("bank", "bureau", "telecom")), Rule("approve", roles=("dealer",))))
NOTHING = {"rows": 0, "test_rows": 0}


def dealt(league, **changes):
    parties = league.contract().parties[:2]
    outputs = Outputs("label-owner", "owner", "all")
    fields = {
        "version": 2,
        "engine": "additive",
        "parties": parties,
        "openings": openings_of("train", "lr", outputs, parties, {}),
        "dealer": Dealer(league.identities[2], "telecom"),
    }
    return league.contract(**(fields | changes))


@pytest.fixture
def league_that_deals(league_of):
    scripts = {(2, attempt): [0.5, Finished(NOTHING, b"")] for attempt in range(3)}
    return lambda **more: league_of(policies=[POLICY] * 3, scripts=scripts | more.pop("scripts", {}), **more)


async def test_all_members_sign_run_and_are_told(autojump_clock, league_that_deals):
    async with league_that_deals() as league:
        job = (await league.jobs[0].submit(dealt(league))).record.job_id
        await league.settled(job, "done")
        assert sorted(league.starts) == [(rank, 0, -1) for rank in range(3)]
        starts = [league.workers[rank].start for rank in range(3)]
        assert all(isinstance(start, Start) and len(start.addresses) == 2 for start in starts)
        assert [bool(start.dataset) for start in starts] == [True, True, False]
        assert [league.jobs[r].context.model_file(job).exists() for r in range(3)] == [True, True, False]
        kinds = [[kind for kind, _ in audit.entries] for audit in league.audits]
        assert ["dealt" in kind for kind in kinds] == [False, False, True]
        started = [dict(audit.entries)["job-started"]["role"] for audit in league.audits]
        assert started == ["party", "party", "dealer"]


async def test_a_dealer_with_a_result_of_its_own_is_odd(autojump_clock, league_that_deals):
    scripts = {(2, 0): [0.5, Finished({"rows": 10, "test_rows": 2}, b"")]}
    async with league_that_deals(scripts=scripts) as league:
        job = (await league.jobs[0].submit(dealt(league))).record.job_id
        await league.settled(job, "failed")
        assert {error["message"] for error in league.errors(job)} == {"telecom finished the job with other rows"}


async def test_parties_with_different_rows_are_found_without_the_dealer(autojump_clock, league_that_deals):
    scripts = {(1, 0): [1.0, Finished({"rows": 9, "test_rows": 2}, b"")]}
    async with league_that_deals(scripts=scripts) as league:
        job = (await league.jobs[0].submit(dealt(league))).record.job_id
        await league.settled(job, "failed")
        errors = league.errors(job)
        assert errors[0] == errors[1] == errors[2]
        assert "finished the job with other rows" in errors[0]["message"]


async def test_a_dealer_that_dies_is_named_alike_and_may_come_back(autojump_clock, league_that_deals):
    async def die(worker):
        worker.die()

    scripts = {(2, 0): [0.7, die]}
    async with league_that_deals(scripts=scripts) as league:
        job = (await league.jobs[1].submit(dealt(league))).record.job_id
        await league.settled(job, "done")
        assert sorted(league.starts)[-1] == (2, 1, -1)
        said = [[e["text"] for e in jobs.context.events.history(job) if e["kind"] == "error"] for jobs in league.jobs]
        assert said[0] == said[1] == said[2]
        assert said[0][0].startswith("the worker of telecom died in step")


async def test_a_daemon_of_the_dealer_that_goes_away(autojump_clock, league_that_deals):
    async with league_that_deals() as league:
        job = (await league.jobs[1].submit(dealt(league))).record.job_id
        await league.until(lambda: len(league.starts) == 3)
        await league.kill(2)
        await league.until(lambda: league.states(job)[:2] == ["interrupted"] * 2, 10)
        errors = league.errors(job)
        assert errors[0] == errors[1]
        assert errors[0]["message"].startswith("the node of telecom went away")
        await league.start(2)
        await league.settled(job, "done")


async def test_views_name_the_dealer_and_what_it_is(autojump_clock, league_that_deals):
    async with league_that_deals() as league:
        league.policies[2] = Policy("ask")
        job = (await league.jobs[0].submit(dealt(league))).record.job_id
        await league.until(lambda: (record := league.record(2, job)) is not None and record.awaits_operator)
        approval = job_views.approval(league.jobs[2].get(job), league.now())
        assert approval["role"] == "dealer"
        assert approval["trust"][0].startswith("telecom deals random numbers")
        assert job_views.summary(league.jobs[0].get(job))["waiting_for"] == ["telecom"]
        *_, last = job_views.full(league.jobs[0].get(job))["parties"]
        assert (last["name"], last["role"], last["dataset"], last["consent"]) == ("telecom", "dealer", None, "waiting")


async def test_a_stranger_cannot_be_the_dealer(autojump_clock, league_that_deals):
    async with league_that_deals() as league:
        with pytest.raises(Exception, match="exchange is not a peer of this node"):
            await league.jobs[0].submit(dealt(league, dealer=Dealer(b"s" * 32, "exchange")))
