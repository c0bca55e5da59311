"""All jobs of a node: who may begin one, what peers say about them, and that time passes.

A peer's message about one job can only ever change that job; what is wrong with it is logged, and the connection's
other business goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from hansa.config.vocabulary import PREPROCESSING
from hansa.node.contracts import hardware as job_hardware
from hansa.node.contracts.explain import trust_of
from hansa.node.errors import UsageError
from hansa.node.jobs import failure
from hansa.node.jobs.attempt import progress_facts
from hansa.node.jobs.context import JobContext
from hansa.node.jobs.job import Job
from hansa.node.jobs.lifecycle import Restored
from hansa.node.jobs.record import JobRecord
from hansa.node.jobs.review import Decisions
from hansa.node.jobs.store import forgettable, long_expired
from hansa.node.net.token_bucket import TokenBucket
from hansa.protocols.wire.consent.consent import Consent
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.statements import End, Equivocation, Offer, ResumeOffer
from hansa.protocols.wire.messages import Failed, JobDone, ProgressNote

TICK_S = 1.0
RETOLD_S = 7 * 24 * 3600  # how long an ended job is still told to a party that comes back
MIN_PREFIX = 4
NEW_AT_ONCE, NEW_PER_S = 256.0, 0.2
"""Unknown contracts taken from one peer: each costs an entry of the audit log, which is never shortened."""

log = logging.getLogger(__name__)


class JobRegistry:
    """The jobs of one node, by id."""

    def __init__(self, context: JobContext) -> None:
        self.context = context
        self._jobs: dict[bytes, Job] = {}
        self._decisions = Decisions(context, self._jobs)
        self._allowances: dict[bytes, TokenBucket] = {}

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take up what the store has, then let time pass, until cancelled."""
        async with trio.open_nursery() as nursery:
            self.context.nursery = nursery
            for record in self.context.store.load_jobs():
                job = self._jobs[record.job_id] = Job(self.context, record)
                with _contained(job):
                    await job.hear(Restored())
            self._prune()
            task_status.started()
            while True:
                await trio.sleep(TICK_S)
                for job in list(self._jobs.values()):
                    with _contained(job):
                        await job.tick()

    # --- what this node's people ask for ---------------------------------------------------------------------------

    async def submit(self, contract: Contract) -> Job:
        """Propose a contract to its parties, signed by this node. Raises UsageError when this node cannot."""
        context = self.context
        problem = self._decisions.reason_to_refuse(contract)
        problem = problem or await job_hardware.problem(contract, context.hardware, context.me)
        if problem is not None:
            made = contract.kind == PREPROCESSING
            remedy = "see `hansa correlations list` and `hansa job list`" if made else "see `hansa job plan FILE.toml`"
            raise UsageError(f"this node cannot take part: {problem}", remedy=remedy)
        job = self._add(contract, self.context.me)
        job.record.decision = "submitted here"
        await job.approve()
        return job

    def find(self, text: str) -> Job:
        """The job whose id begins with ``text``, or whose name it is. Raises UsageError unless there is one."""
        found = [
            job
            for job in self._jobs.values()
            if job.record.contract.name == text or (len(text) >= MIN_PREFIX and _hex(job).startswith(text.lower()))
        ]
        if len(found) != 1:
            count = "no job is" if not found else f"{len(found)} jobs are"
            raise UsageError(f"{count} called '{text}'", remedy="see `hansa job list` for the ids", job=text)
        return found[0]

    def all(self) -> list[Job]:
        """Every job, the oldest first."""
        return list(self._jobs.values())

    def get(self, job_id: bytes) -> Job | None:
        """The job with this id."""
        return self._jobs.get(job_id)

    @property
    def active(self) -> int:
        """How many jobs this node has signed and not seen end."""
        return self._decisions.active

    def hardware_in_use(self) -> set[bytes]:
        """Peers whose hardware running jobs rely on."""
        contracts = (job.record.contract for job in self._jobs.values() if job.running)
        return {each.helper.identity for each in contracts if each.helper is not None and each.codes}

    def jobs_helped_by(self, identity: bytes) -> int:
        """How many jobs under way have this peer as their dealer or enclave."""
        helpers = (job.record.contract.helper for job in self._jobs.values() if not job.record.state.final)
        return sum(helper is not None and helper.identity == identity for helper in helpers)

    def refuse_one_more(self) -> None:
        """Raise UsageError where another job would be more than this node runs at once."""
        if self.active >= self.context.max_jobs:
            raise UsageError(
                f"this node has {self.active} jobs under way, its limit",
                remedy="wait, cancel one (`hansa job list`), or raise limits.max_jobs in hansa.toml",
            )

    async def refuse_unproven(self, job: Job) -> None:
        """Raise UsageError where the job relies on hardware that does not prove now what the contract accepts."""
        problem = await job_hardware.problem(job.record.contract, self.context.hardware, self.context.me)
        if problem is not None:
            raise UsageError(
                problem, remedy="see `hansa tee status`; `hansa job refuse` says no to all", job=job.record.short
            )

    # --- what peers say ----------------------------------------------------------------------------------------------

    async def on_offer(self, identity: bytes, offer: Offer) -> None:
        """A contract with signatures: of a job we know, or a proposal."""
        contract = Contract.decode_untrusted(offer.contract)
        await self._rivals_untrusted(contract, offer)
        job = self._jobs.get(contract.job_id)
        fresh = job is None
        if job is None:
            if not self._proposed_untrusted(identity, contract, offer):
                return
            job = self._add(contract, offer.signatures[0].identity)
        effects = job.consent.receive_signatures_untrusted(offer.signatures, self.context.now())
        await job.apply(effects)
        if fresh and not job.record.state.final:
            self._audit_contract(job.record)
            await self._decisions.consider(job)

    def _proposed_untrusted(self, sender: bytes, contract: Contract, offer: Offer) -> bool:
        """Whether an unknown contract is a proposal to this node; ``SecurityError`` if its signatures are not its own."""
        why = ""
        if contract.rank_of(self.context.me) is None or not offer.signatures:
            why = "it does not name this node, or nobody signed it"
        elif long_expired(contract.expires, self.context.now()):
            why = "it expired long ago"
        else:
            Consent(contract, me=self.context.me, signing_key=self.context.signing_key).check_untrusted(
                offer.signatures
            )
            allowance = self._allowances.setdefault(sender, TokenBucket(NEW_AT_ONCE, NEW_PER_S))
            if not allowance.take_if_there():
                why = f"{self.context.peer_names().get(sender, 'a peer')} passes on too many"
        if why:
            log.warning("a proposal was ignored: %s", why)
        return not why

    async def hardware_judged(self, identity: bytes, judged: job_hardware.Judgement) -> None:
        """A peer in hardware was looked at again: jobs that rely on what it no longer proves end, and no others."""
        for job in list(self._jobs.values()):
            record = job.record
            why = job_hardware.lost(record.contract, identity, judged)
            if why is not None and job.running is not None:
                await job.running.fail(
                    failure.not_attested(identity, record.name_of(identity), why, step=record.step, job=record.short)
                )

    async def on_end(self, identity: bytes, end: End) -> None:
        """A party refused, cancelled or let expire."""
        job = self._jobs.get(end.job_id)
        if job is not None:
            await job.apply(job.consent.receive_end_untrusted(end))

    async def on_equivocation(self, identity: bytes, found: Equivocation) -> None:
        """A party signed two contracts over one nonce, or one contract with two job keys."""
        for job in list(self._jobs.values()):
            if job.record.contract.nonce == found.first.nonce:
                await job.apply(job.consent.receive_equivocation_untrusted(found))

    async def on_resume_offer(self, identity: bytes, offer: ResumeOffer) -> None:
        """A party is ready to take a job up again."""
        job = self._members_job(identity, offer.signature.job_id)
        if job is not None:
            await job.offer_heard_untrusted(identity, offer)

    async def on_progress(self, identity: bytes, progress: ProgressNote) -> None:
        """How far another party's worker is."""
        job = self._members_job(identity, progress.job_id)
        if job is not None and progress.attempt == job.record.attempt and not job.record.state.final:
            name = job.record.name_of(identity)
            before = self.context.events.latest(progress.job_id).get(name, {}).get("step")
            kind = "progress" if before == progress.step else "step"
            self.context.events.publish(progress.job_id, name, kind, **progress_facts(progress))

    async def on_failed(self, identity: bytes, failed: Failed) -> None:
        """A party's verdict on why an attempt ended."""
        job = self._members_job(identity, failed.job_id)
        if job is not None:
            await job.failed_heard_untrusted(failed)

    async def on_done(self, identity: bytes, done: JobDone) -> None:
        """A party's worker has its result."""
        job = self._members_job(identity, done.job_id)
        if job is not None:
            await job.done_heard(identity, done)

    async def peer_up(self, identity: bytes) -> None:
        """A peer is connected: tell it what it may have missed."""
        oldest = self.context.now() - RETOLD_S
        for job in list(self._jobs.values()):
            record = job.record
            if identity in record.identities and (not record.state.final or record.finished >= oldest):
                await job.peer_up(identity)

    async def peer_down(self, identity: bytes) -> None:
        """A peer's control connection is gone."""
        for job in list(self._jobs.values()):
            if job.running is not None and identity in job.record.identities:
                job.running.peer_down(identity)

    # --- inside ------------------------------------------------------------------------------------------------------

    async def _rivals_untrusted(self, contract: Contract, offer: Offer) -> None:
        for job in list(self._jobs.values()):
            if job.record.contract.nonce == contract.nonce and job.record.job_id != contract.job_id:
                for signature in offer.signatures:
                    await job.apply(job.consent.receive_rival_untrusted(signature))

    def _add(self, contract: Contract, proposer: bytes) -> Job:
        record = JobRecord(contract.encode(), proposer, self.context.now())
        self._prune()
        job = self._jobs[contract.job_id] = Job(self.context, record)
        job.save()
        others = [member.name for member in record.contract.members if member.identity != proposer]
        job.publish("state", text=f"proposed by {record.name_of(proposer)}; needs the consent of {', '.join(others)}")
        if proposer == self.context.me:
            self._audit_contract(record)
        return job

    def _prune(self) -> None:
        for job_id in forgettable((job.record for job in self._jobs.values()), self.context.now()):
            del self._jobs[job_id]
            self.context.store.delete_job(job_id)

    def _audit_contract(self, record: JobRecord) -> None:
        contract = record.contract
        body = {
            "job": record.short,
            "proposer": record.name_of(record.proposer),
            "role": record.role(self.context.me),
            "engine": contract.engine,
            "dealer": contract.dealer.name if contract.dealer is not None else None,
            "enclave": contract.enclave.name if contract.enclave is not None else None,
            "codes": [str(code) for code in contract.codes],
            "trust": list(trust_of(contract)),
        }
        self.context.audit.append("contract", body)

    def _members_job(self, identity: bytes, job_id: bytes) -> Job | None:
        job = self._jobs.get(job_id)
        return job if job is not None and identity in job.record.identities else None


@contextmanager
def _contained(job: Job) -> Iterator[None]:
    """One job's fault must not end the daemon."""
    try:
        yield
    except Exception:
        log.exception("job %s", job.record.short)


def _hex(job: Job) -> str:
    return job.record.job_id.hex()
