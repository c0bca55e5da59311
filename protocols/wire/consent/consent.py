"""Consent to one contract, without a coordinator: the state machine each party runs for each job.

    PROPOSED --all signatures, before expiry--> COMMITTED
    PROPOSED, COMMITTED --an End of any party (refused, cancelled, expired)--> ENDED
    PROPOSED --expiry--> ENDED (expired)        any --one party signed two things over the nonce--> ENDED (conflict)

    input                          PROPOSED                COMMITTED   ENDED
    approve                        sign; COMMITTED if all  error       error
    refuse                         ENDED, error if signed  error       error
    cancel                         ENDED                   ENDED       error
    tick at expiry                 ENDED                   -           -
    signatures                     grow; COMMITTED if all  -           -
    End, evidence                  ENDED                   ENDED       ENDED, if it outranks
    stranger's, forged, misplaced  error, nothing changes in any state

Parties exchange state, not steps. An ``Offer`` is the contract with every signature that its sender knows. A node sends it to all
whenever it grows, and to every peer that (re)appears. So any order, loss or repetition of messages leads to the same sets.
Whoever holds the full set is committed and shows it to the others. The proposer is a party like any other and may die.

``End``s and evidence are signed. Every party passes each on once and merges them. Of several ends all parties give the same
reason: the least (kind, identity). Signatures come with their contract, so none has to wait for it.

A party may commit while another, cut off, lets the contract expire. The End of the other party tells it so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from hansa.protocols.errors import ConsentError, SecurityError
from hansa.protocols.wire.consent.certificate import Certificate, Signature
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.statements import End, Equivocation, Offer


class ConsentState(Enum):
    """Where this node's consent stands."""

    PROPOSED = "proposed"
    COMMITTED = "committed"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    CONFLICT = "conflict"


_END_ORDER = ("conflict", "refused", "cancelled", "expired")
_EXPIRED_TEXT = "the contract expired before every party had signed"


