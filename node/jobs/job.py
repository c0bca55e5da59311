"""One job at this node, from its contract to its end: consent, attempts, and taking up after an interruption.

Whatever happens is first written down, then told. The state machines are protocols.wire.consent (before the start) and
protocols.wire.resume (after an interruption); node.job_run runs the attempts in between.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

import trio
from nacl.bindings import crypto_scalarmult_base

from hansa.config.vocabulary import PREPROCESSING
from hansa.node.correlations.store import batch_of, forget_unpublished, preprocessing_folder, publish, store_folder
from hansa.node.errors import JobError
from hansa.node.jobs import failure
from hansa.node.jobs.attempt import Attempt, done_message, failed_message, other_result
from hansa.node.jobs.context import JobContext
from hansa.node.jobs.record import JobRecord, JobState
from hansa.node.jobs.resume import Resumption
from hansa.node.sealing import checkpoint_files
from hansa.node.worker.verdict import FailureVerdict, own_failure
from hansa.protocols.errors import ConsentError
from hansa.protocols.wire import canonical, messages
from hansa.protocols.wire.consent.consent import Broadcast, Committed, Consent, Effect, Ended, Note
from hansa.protocols.wire.consent.resume import Agreed
from hansa.protocols.wire.messages import End, Failed, JobDone, Offer, ResumeOffer

MAX_ATTEMPTS = 10
log = logging.getLogger(__name__)


class Job:
    """A job and its record; all its methods run in the daemon's one event loop."""

    def __init__(self, context: JobContext, record: JobRecord) -> None:
        self.context = context
        self.record = record
        self.consent = Consent(record.contract, me=context.me, signing_key=context.signing_key)
        self.run: Attempt | None = None
        self.resumption = Resumption(context, record)
        if record.offer:
            offer = messages.decode_untrusted(record.offer)
            ends = [messages.decode_untrusted(end) for end in record.ends]
            known = offer.signatures if isinstance(offer, Offer) else ()
            self.consent.restore(known, [end for end in ends if isinstance(end, End)])

    # --- consent -------------------------------------------------------------------------------------------------

    async def approve(self) -> None:
        """Sign, with a fresh job key. Raises ConsentError when there is nothing to sign any more."""
        secret = os.urandom(32)
        effects = self.consent.approve(crypto_scalarmult_base(secret), self.context.now())
        if self.consent.signed:
            self.record.job_secret = secret
            self.record.awaits_operator = False
        await self.apply(effects)

    async def refuse(self, reason: str) -> None:
        """Say no to all. Raises ConsentError once signed."""
        effects = self.consent.refuse(reason)
        self.record.awaits_operator = False
        await self.apply(effects)

    async def cancel(self, reason: str) -> None:
        """End the job at every party. Raises ConsentError when it has ended."""
        if self.record.state.final:
            raise ConsentError(
                f"the job '{self.record.contract.name}' is {self.record.state.value} already",
                remedy="see `hansa job list`",
            )
        await self.apply(self.consent.cancel(reason))

    async def tick(self) -> None:
        """Let time pass."""
        now = self.context.now()
        if self.record.state is JobState.PROPOSED:
            await self.apply(self.consent.tick(now))
        elif self.record.state is JobState.INTERRUPTED and now >= self.record.contract.expires:
            await self._give_up("its contract expired before all parties were back")

    async def apply(self, effects: Iterable[Effect]) -> None:
        """Write down what the consent machine decided, then do it."""
        effects = list(effects)
        record = self.record
        record.offer = messages.encode(Offer(record.contract_bytes, self.consent.signatures))
        record.ends = [messages.encode(end) for end in self.consent.ends]
        for effect in effects:
            if isinstance(effect, Committed) and record.state is JobState.PROPOSED:
                record.certificate = effect.certificate.encode()
                record.state = JobState.COMMITTED
            elif isinstance(effect, Ended) and record.state is not JobState.DONE:
                self._set_ended(effect)
        self.save()
        for effect in effects:
            match effect:
                case Broadcast(message):
                    await self.context.mesh.broadcast(self._others, message)
                case Note(kind, body):
                    self.context.audit.append(kind, {"job": record.short, **body})
                case Committed() if record.state is JobState.COMMITTED:
                    self.publish("state", text="every party has signed")
                    self.start()
                case Ended():
                    self.publish("state", text=record.state.value)
                    if self.run is not None:
                        self._scope.cancel()
                    self._tidy()

    def _set_ended(self, ended: Ended) -> None:
        record = self.record
        conflict = ended.state.value == "conflict"
        record.state = JobState.REFUSED if conflict else JobState(ended.state.value)
        record.awaits_operator = False
        record.finished = self.context.now()
        name = record.name_of(ended.culprit) if ended.culprit is not None else ""
        record.error = failure.ended(ended.state.value, ended.reason, name, job=record.short)

    # --- attempts ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Run the attempt that the record describes."""
        self.record.state = JobState.RUNNING
        self.record.error = self.record.verdict = None
        self.record.done_by = {}
        self.record.step = "start"
        self.save()
        self.publish("state", text="running")
        self.run = Attempt(self.context, self.record)
        self.context.nursery.start_soon(self._attempt, self.run)

    async def _attempt(self, run: Attempt) -> None:
        record, context = self.record, self.context
        with trio.CancelScope() as self._scope:
            try:
                body = {"job": record.short, "attempt": record.attempt, "role": record.role(context.me)}
                context.audit.append("job-started", body)
                await context.share_head(self._others)
                verdict = await self._executed(run)
                self.run = None
                await (self._done() if verdict is None else self._conclude(verdict))
            except Exception:  # the border of a job: whatever it was, the daemon and its other jobs go on
                log.exception("the end of job %s", record.short)
        self.run = None

    async def _executed(self, run: Attempt) -> FailureVerdict | None:
        try:
            return await run.execute()
        except Exception:
            log.exception("job %s", self.record.short)
            return await self._internal(run)

    async def _internal(self, run: Attempt) -> FailureVerdict:
        record, me = self.record, self.context.me
        error = JobError("the daemon failed to run the job", remedy=f"see `hansa job logs {record.short}` there")
        verdict = own_failure(error, me, record.name_of(me), step=record.step, job=record.short)
        await run.fail(verdict)
        return run.agreement.common or verdict

    async def _done(self) -> None:
        record = self.record
        if record.contract.kind == PREPROCESSING:  # before it is written down: what is stored already, stays
            identities, batch = record.identities, batch_of(record.job_id, record.attempt)
            made = preprocessing_folder(self.context.folder(record.job_id), record.attempt)
            publish(made, store_folder(self.context.home, identities), batch, identities)
        record.state, record.error, record.verdict = JobState.DONE, None, None
        record.finished = self.context.now()
        self.save()
        body = {"job": record.short, "attempt": record.attempt}
        entry = {"dealer": "dealt", "enclave": "computed"}.get(record.role(self.context.me))
        if entry is not None:
            self.context.audit.append(entry, {**body, "to": [party.name for party in record.contract.parties]})
        rows = int((record.result or {}).get("rows", 0))
        self.context.audit.append("job-done", {**body, "rows": rows})
        self.publish("state", text="done")
        self._tidy()
        await self.context.share_head(self._others)

    async def _conclude(self, verdict: FailureVerdict) -> None:
        """Take the parties' common verdict on the attempt as the job's state; maybe a second, lower one."""
        record = self.record
        known = record.verdict is not None
        record.verdict, record.error = verdict, verdict.error
        record.state = JobState(verdict.state)
        record.finished = self.context.now()
        self.save()
        body = {"job": record.short, "attempt": record.attempt, "reason": str(verdict.error["message"])}
        self.context.audit.append(f"job-{record.state.value}", body)
        self.publish("error", step=verdict.step, text=str(verdict.error["message"]))
        self.publish("state", text=record.state.value)
        if record.state is not JobState.INTERRUPTED:
            self._tidy()
        elif not known:
            await self._begin_resume()

    async def _give_up(self, why: str) -> None:
        record = self.record
        error = dict(record.error or {})
        error["message"] = f"{error.get('message', 'the job was interrupted')}; {why}"
        error["remedy"] = "submit the job file anew with `hansa job submit FILE.toml`"
        record.state, record.error, record.finished = JobState.FAILED, error, self.context.now()
        self.save()
        self.context.audit.append("job-failed", {"job": record.short, "reason": str(error["message"])})
        self.publish("state", text="failed")
        self._tidy()

    def _tidy(self) -> None:
        """Nothing will be resumed any more: drop offers, checkpoints and what was half made; the log and the result stay."""
        self.resumption.end()
        self.context.events.forget(self.record.job_id)
        folder = self.context.folder(self.record.job_id)
        for file in checkpoint_files(folder):
            file.path.unlink(missing_ok=True)
        forget_unpublished(folder)

    # --- what peers say ------------------------------------------------------------------------------------------

    async def failed_heard_untrusted(self, failed: Failed) -> None:
        """A peer's verdict on an attempt. Raises PeerMisbehaved when it is malformed."""
        record = self.record
        error = canonical.decode_untrusted(failed.error, len(failed.error))
        verdict = failure.verdict_from_untrusted(failed.priority, failed.culprit, failed.step, error)
        if failed.attempt != record.attempt:
            return
        if self.run is not None:
            await self.run.heard(verdict)
        elif self._open_to(verdict):
            await self._conclude(verdict)
            await self.context.mesh.broadcast(self._others, failed_message(record, verdict))

    def _open_to(self, verdict: FailureVerdict) -> bool:
        """Whether a late verdict changes why the last attempt ended: not once the job was cancelled or given up."""
        known, state = self.record.verdict, self.record.state
        return known is not None and state.value == known.state and verdict.order < known.order

    async def done_heard(self, identity: bytes, done: JobDone) -> None:
        """A peer has its result; when all have, an interrupted end is a good one after all."""
        record = self.record
        if done.attempt != record.attempt or record.state in {JobState.DONE, JobState.PROPOSED}:
            return
        record.done_by[identity] = done.digest
        self.save()
        if self.run is not None:
            await self.run.check_done()
        elif record.done_by_all(record.attempt) and other_result(record, record.attempt, self.context.me) is None:
            await self._done()

    async def peer_up(self, identity: bytes) -> None:
        """A party's node is back: tell it everything that it may have missed."""
        record, send = self.record, self.context.mesh.send
        for message in self.consent.resync():
            await send(identity, message)
        if record.result_attempt == record.attempt:
            await send(identity, done_message(record))
        if record.verdict is not None and record.state is not JobState.DONE:
            await send(identity, failed_message(record, record.verdict))
        if record.state is JobState.INTERRUPTED:
            await self._begin_resume()
            offer = self.resumption.own_offer
            if offer is not None:
                await send(identity, offer)

    async def offer_heard_untrusted(self, identity: bytes, offer: ResumeOffer) -> None:
        """A party is ready to take the job up. Raises SecurityError when the offer is not its own."""
        if self.record.state.final or not self.resumption.keep_untrusted(identity, offer):
            return
        if self.run is not None:
            await self.run.lost(identity)  # it has left this attempt, whatever we saw of it
        elif self.record.state is JobState.INTERRUPTED:
            await self._take_up(await self.resumption.take_in(identity, offer))

    async def _begin_resume(self) -> None:
        if self.record.state is JobState.INTERRUPTED and self.record.attempt + 1 >= MAX_ATTEMPTS:
            await self._give_up(f"{MAX_ATTEMPTS} attempts were interrupted")
        elif self.record.state is JobState.INTERRUPTED:
            await self._take_up(await self.resumption.begin())

    async def _take_up(self, agreed: Agreed | None) -> None:
        record = self.record
        if agreed is None or record.state is not JobState.INTERRUPTED:
            return
        record.attempt = agreed.certificate.attempt
        record.job_secret = record.offered_secret
        record.certificate = agreed.certificate.encode()
        record.resume_epoch = agreed.checkpoint
        self.resumption.end()
        self.start()

    def restore(self) -> None:
        """After a restart: an attempt that was running here has lost this node."""
        record = self.record
        if record.state in {JobState.RUNNING, JobState.COMMITTED}:
            me = self.context.me
            record.verdict = failure.node_lost(me, record.name_of(me), step=record.step, job=record.short)
            record.error, record.state = record.verdict.error, JobState.INTERRUPTED
            self.save()

    def save(self) -> None:
        """Write the record down."""
        self.context.store.save_job(self.record)

    def publish(self, kind: str, **facts: str | int | float | list[str] | None) -> None:
        """Tell watchers, in this party's name."""
        self.context.events.publish(self.record.job_id, self.record.name_of(self.context.me), kind, **facts)

    @property
    def _others(self) -> list[bytes]:
        return self.record.others(self.context.me)
