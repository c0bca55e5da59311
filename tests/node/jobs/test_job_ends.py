"""A job that ends at any moment: no worker runs on, and every party holds the same state."""

import pytest
import trio

from hansa.config.policy import Policy
from hansa.node.worker.messages import Stepped
from hansa.protocols.wire.consent.statements import ResumeOffer
from hansa.protocols.wire.messages import JobDone


async def forever(worker):
    await trio.sleep_forever()


async def die(worker):
    worker.die()


def never_done(league, attempts=2):
    for rank in range(3):
        for attempt in range(attempts):
            league.scripts[rank, attempt] = [Stepped("train", 0, 1, 1, 1, 1), forever]


async def ended(league, job_id, state="cancelled"):
    """All parties hold the state, every worker has ended, and both stay so."""
    await league.settled(job_id, state)
    await league.until(lambda: not league.working, seconds=5)
    await trio.sleep(60)
    assert league.states(job_id) == [state] * 3
    assert not league.working


async def test_a_cancel_in_the_tick_after_the_commit_stops_the_attempt(autojump_clock, league_of):
    async with league_of() as league:
        never_done(league)
        league.policies = [*league.policies[:2], Policy("ask")]
        job = await league.jobs[0].submit(league.contract())
        job_id = job.record.job_id
        await league.until(lambda: (r := league.record(2, job_id)) is not None and r.awaits_operator)
        last = league.jobs[2].get(job_id)
        await last.approve()
        assert last.record.state == "running"
        await last.cancel("not this one")
        await ended(league, job_id)


@pytest.mark.parametrize("rank", range(3))
async def test_a_cancel_in_the_tick_after_a_resume_stops_the_new_attempt(autojump_clock, league_of, rank):
    async with league_of() as league:
        never_done(league)
        job = await league.jobs[0].submit(league.contract())
        job_id = job.record.job_id

        async def cancel_once_resumed(at, message):
            record = league.record(rank, job_id)
            if at == rank and isinstance(message, ResumeOffer) and record.attempt == 1 and record.state == "running":
                await league.jobs[rank].get(job_id).cancel("not once more")

        league.after = cancel_once_resumed
        await league.until(lambda: len(league.working) == 3)
        league.workers[1].die()
        await ended(league, job_id)


@pytest.mark.parametrize("rank", range(3))
async def test_a_party_that_is_ready_last_still_hears_the_others(autojump_clock, league_of, rank):
    """It takes the job up at once, with the offers that came early: what fails later fails at it too."""
    async with league_of(lingers={rank: 1.9}) as league:
        never_done(league, attempts=3)
        await league.jobs[0].submit(league.contract())
        await league.until(lambda: len(league.working) == 3)
        league.workers[(rank + 1) % 3].die()
        await league.until(lambda: sorted(league.working) == [(0, 1), (1, 1), (2, 1)])
        league.workers[(rank + 2) % 3].die()
        await league.until(lambda: sorted(league.working) == [(0, 2), (1, 2), (2, 2)], seconds=20)


@pytest.mark.parametrize("k", range(1, 23, 3))
async def test_a_cancel_after_any_message_ends_the_job_alike_everywhere(autojump_clock, league_of, k):
    """One party cancels in the tick in which it has handled its k-th message; one worker of the first attempt dies."""
    async with league_of() as league:
        league.scripts[1, 0] = [Stepped("train", 0, 1, 1, 1, 1), 0.1, die]
        rank, heard, cancelled = k // 3 % 3, 0, False
        job = await league.jobs[0].submit(league.contract())
        job_id = job.record.job_id

        async def cancel(at, message):
            nonlocal heard, cancelled
            heard += at == rank
            if at == rank and heard == k and not league.record(rank, job_id).state.final:
                cancelled = True
                await league.jobs[rank].get(job_id).cancel("enough")

        league.after = cancel
        await league.until(lambda: (r := league.record(rank, job_id)) is not None and r.state.final)
        await trio.sleep(10)
        await ended(league, job_id, league.record(rank, job_id).state)
        assert cancelled


async def test_a_cancel_in_the_tick_of_the_last_result_does_not_take_the_results_back(autojump_clock, league_of):
    """The others are done by then, and stay so."""
    async with league_of() as league:
        job = await league.jobs[0].submit(league.contract())
        job_id = job.record.job_id

        async def cancel(at, message):
            record = league.record(1, job_id)
            if at == 1 and isinstance(message, JobDone) and record.done_by_all(0) and record.state == "running":
                await league.jobs[1].get(job_id).cancel("too late")

        league.after = cancel
        await ended(league, job_id, "done")
        assert [kind for kind, _ in league.audits[1].entries[-2:]] == ["job-cancelled", "job-done"]


async def test_what_a_worker_was_given_goes_with_its_attempt(autojump_clock, league_of):
    """A job is remembered for long: the keys and the sealed model of its attempt are not."""
    async with league_of() as league:
        job = await league.jobs[0].submit(league.contract())
        job_id = job.record.job_id
        await league.settled(job_id, "done")
        await trio.sleep(1)
        assert [league.jobs[rank].get(job_id)._attempt for rank in range(3)] == [None] * 3


async def test_a_peer_that_goes_while_an_attempt_closes_is_told_to_the_next_job(autojump_clock, league_of):
    async with league_of() as league:
        never_done(league)
        job = await league.jobs[0].submit(league.contract())
        job_id = job.record.job_id
        await league.until(lambda: len(league.working) == 3)
        attempt = league.jobs[0].get(job_id).running
        attempt._nursery.cancel_scope.cancel()
        await trio.lowlevel.checkpoint()
        league.up[1] = False
        attempt.peer_down(league.identities[1])  # a closed nursery would raise
        league.up[1] = True


async def test_an_end_is_on_record_and_told_even_if_tidying_fails(autojump_clock, league_of, monkeypatch):
    async with league_of() as league:
        league.policies = [*league.policies[:2], Policy("ask")]
        job = await league.jobs[0].submit(league.contract())
        job_id = job.record.job_id
        await league.until(lambda: (r := league.record(2, job_id)) is not None and r.awaits_operator)

        def full(self):
            raise OSError("no space left on device")

        monkeypatch.setattr(type(job), "_tidy", full)
        with pytest.raises(OSError, match="no space"):
            await job.cancel("not this one")
        monkeypatch.undo()
        assert "job-cancelled" in [kind for kind, _ in league.audits[0].entries]
        await league.until(lambda: league.record(2, job_id).state == "cancelled")


async def test_a_start_that_is_not_written_down_can_still_be_cancelled(autojump_clock, league_of, monkeypatch):
    async with league_of() as league:
        never_done(league)
        league.policies = [*league.policies[:2], Policy("ask")]
        job = await league.jobs[0].submit(league.contract())
        job_id = job.record.job_id
        await league.until(lambda: (r := league.record(2, job_id)) is not None and r.awaits_operator)
        last, tidied = league.jobs[2].get(job_id), []
        save = type(last).save

        def full(self):
            if self is last and self.record.state == "running":
                raise OSError("no space left on device")
            save(self)

        monkeypatch.setattr(type(last), "save", full)

        def tidy(self):
            tidied.append(self)

        monkeypatch.setattr(type(last), "_tidy", tidy)
        with pytest.raises(OSError, match="no space"):
            await last.approve()
        monkeypatch.setattr(type(last), "save", save)
        await last.cancel("after all")
        assert last.record.state == "cancelled"
        assert last in tidied