Statement = Offer | End | Equivocation


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send this to every other party that is online."""

    message: Statement


@dataclass(frozen=True, slots=True)
class Note:
    """An entry for the audit log."""

    kind: str
    body: dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Committed:
    """Every member has signed."""

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Ended:
    """The job is over by consent; ``culprit`` is who ended it (None: time did). May come again with a lesser reason."""

    state: ConsentState
    reason: str
    culprit: bytes | None


Effect = Broadcast | Note | Committed | Ended


class Consent:
    """One node's consent to one contract. ``signing_key`` is that of ``me``, one of the members."""

    def __init__(self, contract: Contract, *, me: bytes, signing_key: bytes) -> None:
        if contract.rank_of(me) is None:
            raise ConsentError(
                f"the contract '{contract.name}' does not name this node as a party",
                remedy="ask its proposer to name this node's key (`hansa status`)",
            )
        self.contract = contract
        self.state = ConsentState.PROPOSED
        self._me, self._signing_key = me, signing_key
        self._signatures: dict[bytes, Signature] = {}
        self._ends: dict[bytes, End] = {}
        self._ended: Ended | None = None
        self._evidence: dict[bytes, Equivocation] = {}

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """Every signature known, for the store."""
        return tuple(self._signatures.values())

    @property
    def ends(self) -> tuple[End, ...]:
        """Every End known, for the store."""
        return tuple(self._ends.values())

    @property
    def ended(self) -> Ended | None:
        """Why it is over, if it is."""
        return self._ended

    @property
    def signed(self) -> bool:
        """Whether this node has signed."""
        return self._me in self._signatures

    @property
    def waiting_for(self) -> tuple[bytes, ...]:
        """The members that have not signed."""
        return tuple(m.identity for m in self.contract.members if m.identity not in self._signatures)

    @property
    def certificate(self) -> Certificate | None:
        """The commit certificate, once every party has signed."""
        return Certificate.of(self.contract, 0, self._signatures.values())

    def resync(self) -> tuple[Statement, ...]:
        """What a party that has (re)appeared must hear; harmless when repeated."""
        return (Offer(self.contract.encode(), self.signatures), *self._ends.values(), *self._evidence.values())

    def approve(self, job_key: bytes, now: int) -> list[Effect]:
        """Sign, with a fresh X25519 public ``job_key``. Final: afterwards only ``cancel`` is left."""
        if self.state is not ConsentState.PROPOSED or self.signed:
            raise ConsentError(
                f"the job '{self.contract.name}' is {self.state.value} and waits for no approval here",
                remedy="see `hansa job list`",
            )
        effects = self.tick(now)
        if self._ended is not None:
            return effects
        signature = Signature.make(self._signing_key, self._me, self.contract, 0, job_key)
        return self._merge((signature,), now)

    def refuse(self, reason: str) -> list[Effect]:
        """Say no; ``ConsentError`` once this node has signed."""
        if self.signed:
            raise ConsentError(
                f"the job '{self.contract.name}' is signed here: a signature is final",
                remedy="cancel it with `hansa job cancel`",
            )
        return self._end("refused", reason)

    def cancel(self, reason: str) -> list[Effect]:
        """End the job, before or after commit."""
        return self._end("cancelled", reason)

    def tick(self, now: int) -> list[Effect]:
        """Let time pass: an uncommitted contract ends at its expiry."""
        if self.state is ConsentState.PROPOSED and now >= self.contract.expires:
            return self._end("expired", _EXPIRED_TEXT)
        return []

    def receive_signatures_untrusted(self, signatures: Iterable[Signature], now: int) -> list[Effect]:
        """Merge the signatures of an Offer of this very contract; ``SecurityError``, and no change, if one is wrong."""
        signatures = tuple(signatures)
        self.check_untrusted(signatures)
        effects = self.tick(now)
        fresh: dict[bytes, Signature] = {}
        for signature in signatures:
            if signature.attempt == 0:
                known = self._signatures.get(signature.identity) or fresh.setdefault(signature.identity, signature)
                if known.job_key != signature.job_key:
                    effects += self.receive_equivocation_untrusted(Equivocation(known, signature))
        return effects + self._merge(fresh.values(), now)

    def receive_end_untrusted(self, end: End) -> list[Effect]:
        """Merge a party's End; raises ``SecurityError`` unless a party of the contract signed it."""
        if end.job_id != self.contract.job_id or self.contract.rank_of(end.identity) is None:
            raise SecurityError("an end of the job is a stranger's", remedy="nothing: it was ignored")
        end.verify()
        if end.identity in self._ends:
            return []
        self._ends[end.identity] = end
        return [Broadcast(end), *self._settle()]

    def receive_rival_untrusted(self, signature: Signature) -> list[Effect]:
        """A signature over this contract's nonce, but under another contract: evidence if its maker signed both."""
        ours = self._signatures.get(signature.identity)
        if ours is None or signature.nonce != self.contract.nonce or signature.job_id == self.contract.job_id:
            return []
        signature.verify()
        return self.receive_equivocation_untrusted(Equivocation(ours, signature))

    def receive_equivocation_untrusted(self, found: Equivocation) -> list[Effect]:
        """Two signatures of one party over this nonce; ``SecurityError`` if they agree, or it did not make both."""
        found.verify()
        signer = found.first.identity
        relevant = found.first.nonce == self.contract.nonce and self.contract.rank_of(signer) is not None
        if not relevant or signer in self._evidence:
            return []
        self._evidence[signer] = found
        note = Note("evidence", {"signer": self._name(signer), "nonce": self.contract.nonce.hex()})
        return [Broadcast(found), note, *self._settle()]

    def check_untrusted(self, signatures: Iterable[Signature]) -> None:
        """Raise ``SecurityError`` unless each of these is a member's, for this contract."""
        for signature in signatures:
            if self.contract.rank_of(signature.identity) is None:
                raise SecurityError("a signature under the contract is a stranger's", remedy="submit the job anew")
            if (signature.job_id, signature.nonce) != (self.contract.job_id, self.contract.nonce):
                raise SecurityError("a signature is for another contract", remedy="submit the job anew")
            signature.verify()

    def restore(self, signatures: Iterable[Signature], ends: Iterable[End]) -> None:
        """Take up what the store kept; no effects."""
        self._signatures.update({s.identity: s for s in signatures})
        self._ends.update({e.identity: e for e in ends})
        if self.certificate is not None:
            self.state = ConsentState.COMMITTED
        self._settle()

    def _merge(self, signatures: Iterable[Signature], now: int) -> list[Effect]:
        fresh = [s for s in signatures if s.identity not in self._signatures]
        if not fresh or self._ended is not None:
            return []
        self._signatures.update({s.identity: s for s in fresh})
        effects: list[Effect] = [Note("consent", {"party": self._name(s.identity)}) for s in fresh]
        effects.append(Broadcast(Offer(self.contract.encode(), self.signatures)))
        certificate = self.certificate
        if certificate is not None and self.state is ConsentState.PROPOSED and now < self.contract.expires:
            self.state = ConsentState.COMMITTED
            effects.append(Committed(certificate))
        return effects

    def _end(self, kind: str, reason: str) -> list[Effect]:
        if self._ended is not None:
            raise ConsentError(
                f"the job '{self.contract.name}' has ended already ({self._ended.state.value})",
                remedy="see `hansa job list`",
            )
        end = End.make(self._signing_key, self._me, self.contract.job_id, kind, reason)
        self._ends[self._me] = end
        return [Broadcast(end), *self._settle()]

    def _settle(self) -> list[Effect]:
        """Give the least reason known; silent when it is the one given before."""
        found = self._least_end()
        if found is None or found == self._ended:
            return []
        self._ended = found
        self.state = found.state
        culprit = self._name(found.culprit) if found.culprit is not None else ""
        return [Note(f"job-{found.state.value}", {"reason": found.reason, "party": culprit}), found]

    def _least_end(self) -> Ended | None:
        if self._evidence:
            signer = min(self._evidence)
            text = (
                f"the contract differs between parties: {self._name(signer)} signed two contracts over one nonce, "
                "or one contract with two keys"
            )
            return Ended(ConsentState.CONFLICT, text, signer)
        least = min(self._ends.values(), key=lambda e: (_END_ORDER.index(e.kind), e.identity), default=None)
        if least is None:
            return None
        if least.kind == "expired":
            return Ended(ConsentState.EXPIRED, _EXPIRED_TEXT, None)
        return Ended(ConsentState(least.kind), least.reason, least.identity)

    def _name(self, identity: bytes) -> str:
        rank = self.contract.rank_of(identity)
        return self.contract.members[rank].name if rank is not None else "a stranger"
