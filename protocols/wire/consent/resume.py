"""Taking up an interrupted job: which attempt, and from which checkpoint.

Every member offers its signature for one attempt number, with a fresh job key, and the checkpoints that it holds. An offer for
a higher attempt than ours makes us offer anew for that one. An attempt is agreed once the offers of all members for it are
there. It begins at the greatest checkpoint that all parties hold (0: after alignment; -1: from the start). A dealer holds none
and does not count. The attempt's number enters every key, so nothing of an earlier attempt can be replayed into a later one.

    WAITING --offer of every party for one attempt--> AGREED
    WAITING --a higher attempt seen--> WAITING (offer anew)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hansa.protocols.errors import ProtocolError, SecurityError
from hansa.protocols.wire.consent.certificate import Certificate, Signature
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.statements import ResumeOffer

FROM_START = -1


@dataclass(frozen=True, slots=True)
class OfferAnew:
    """Call ``offer`` for this attempt with a fresh job key."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Agreed:
    """Start the worker of this attempt from this checkpoint."""

    certificate: Certificate
    checkpoint: int


class Resume:
    """One node's side of taking up one interrupted job, whose last attempt was ``last_attempt``."""

    def __init__(self, contract: Contract, *, me: bytes, signing_key: bytes, last_attempt: int) -> None:
        self.contract = contract
        self.attempt = last_attempt
        self._me, self._signing_key = me, signing_key
        self._offers: dict[bytes, ResumeOffer] = {}

    @property
    def waiting_for(self) -> tuple[bytes, ...]:
        """Parties without an offer for the present attempt."""
        return tuple(
            m.identity
            for m in self.contract.members
            if m.identity not in self._offers or self._offers[m.identity].signature.attempt != self.attempt
        )

    @property
    def own_offer(self) -> ResumeOffer | None:
        """Ours, to be sent to all and to whoever (re)appears."""
        return self._offers.get(self._me)

    def offer(self, attempt: int, job_key: bytes, checkpoints: Sequence[int]) -> Agreed | None:
        """Offer this attempt; send ``own_offer`` to all afterwards. ``ProtocolError`` unless it is a later one."""
        if attempt <= self.attempt:
            raise ProtocolError(f"attempt {attempt} is not after {self.attempt}", remedy="report this as a bug")
        self.attempt = attempt
        signature = Signature.make(self._signing_key, self._me, self.contract, attempt, job_key)
        self._offers[self._me] = ResumeOffer(signature, tuple(sorted(set(checkpoints))))
        return self._agree()

    def receive_untrusted(self, sender: bytes, offer: ResumeOffer) -> OfferAnew | Agreed | None:
        """Take in a party's offer; raises ``SecurityError`` if it is not the sender's for this job."""
        signature = offer.signature
        right = (signature.identity, signature.job_id, signature.nonce) == (
            sender,
            self.contract.job_id,
            self.contract.nonce,
        )
        if not right or self.contract.rank_of(sender) is None:
            raise SecurityError("an offer to resume is not the sender's", remedy="nothing: it was ignored")
        signature.verify()
        known = self._offers.get(sender)
        if known is not None and known.signature.attempt >= signature.attempt:
            return None  # old, or repeated: the first offer for an attempt counts
        self._offers[sender] = offer
        if signature.attempt > self.attempt:
            return OfferAnew(signature.attempt)
        return self._agree()

    def _agree(self) -> Agreed | None:
        certificate = Certificate.of(self.contract, self.attempt, (o.signature for o in self._offers.values()))
        if certificate is None:
            return None
        common = set.intersection(*(set(self._offers[p.identity].checkpoints) for p in self.contract.parties))
        return Agreed(certificate, max(common, default=FROM_START))
