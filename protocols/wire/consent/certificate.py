"""A party's signature under a contract, and the full set of them: the commit certificate.

A signature covers (tag, job id, contract nonce, attempt, the party's fresh X25519 job key). It is final. Whoever holds
all of one attempt may start that attempt's worker and show it to the others; the job keys in it authenticate the
workers' channels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hansa.protocols.errors import SecurityError
from hansa.protocols.wire import canonical, limits, signing
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.declared import declared, each, number, octets, plain, read_untrusted

_TAG = "contract"
_MAX_BYTES = 512 * limits.CONTRACT_MAX_MEMBERS


@declared()
class Signature:
    """``identity`` agrees to attempt ``attempt`` of the job, with the worker key ``job_key``."""

    identity: bytes = octets(32)
    job_id: bytes = octets(32)
    nonce: bytes = octets(16)
    attempt: int = number(limits.MAX_ATTEMPT)
    job_key: bytes = octets(32)
    sig: bytes = octets(64)

    @classmethod
    def make(cls, signing_key: bytes, identity: bytes, contract: Contract, attempt: int, job_key: bytes) -> Signature:
        """Sign with the signing key of ``identity``."""
        body = _body(contract.job_id, contract.nonce, attempt, job_key)
        return cls(identity, contract.job_id, contract.nonce, attempt, job_key, signing.sign(signing_key, _TAG, body))

    def verify(self) -> None:
        """Raise ``SecurityError`` unless ``identity`` made it."""
        signing.verify(self.identity, _TAG, _body(self.job_id, self.nonce, self.attempt, self.job_key), self.sig)

    @classmethod
    def from_untrusted(cls, value: Any) -> Signature:
        """Read and verify; raises ``PeerMisbehaved`` or ``SecurityError``."""
        signature = read_untrusted(cls, value, "a signature")
        signature.verify()
        return signature


@declared()
class Certificate:
    """One signature of every member, in rank order, for one attempt."""

    job_id: bytes = octets(32)
    attempt: int = number(limits.MAX_ATTEMPT)
    entries: tuple[Signature, ...] = each(limits.CONTRACT_MAX_MEMBERS, Signature.from_untrusted, least=2)

    @classmethod
    def of(cls, contract: Contract, attempt: int, signatures: Iterable[Signature]) -> Certificate | None:
        """The certificate, or None while a member's signature is missing."""
        by_identity = {s.identity: s for s in signatures if s.attempt == attempt and s.job_id == contract.job_id}
        if any(member.identity not in by_identity for member in contract.members):
            return None
        return cls(contract.job_id, attempt, tuple(by_identity[member.identity] for member in contract.members))

    def encode(self) -> bytes:
        """The canonical bytes, equal at every party."""
        return canonical.encode(plain(self))

    @classmethod
    def decode_untrusted(cls, data: bytes | memoryview) -> Certificate:
        """Decode, each signature verified; whether they are all members' of one contract, only ``verify`` tells.

        A worker reads the certificate that its own daemon made from signatures it had checked, so it need not ask.
        """
        return read_untrusted(cls, canonical.decode_untrusted(data, _MAX_BYTES), "a certificate")

    def verify(self, contract: Contract) -> None:
        """Raise ``SecurityError``, naming the member, unless every member of ``contract`` signed this attempt."""
        signers = [entry.identity for entry in self.entries]
        for rank, member in enumerate(contract.members):
            entry = self.entries[rank] if rank < len(self.entries) else None
            good = entry is not None and (entry.identity, entry.job_id, entry.nonce, entry.attempt) == (
                member.identity,
                contract.job_id,
                contract.nonce,
                self.attempt,
            )
            if entry is None or not good:
                raise SecurityError(
                    f"the certificate holds no valid signature of {member.name}",
                    remedy="submit the job anew",
                    peer=member.name,
                )
            entry.verify()
        if len(signers) != len(contract.members) or self.job_id != contract.job_id:
            raise SecurityError("the certificate is for another contract", remedy="submit the job anew")


def _body(job_id: bytes, nonce: bytes, attempt: int, job_key: bytes) -> bytes:
    return canonical.encode({"job_id": job_id, "nonce": nonce, "attempt": attempt, "job_key": job_key})
