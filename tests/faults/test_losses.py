"""Processes that die while a job runs: the same error at every party, then the job is taken up, or ends, for all alike."""

import os
import signal

import pytest
import trio

NAMES = ("bank", "bureau", "telecom")
STEPS = ["train", *(pytest.param(step, marks=pytest.mark.slow) for step in ("connect", "align"))]


def history(league, name, job):
    daemon = league.daemons[name]
    return daemon.jobs.registry.context.events.history(league.job(name, job).record.job_id)


async def in_step(league, job, step, name):
    with trio.fail_after(120):
        while (found := league.job(name, job)) is None or found.record.step != step or found.running is None:
            await trio.sleep(0.005)


def weights(league, job):
    found = {}
    for name in NAMES:
        found |= league.job(name, job).record.result["weights"]
    return found


@pytest.mark.parametrize("step", STEPS)
async def test_a_worker_killed_in_a_step_is_named_and_the_job_ends_well(league_of, job_text, step):
    async with league_of() as league:
        job = await league.submit(job_text(epochs=40))
        await in_step(league, job, step, "bureau")
        os.kill(league.worker("bureau", job), signal.SIGKILL)
        await league.settled(job, "done")
        said = [[e["text"] for e in history(league, name, job) if e["kind"] == "error"] for name in NAMES]
        assert said[0] == said[1] == said[2]
        assert said[0][0].startswith("the worker of bureau died in step '")
        assert "killed by signal 9" in said[0][0]


async def checkpointed(league, name, job, pattern):
    with trio.fail_after(120):
        while (found := league.job(name, job)) is None or not list(
            league.daemons[name].jobs.registry.context.folder(found.record.job_id).glob(pattern)
        ):
            await trio.sleep(0.002)


@pytest.mark.slow
async def test_a_worker_killed_after_its_last_epoch(league_of, job_text):
    """Evaluation takes a moment: the worker dies in it, or with its result told; the end is the same."""
    async with league_of() as league:
        job = await league.submit(job_text(epochs=40))
        await checkpointed(league, "bureau", job, "checkpoint-0-40.sealed")
        os.kill(league.worker("bureau", job), signal.SIGKILL)
        await league.settled(job, "done")
        said = [[e["text"] for e in history(league, name, job) if e["kind"] == "error"] for name in NAMES]
        assert said[0] == said[1] == said[2]


async def test_the_resumed_model_is_the_uninterrupted_one(league_of, job_text):
    async with league_of() as league:
        plain = await league.submit(job_text("plain", epochs=40))
        await league.settled(plain, "done")
        broken = await league.submit(job_text("broken", epochs=40))
        await checkpointed(league, "bank", broken, "checkpoint-0-1?.sealed")
        os.kill(league.worker("telecom", broken), signal.SIGKILL)
        await league.settled(broken, "done")
        assert league.job("bank", broken).record.attempt == 1
        assert league.job("bank", broken).record.resume_epoch >= 8
        one, other = weights(league, plain), weights(league, broken)
        assert set(one) == set(other)
        assert max(abs(one[name] - other[name]) for name in one) < 2**-10


@pytest.mark.slow
async def test_a_daemon_that_goes_away_interrupts_and_its_return_resumes(league_of, job_text):
    async with league_of() as league:
        job = await league.submit(job_text(epochs=60))
        await in_step(league, job, "train", "telecom")
        await league.stop("telecom")
        with trio.fail_after(30):
            while [league.job(name, job).record.state.value for name in NAMES[:2]] != ["interrupted"] * 2:
                await trio.sleep(0.02)
        errors = [league.job(name, job).record.error for name in NAMES[:2]]
        assert errors[0] == errors[1]
        assert errors[0]["message"].startswith("the node of telecom went away in step '")
        await league.start("telecom")
        await league.settled(job, "done")


async def test_cancel_while_it_trains_ends_every_worker(league_of, job_text):
    async with league_of() as league:
        job = await league.submit(job_text(epochs=1000))
        await in_step(league, job, "train", "bank")
        pids = [league.worker(name, job) for name in NAMES]
        await league.call("bureau", "job.cancel", job=job, reason="enough")
        await league.settled(job, "cancelled")
        assert league.common_error(job)["message"] == "bureau cancelled the job: enough"
        with trio.fail_after(20):
            while any(alive(pid) for pid in pids):
                await trio.sleep(0.02)
        assert all(daemon.jobs.registry.active == 0 for daemon in league.daemons.values())


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["bank", "telecom"])
@pytest.mark.parametrize("step", ["align", "train"])
def test_kill_9_of_a_daemon_process_at_a_step(processes, job_text, step, victim):
    with processes() as league:
        text = job_text(epochs=60)
        job = league.call("bureau", "job.submit", file_text=text, file_name="job.toml")["job"]
        rest = [name for name in NAMES if name != victim]

        def at_step():
            jobs = league.call(victim, "node.status")["jobs"]
            return any(found["job"] == job and found["step"] == step for found in jobs)

        league.until(at_step)
        league.kill(victim)
        shown = league.settled(job, "interrupted", names=rest)
        assert shown[0]["error"] == shown[1]["error"]
        assert shown[0]["error"]["message"].startswith(f"the node of {victim} went away in step '")
        league.start(victim)
        league.settled(job, "done")
        again = league.call(victim, "job.submit", file_text=job_text("again"), file_name="job.toml")["job"]
        league.settled(again, "done")
