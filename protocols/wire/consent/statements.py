"""What parties say to each other about one contract, signed: who agrees, who ends it, who contradicted itself, who resumes."""

from __future__ import annotations

from typing import ClassVar

from hansa.protocols.errors import SecurityError, one_line
from hansa.protocols.wire import canonical, limits, signing
from hansa.protocols.wire.consent.certificate import Signature
from hansa.protocols.wire.declared import blob, choice, declared, each, integers, octets, printable, value


@declared()
class Offer:
    """A contract with every signature under it that the sender knows."""

    contract: bytes = blob(limits.CONTRACT_MAX_BYTES)
    signatures: tuple[Signature, ...] = each(limits.CONTRACT_MAX_MEMBERS, Signature.from_untrusted)


@declared()
class End:
    """``identity`` ends the job: refused, cancelled or expired. Signed, so that others may pass it on."""

    _TAG: ClassVar[str] = "end"
    job_id: bytes = octets(32)
    identity: bytes = octets(32)
    kind: str = choice("refused", "cancelled", "expired")
    reason: str = printable(limits.TEXT_MAX)
    sig: bytes = octets(64)

    @classmethod
    def make(cls, signing_key: bytes, identity: bytes, job_id: bytes, kind: str, reason: str) -> End:
        """Sign an End with the signing key of ``identity``."""
        reason = one_line(reason)[: limits.TEXT_MAX]
        return cls(job_id, identity, kind, reason, signing.sign(signing_key, cls._TAG, cls._body(job_id, kind, reason)))

    def verify(self) -> None:
        """Raise ``SecurityError`` unless ``identity`` made it."""
        signing.verify(self.identity, self._TAG, self._body(self.job_id, self.kind, self.reason), self.sig)

    @staticmethod
    def _body(job_id: bytes, kind: str, reason: str) -> bytes:
        return canonical.encode([job_id, kind, reason])


@declared()
class Equivocation:
    """Two signatures of one party over one nonce: under two contracts, or with two job keys for one attempt."""

    first: Signature = value(Signature.from_untrusted)
    second: Signature = value(Signature.from_untrusted)

    def verify(self) -> None:
        """Raise ``SecurityError`` unless it proves what it says."""
        self.first.verify()
        self.second.verify()
        first, second = self.first, self.second
        same = (first.identity, first.nonce) == (second.identity, second.nonce)
        rekeyed = first.attempt == second.attempt and first.job_key != second.job_key
        if not same or (first.job_id == second.job_id and not rekeyed):
            raise SecurityError("what a peer sent as evidence proves nothing", remedy="nothing: it was ignored")


@declared()
class ResumeOffer:
    """Ready to run this attempt of an interrupted job, with these checkpoints at hand."""

    signature: Signature = value(Signature.from_untrusted)
    checkpoints: tuple[int, ...] = integers(limits.MAX_CHECKPOINTS, limits.MAX_ATTEMPT)
