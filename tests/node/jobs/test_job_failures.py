"""Losses and errors: the same error at every party within seconds, and the job taken up again where it can be."""

import pytest
import trio

from hansa.algorithms.errors import DataError
from hansa.node.jobs.lifecycle import MAX_ATTEMPTS
from hansa.node.worker.messages import Broke, Finished, Stepped
from hansa.node.worker.verdict import judge
from hansa.protocols.errors import PeerLost

STEPS = ("align", "train", "evaluate")


def broke(league, rank, error, step):
    parties = dict(zip(league.identities, ("bank", "bureau", "telecom"), strict=True))
    verdict = judge(error, me=league.identities[rank], parties=parties, step=step, job="j")
    return Broke(int(verdict.priority), verdict.culprit, verdict.step, verdict.error)


def working(step):
    return [Stepped(step, 0, 1, 1, 1, 1), 600]


async def running(league, step="train", **changes):
    for rank in range(3):
        league.scripts.setdefault((rank, 0), working(step))
    job = await league.jobs[0].submit(league.contract(**changes))
    await league.until(lambda: all((r := league.record(i, job.record.job_id)) and r.step == step for i in range(3)))
    return job.record.job_id


def same_error(league, job_id):
    errors = league.errors(job_id)
    assert errors[0] is not None
    assert errors == [errors[0]] * 3
    return errors[0]


async def test_a_bad_cell_at_one_party_fails_the_job_alike_everywhere(autojump_clock, league_of):
    async with league_of() as league:
        error = DataError(
            "/srv/x.csv: row 7 has no number", remedy="correct it", file="/srv/x.csv", column="age", row=7
        )
        league.scripts[1, 0] = [Stepped("read", 0, 0, 0, 0, 0), broke(league, 1, error, "read"), 600]
        league.scripts[0, 0] = league.scripts[2, 0] = working("align")
        job = await league.jobs[0].submit(league.contract())
        began = trio.current_time()
        await league.settled(job.record.job_id, "failed")
        assert trio.current_time() - began < 5
        common = same_error(league, job.record.job_id)
        assert common["code"] == "data"
        assert common["message"] == "bureau: x.csv: row 7 has no number"
        assert common["fields"]["culprit"] == "bureau"
        assert league.jobs[0].active == 0


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("victim", [0, 2])
async def test_a_dead_worker_is_named_by_its_own_daemon_and_the_job_resumes(autojump_clock, league_of, step, victim):
    async with league_of() as league:
        other = (victim + 1) % 3
        lost = broke(league, other, PeerLost("reset", remedy="r", peer=victim), step)
        dead = trio.Event()
        league.scripts[victim, 0] = working(step)
        league.scripts[other, 0] = [Stepped(step, 0, 1, 1, 1, 1), lambda worker: dead.wait(), lost, 600]
        job_id = await running(league, step)
        seen = []
        dead.set()
        league.workers[victim].die()
        await league.until(
            lambda: league.states(job_id) == ["interrupted"] * 3 or league.states(job_id) == ["done"] * 3
        )
        for rank in range(3):
            history = league.jobs[rank].context.events.history(job_id)
            seen.append([event["text"] for event in history if event["kind"] == "error"])
        name = ("bank", "bureau", "telecom")[victim]
        assert seen == [[f"the worker of {name} died in step '{step}': killed by signal 9 (SIGKILL)"]] * 3
        await league.settled(job_id, "done")
        assert sorted(start[:2] for start in league.starts) == [(r, a) for r in range(3) for a in range(2)]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("victim", [0, 1])
async def test_a_dead_daemon_interrupts_and_its_return_resumes(autojump_clock, league_of, step, victim):
    async with league_of() as league:
        job_id = await running(league, step)
        await league.kill(victim)
        alive = [rank for rank in range(3) if rank != victim]
        await league.until(lambda: all(league.record(r, job_id).state == "interrupted" for r in alive), seconds=10)
        errors = [league.record(rank, job_id).error for rank in alive]
        assert errors[0] == errors[1]
        name = ("bank", "bureau", "telecom")[victim]
        assert errors[0]["message"] == f"the node of {name} went away in step '{step}'"
        await trio.sleep(30)
        assert all(league.record(r, job_id).state == "interrupted" for r in alive)
        await league.start(victim)
        await league.settled(job_id, "done")
        assert {attempt for _, attempt, _ in league.starts} == {0, 1}


async def test_all_three_daemons_die_and_come_back(autojump_clock, league_of):
    async with league_of() as league:
        job_id = await running(league)
        for rank in range(3):
            await league.kill(rank)
        for rank in range(3):
            await league.start(rank)
        await league.settled(job_id, "done")


async def test_two_daemons_part_and_meet_again(autojump_clock, league_of):
    async with league_of() as league:
        job_id = await running(league)
        await league.part(0, 2)
        await league.settled(job_id, "interrupted")
        same_error(league, job_id)
        await trio.sleep(100)
        assert len(league.starts) == 3
        await league.heal()
        await league.settled(job_id, "done")


async def test_a_blink_of_a_control_connection_is_no_failure(autojump_clock, league_of):
    async with league_of() as league:
        league.scripts = {(rank, 0): [2, *league.honest()] for rank in range(3)}
        job = await league.jobs[0].submit(league.contract())
        await league.settled(job.record.job_id, "running")
        await league.part(0, 1)
        await trio.sleep(0.3)
        await league.heal()
        await league.settled(job.record.job_id, "done")
        assert {attempt for _, attempt, _ in league.starts} == {0}


