"""What this node says to a contract: by what it checks itself, then by its policy, and last by the hardware in the contract.

So a contract that is refused by the former asks nobody for proofs, and one that waits for the operator does so once approved.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from hansa.config.errors import HansaError
from hansa.config.vocabulary import PREPROCESSING
from hansa.node.contracts import hardware as job_hardware
from hansa.node.contracts import policy_match as policy_check
from hansa.node.jobs import review as job_review
from hansa.node.jobs.context import JobContext
from hansa.node.jobs.job import Job
from hansa.node.jobs.pruning import KEPT_BYTES
from hansa.node.jobs.record import JobRecord
from hansa.protocols.wire.consent.contract import Contract

MAX_WAITING = 64
"""Proposals that may wait for the operator, or for proofs; further ones are refused."""
MAX_WAITING_OF_ONE = 16
"""The same, by one proposer: no member takes all the places."""

log = logging.getLogger(__name__)


class Decisions:
    """``jobs`` are all that this node knows, as they come and go."""

    def __init__(self, context: JobContext, jobs: Mapping[bytes, Job]) -> None:
        self._context, self._jobs = context, jobs

    @property
    def active(self) -> int:
        """How many jobs this node has signed and not seen end."""
        return sum(not job.record.state.final and job.consent.signed for job in self._jobs.values())

    def objection(self, contract: Contract) -> str | None:
        """Why this node cannot take part, whatever its policy says; None where it can."""
        return job_review.objection(contract, self._context, self._record, self.active) or self._makes(contract)

    async def consider(self, job: Job, *, proven: bool = False) -> None:
        """Check a proposal, then let the policy decide: sign, ask the operator, or refuse. ``proven``: so has its hardware."""
        context, record = self._context, job.record
        contract = record.contract
        record.awaits_operator = False
        problem = self._rival(contract) or self.objection(contract)
        if problem is not None:
            await self._refuse(job, problem)
            return
        decision = policy_check.decide(context.policy(), contract, context.me, context.peer_names())
        record.decision = f"{decision.action} by policy: {decision.reason}"
        if decision.action == "refuse":
            await job.refuse(f"by policy: {decision.reason}")
        elif decision.action == "approve" and (proven or not contract.codes):
            await job.approve()
        elif (problem := self._too_many_wait(record)) is not None:
            await self._refuse(job, problem)
        else:
            record.awaits_operator = True
            job.save()
            if decision.action == "approve":  # proofs come over the very connection whose message is handled here
                context.nursery.start_soon(self._have_proven, job)
            else:
                job.publish("state", text="waits for this node's approval")

    async def _have_proven(self, job: Job) -> None:
        """Ask, and consider the contract anew: other things may have changed meanwhile, and the operator may have decided."""
        try:
            problem = await job_hardware.objection(job.record.contract, self._context.hardware, self._context.me)
            if job.record.state.final or job.consent.signed:
                return
            if problem is not None:
                await self._refuse(job, problem)
            else:
                await self.consider(job, proven=True)
        except HansaError as error:
            log.warning("a proposal was not considered: %s", error.message)
        except Exception:  # the border of a job: the daemon and its other jobs go on, and the operator decides
            log.exception("considering the proposal %s", job.record.short)

    async def _refuse(self, job: Job, problem: str) -> None:
        job.record.decision = f"refused: {problem}"
        await job.refuse(problem)

    def _rival(self, contract: Contract) -> str | None:
        """Signing a second contract over one nonce would be evidence against this node: whoever asks for it is refused."""
        if any(
            job.record.contract.nonce == contract.nonce and job.record.job_id != contract.job_id
            for job in self._jobs.values()
        ):
            return "its nonce is that of another contract known here"
        return None

    def _makes(self, contract: Contract) -> str | None:
        """One job at a time makes correlations: so that they keep within the room that this node gives them."""
        others = (job for job in self._jobs.values() if job.consent.signed and not job.record.state.final)
        if contract.kind == PREPROCESSING and any(job.record.contract.kind == PREPROCESSING for job in others):
            return "this node makes correlations in another job already"
        return None

    def _too_many_wait(self, newest: JobRecord) -> str | None:
        """What is not signed here waits, and must not fill the memory meanwhile."""
        waiting = [r for job in self._jobs.values() if (r := job.record).awaits_operator or r is newest]
        of_one = [record for record in waiting if record.proposer == newest.proposer]
        for records, most, share in (
            (waiting, MAX_WAITING, 1),
            (of_one, MAX_WAITING_OF_ONE, MAX_WAITING // MAX_WAITING_OF_ONE),
        ):
            if len(records) > most or sum(len(record.contract_bytes) for record in records) > KEPT_BYTES // share:
                return f"{len(records) - 1} proposals wait for this node's operator already"
        return None

    def _record(self, job_id: bytes) -> JobRecord | None:
        job = self._jobs.get(job_id)
        return job.record if job is not None else None
