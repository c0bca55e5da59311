"""One job at this node, from its contract to its end: the shell that does what its machines decide.

protocols.wire.consent.consent leads to the commit, protocols.wire.consent.resume to another attempt, and node.jobs.lifecycle
says what follows. Whatever happens is first written down, then told.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

from nacl.bindings import crypto_scalarmult_base

from hansa.config.vocabulary import PREPROCESSING
from hansa.node.correlations.store import (
    batch_of,
    forget_unpublished,
    preprocessing_folder,
    publish,
    store_folder,
)
from hansa.node.jobs import failure
from hansa.node.jobs.attempt import Attempt, done_message, failed_message, other_result
from hansa.node.jobs.context import JobContext
from hansa.node.jobs.lifecycle import (
    AllDone,
    AppendAudit,
    AttemptOver,
    Begin,
    CommonVerdict,
    Effect,
    Event,
    Lifecycle,
    OfferResume,
    PeerUp,
    Publish,
    Save,
    ShareHead,
    StartAttempt,
    StopAttempt,
    Tell,
    Tick,
    Tidy,
)
from hansa.node.jobs.record import JobRecord, JobState
from hansa.node.jobs.resume import Resumption
from hansa.node.sealing import checkpoint_files
from hansa.protocols.errors import ConsentError
from hansa.protocols.wire import canonical, messages
from hansa.protocols.wire.consent.consent import Broadcast, Committed, Consent, Ended, Note
from hansa.protocols.wire.consent.consent import Effect as ConsentEffect
from hansa.protocols.wire.consent.resume import Agreed
from hansa.protocols.wire.consent.statements import End, Offer, ResumeOffer
from hansa.protocols.wire.messages import Failed, JobDone

log = logging.getLogger(__name__)


class Job:
    """A job and its record; all its methods run in the daemon's one event loop."""

    def __init__(self, context: JobContext, record: JobRecord) -> None:
        self.context = context
        self.record = record
        self.consent = Consent(record.contract, me=context.me, signing_key=context.signing_key)
        self.life = Lifecycle(record, context.me)
        self.resumption = Resumption(context, record)
        self._attempt: Attempt | None = None
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
        await self.apply(self.consent.tick(self.context.now()))
        await self.hear(Tick())

    async def apply(self, effects: Iterable[ConsentEffect]) -> None:
        """Write down what the consent machine decided, then tell the others, then do it here."""
        record, effects = self.record, list(effects)
        if not effects:
            return
        record.offer = messages.encode(Offer(record.contract_bytes, self.consent.signatures))
        record.ends = [messages.encode(end) for end in self.consent.ends]
        events = [effect for effect in effects if isinstance(effect, Committed | Ended)]
        lived = [effect for event in events for effect in self.life.handle(event, self.context.now())]
        self.save()
        for effect in effects:
            match effect:
                case Broadcast(message):
                    await self.context.mesh.broadcast(self._others, message)
                case Note(kind, body):
                    self.context.audit.append(kind, {"job": record.short, **body})
        await self._perform(effect for effect in lived if effect != Save())
        await self.hear(Begin())

    # --- its life ------------------------------------------------------------------------------------------------

    @property
    def running(self) -> Attempt | None:
        """The attempt that the job is in; None also where one is being stopped."""
        return self._attempt if self.record.state is JobState.RUNNING else None

    async def hear(self, event: Event) -> None:
        """Do what follows from an event in the job's life."""
        await self._perform(self.life.handle(event, self.context.now()))

    async def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Save():
                    self.save()
                case AppendAudit(kind, body):
                    self.context.audit.append(kind, body)
                case Publish(kind, facts):
                    self.publish(kind, **facts)
                case StartAttempt():
                    self._attempt = Attempt(self.context, self.record)
                    self.context.nursery.start_soon(self._run, self._attempt)
                case StopAttempt() if self._attempt is not None:
                    self._attempt.scope.cancel()
                case StopAttempt():  # it never began: writing the start down failed
                    await self.hear(AttemptOver(None))
                case Tidy():
                    self._tidy()
                case OfferResume():
                    await self._take_up(await self.resumption.begin())
                case Tell(verdict):
                    await self.context.mesh.broadcast(self._others, failed_message(self.record, verdict))
                case ShareHead():
                    await self.context.share_head(self._others)

    async def _run(self, attempt: Attempt) -> None:
        try:
            try:
                outcome = await attempt.run()
            finally:
                self._attempt = None  # with it goes what its worker was given: keys, the sealed model
            if isinstance(outcome, AllDone):
                self._store_correlations()
            await self.hear(AttemptOver(outcome))
        except Exception:  # what follows from its end failed: the daemon and its other jobs go on
            log.exception("the end of job %s", self.record.short)

    async def _take_up(self, agreed: Agreed | None) -> None:
        if agreed is not None:
            self.resumption.end()
            await self.hear(agreed)

    def _tidy(self) -> None:
        """The log and the result stay."""
        self.resumption.end()
        self.context.events.forget(self.record.job_id)
        folder = self.context.folder(self.record.job_id)
        for file in checkpoint_files(folder):
            file.path.unlink(missing_ok=True)
        forget_unpublished(folder)

    def _store_correlations(self) -> None:
        """Put what the job made ahead into the store of its parties, before the record says that it is done.

        What is in the store already, stays: a failure in between is made good by doing it again.
        """
        record = self.record
        if record.contract.kind != PREPROCESSING:
            return
        made = preprocessing_folder(self.context.folder(record.job_id), record.attempt)
        store = store_folder(self.context.home, record.identities)
        publish(made, store, batch_of(record.job_id, record.attempt), record.identities)

    # --- what peers say ------------------------------------------------------------------------------------------

    async def failed_heard_untrusted(self, failed: Failed) -> None:
        """A peer's verdict on an attempt. Raises PeerMisbehaved when it is malformed."""
        record = self.record
        error = canonical.decode_untrusted(failed.error, len(failed.error))
        verdict = failure.verdict_from_untrusted(failed.priority, failed.culprit, failed.step, error)
        if failed.attempt != record.attempt:
            return
        if self.running is not None:
            await self.running.heard(verdict)
        else:
            await self.hear(CommonVerdict(verdict))

    async def done_heard(self, identity: bytes, done: JobDone) -> None:
        """A peer has its result; when all have, an interrupted end is a good one after all."""
        record = self.record
        if done.attempt != record.attempt or record.state in {JobState.DONE, JobState.PROPOSED}:
            return
        record.done_by[identity] = done.digest
        self.save()
        if self.running is not None:
            await self.running.check_done()
        elif record.done_by_all(record.attempt) and other_result(record, record.attempt, self.context.me) is None:
            self._store_correlations()
            await self.hear(AllDone())

    async def peer_up(self, identity: bytes) -> None:
        """A party's node is back: tell it everything that it may have missed."""
        record, send = self.record, self.context.mesh.send
        for message in self.consent.resync():
            await send(identity, message)
        if record.result_attempt == record.attempt:
            await send(identity, done_message(record))
        if record.verdict is not None and record.state is not JobState.DONE:
            await send(identity, failed_message(record, record.verdict))
        await self.hear(PeerUp())
        offer = self.resumption.own_offer
        if offer is not None:
            await send(identity, offer)

    async def offer_heard_untrusted(self, identity: bytes, offer: ResumeOffer) -> None:
        """A party is ready to take the job up. Raises SecurityError when the offer is not its own."""
        if self.record.state.final or not self.resumption.keep_untrusted(identity, offer):
            return
        if self.running is not None:
            await self.running.lost(identity)  # it has left this attempt, whatever we saw of it
        elif self.record.state is JobState.INTERRUPTED:
            await self._take_up(await self.resumption.take_in(identity, offer))

    def save(self) -> None:
        """Write the record down."""
        self.context.store.save_job(self.record)

    def publish(self, kind: str, **facts: str | int | float | list[str] | None) -> None:
        """Tell watchers, in this party's name."""
        self.context.events.publish(self.record.job_id, self.record.name_of(self.context.me), kind, **facts)

    @property
    def _others(self) -> list[bytes]:
        return self.record.others(self.context.me)
