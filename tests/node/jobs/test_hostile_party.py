"""What one member of a league can try against another's jobs, and that it gets nowhere."""

import dataclasses
import os

import pytest
import trio

from hansa.node.worker.messages import Stepped
from hansa.node.worker.verdict import FailureVerdict, Priority
from hansa.protocols.errors import SecurityError
from hansa.protocols.wire import canonical, signing
from hansa.protocols.wire.consent.certificate import Signature
from hansa.protocols.wire.consent.statements import ResumeOffer
from hansa.protocols.wire.messages import Failed

ERROR = {"code": "peer-lost", "exit_code": 5, "message": "gone", "remedy": "wait", "fields": {}}


def resume_offer(league, rank, contract, attempt):
    signature = Signature.make(league.signing_keys[rank], league.identities[rank], contract, attempt, os.urandom(32))
    return ResumeOffer(signature, ())


async def running(league):
    """A job whose first attempt takes long."""
    for rank in range(3):
        league.scripts[rank, 0] = [Stepped("train", 0, 4, 2, 200, 20), 60, *league.honest()]
    job = await league.jobs[0].submit(league.contract())
    await league.settled(job.record.job_id, "running")
    return job


async def test_an_offer_to_resume_under_another_nonce_is_not_kept(autojump_clock, league_of):
    """Kept, it would break whoever takes it in later, in a task that must not fail."""
    async with league_of() as league:
        job = await running(league)
        other = dataclasses.replace(job.record.contract, nonce=b"x" * 16)
        wrong = resume_offer(league, 2, other, 1)
        sig = dataclasses.replace(wrong.signature, job_id=job.record.job_id)
        body = canonical.encode({"job_id": sig.job_id, "nonce": sig.nonce, "attempt": 1, "job_key": sig.job_key})
        sig = dataclasses.replace(sig, sig=signing.sign(league.signing_keys[2], "contract", body))
        with pytest.raises(SecurityError, match="not the sender's"):
            await league.jobs[0].on_resume_offer(league.identities[2], ResumeOffer(sig, ()))
        await league.settled(job.record.job_id, "done")


async def test_a_job_whose_end_fails_here_does_not_take_the_others_along(autojump_clock, league_of):
    async with league_of() as league:
        job = await running(league)

        def broken(kind, body):
            if kind == "job-done":
                raise RuntimeError("the disk is full")
            league.audits[1].entries.append((kind, body))

        league.audits[1].append = broken
        await league.until(lambda: league.states(job.record.job_id)[0] == "done")
        del league.audits[1].append
        again = await league.jobs[1].submit(league.contract())
        await league.settled(again.record.job_id, "done")


async def test_a_far_attempt_is_not_followed(autojump_clock, league_of):
    async with league_of() as league:
        job = await running(league)
        await league.jobs[0].on_resume_offer(league.identities[2], resume_offer(league, 2, job.record.contract, 10**6))
        await trio.sleep(60)
        assert max(league.record(rank, job.record.job_id).offered for rank in range(3)) < 100


async def test_a_cancelled_job_stays_cancelled_whatever_is_said_of_its_attempt(autojump_clock, league_of):
    async with league_of() as league:
        job = await running(league)
        job_id = job.record.job_id
        await league.kill(2)
        await league.until(lambda: league.states(job_id)[:2] == ["interrupted"] * 2)
        await job.cancel("enough")
        late = FailureVerdict(Priority.OWN, league.identities[1], "train", ERROR)
        failed = Failed(job_id, 0, int(late.priority), late.culprit, late.step, canonical.encode(late.error))
        await league.jobs[0].on_failed(league.identities[1], failed)
        assert job.record.state.value == "cancelled"
        assert job.record.error["code"] == "consent"


async def test_a_job_given_up_is_not_interrupted_again(autojump_clock, league_of):
    async with league_of() as league:
        job = await league.jobs[0].submit(league.contract(expires=league.now() + 30))
        job_id = job.record.job_id
        await league.settled(job_id, "running")
        await league.kill(2)
        await league.until(lambda: league.states(job_id)[:2] == ["failed"] * 2)
        culprit = league.identities[1]
        failed = Failed(job_id, 0, int(Priority.WORKER_LOST), culprit, "train", canonical.encode(ERROR))
        await league.jobs[0].on_failed(culprit, failed)
        assert job.record.state.value == "failed"