async def test_the_last_common_checkpoint_is_taken_up(autojump_clock, league_of):
    async with league_of() as league:
        job_id = await running(league)
        for rank, epochs in enumerate([(1, 2, 3), (1, 2), (2, 3)]):
            folder = league.jobs[rank].context.folder(job_id)
            folder.mkdir(parents=True)
            for epoch in epochs:
                (folder / f"checkpoint-0-{epoch}.sealed").write_bytes(b"x")
        league.workers[1].die()
        await league.settled(job_id, "done")
        assert sorted(start for start in league.starts if start[1] == 1) == [(rank, 1, 2) for rank in range(3)]


async def test_an_interrupted_job_fails_when_its_contract_expires(autojump_clock, league_of):
    async with league_of() as league:
        job_id = await running(league)
        await league.kill(2)
        await league.until(lambda: league.states(job_id)[:2] == ["failed"] * 2, seconds=4000)
        errors = [league.record(rank, job_id).error["message"] for rank in range(2)]
        assert (
            errors
            == ["the node of telecom went away in step 'train'; its contract expired before all parties were back"] * 2
        )
        await league.start(2)
        await league.until(lambda: league.record(2, job_id).state == "failed", seconds=10)
        assert league.record(2, job_id).error["message"] == errors[0]


async def test_a_worker_that_dies_each_time_ends_the_job(autojump_clock, league_of):
    async with league_of() as league:
        for attempt in range(MAX_ATTEMPTS):
            for rank in range(3):
                league.scripts[rank, attempt] = working("train")

            async def die(worker):
                worker.die()

            league.scripts[1, attempt] = [Stepped("train", 0, 1, 1, 1, 1), 0.1, die]
        job = await league.jobs[0].submit(league.contract())
        await league.settled(job.record.job_id, "failed")
        assert "10 attempts were interrupted" in same_error(league, job.record.job_id)["message"]


async def test_a_daemon_that_dies_after_its_result_gives_it_again(autojump_clock, league_of):
    """Nobody trains twice: who has a result says so when it comes back."""
    async with league_of() as league:
        finished = trio.Event()

        async def wait(worker):
            await finished.wait()

        for rank in (0, 1):
            league.scripts[rank, 0] = [Stepped("evaluate", 0, 1, 1, 1, 1), wait, *league.honest()[-1:]]
        league.scripts[2, 0] = [Stepped("evaluate", 0, 1, 1, 1, 1), *league.honest()[-1:]]
        job = await league.jobs[0].submit(league.contract())
        job_id = job.record.job_id
        await league.until(lambda: (r := league.record(2, job_id)) is not None and r.result_attempt == 0)
        await league.kill(2)
        finished.set()
        await league.until(lambda: league.states(job_id)[:2] in (["done"] * 2, ["interrupted"] * 2))
        await league.start(2)
        await league.settled(job_id, "done")
        assert {attempt for _, attempt, _ in league.starts} == {0}


async def test_results_of_other_rows_are_refused(autojump_clock, league_of):
    async with league_of() as league:
        league.scripts[1, 0] = [Finished({"rows": 9, "test_rows": 2}, b"")]
        job = await league.jobs[0].submit(league.contract())
        await league.settled(job.record.job_id, "failed")
        assert "finished the job with other rows" in same_error(league, job.record.job_id)["message"]


async def test_a_missing_dataset_at_start_is_that_partys_failure(autojump_clock, league_of):
    async with league_of() as league:

        def gone(*args):
            raise DataError("the file /srv/clients.csv is gone", remedy="put it back", file="/srv/clients.csv")

        league.data[2].table_spec = gone
        job = await league.jobs[0].submit(league.contract())
        await league.settled(job.record.job_id, "failed")
        assert same_error(league, job.record.job_id)["message"] == "telecom: the file clients.csv is gone"


async def test_a_bug_in_running_a_job_leaves_the_daemon_up(autojump_clock, league_of):
    async with league_of() as league:

        def broken(*args):
            raise ZeroDivisionError

        good = league.data[2].table_spec
        league.data[2].table_spec = broken
        job = await league.jobs[0].submit(league.contract())
        await league.settled(job.record.job_id, "failed")
        assert "telecom: the daemon failed to run the job" in same_error(league, job.record.job_id)["message"]
        league.data[2].table_spec = good
        again = await league.jobs[0].submit(league.contract())
        await league.settled(again.record.job_id, "done")


async def test_the_next_job_runs_after_a_failure(autojump_clock, league_of):
    async with league_of() as league:
        league.scripts[0, 0] = [broke(league, 0, DataError("bad", remedy="r"), "read"), 600]
        job = await league.jobs[1].submit(league.contract())
        await league.settled(job.record.job_id, "failed")
        del league.scripts[0, 0]
        again = await league.jobs[2].submit(league.contract())
        await league.settled(again.record.job_id, "done")


async def test_kill_at_every_moment_still_ends_well(autojump_clock, league_of):
    """kill -9 of a daemon after each tenth of a second of the job's life, then its return."""
    for tenth in range(0, 24, 2):
        async with league_of() as league:
            job = await league.jobs[0].submit(league.contract())
            await trio.sleep(tenth / 10)
            await league.kill(tenth % 3)
            await trio.sleep(3)
            await league.start(tenth % 3)
            await league.settled(job.record.job_id, "done")
        for home in league.homes:
            for file in sorted(home.rglob("*"), reverse=True):
                file.unlink() if file.is_file() else file.rmdir()
            home.rmdir()
