"""Taking up an interrupted job at this node: our offers, and the peers' that come before we are ready.

An offer is written down, with its secret job key, before it is sent: a node that restarts offers a later attempt, since
it cannot know who has seen the earlier offer.
"""

from __future__ import annotations

import os

from nacl.bindings import crypto_scalarmult_base

from hansa.node.jobs.context import JobContext
from hansa.node.jobs.record import JobRecord
from hansa.node.sealing import checkpoint_files
from hansa.protocols.errors import SecurityError
from hansa.protocols.wire.consent.resume import Agreed, OfferAnew, Resume
from hansa.protocols.wire.consent.statements import ResumeOffer

FURTHEST_AHEAD = 100
"""Attempts that an offer may skip: restarts skip some, but nobody may lead a job to the last number there is."""


class Resumption:
    """The machine of protocols.wire.consent.resume for one job, with its storage and its sending."""

    def __init__(self, context: JobContext, record: JobRecord) -> None:
        self._context = context
        self._record = record
        self._machine: Resume | None = None
        self._early: dict[bytes, ResumeOffer] = {}

    @property
    def own_offer(self) -> ResumeOffer | None:
        """What a party that comes back must hear."""
        return self._machine.own_offer if self._machine is not None else None

    @property
    def waiting_for(self) -> tuple[bytes, ...]:
        """The parties that have not offered yet."""
        return self._machine.waiting_for if self._machine is not None else ()

    def keep_untrusted(self, identity: bytes, offer: ResumeOffer) -> bool:
        """Keep a party's offer for when we are ready; False if it is for an attempt that is over, or far too late.

        Raises SecurityError unless its sender signed it for this job.
        """
        signature, record = offer.signature, self._record
        ours = (identity, record.job_id, record.contract.nonce)
        if (signature.identity, signature.job_id, signature.nonce) != ours:
            raise SecurityError("an offer to resume is not the sender's", remedy="nothing: it was ignored")
        if not 0 < signature.attempt - record.attempt <= FURTHEST_AHEAD:
            return False
        signature.verify()
        self._early[identity] = offer
        return True

    async def begin(self) -> Agreed | None:
        """Offer the next attempt to all, once every party is connected; and take in the offers that came before ours.

        A node that cannot reach a party does not offer: else a third one, which reaches both, would start alone.
        """
        if self._machine is not None or not self._all_online():
            return None
        record = self._record
        self._machine = Resume(
            record.contract, me=self._context.me, signing_key=self._context.signing_key, last_attempt=record.attempt
        )
        agreed = await self._offer(self._machine, max(record.attempt, record.offered) + 1)
        for identity, offer in list(self._early.items()):
            agreed = agreed or await self.take_in(identity, offer)
        return agreed

    async def take_in(self, identity: bytes, offer: ResumeOffer) -> Agreed | None:
        """A party's offer: the agreed attempt once all offers for it are there. Raises SecurityError."""
        machine = self._machine
        if machine is None:
            return None
        match machine.receive_untrusted(identity, offer):
            case OfferAnew(attempt) if self._all_online():
                return await self._offer(machine, attempt)
            case OfferAnew():
                self._machine = None
                return None
            case Agreed() as agreed:
                return agreed
            case _:
                return None

    def end(self) -> None:
        """The job is taken up, or over."""
        self._machine = None
        self._early.clear()

    def _all_online(self) -> bool:
        return all(self._context.mesh.online(identity) for identity in self._record.others(self._context.me))

    async def _offer(self, machine: Resume, attempt: int) -> Agreed | None:
        secret = os.urandom(32)
        self._record.offered, self._record.offered_secret = attempt, secret
        self._context.store.save_job(self._record)
        files = checkpoint_files(self._context.folder(self._record.job_id))
        agreed = machine.offer(attempt, crypto_scalarmult_base(secret), [file.epoch for file in files])
        if machine.own_offer is not None:
            await self._context.mesh.broadcast(self._record.others(self._context.me), machine.own_offer)
        return agreed
