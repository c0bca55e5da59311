"""What an attested node sends: its evidence, the collateral to judge it by, and what its own settings call its hardware."""

from __future__ import annotations

from dataclasses import dataclass, field

from hansa.config.vocabulary import BACKENDS
from hansa.protocols.wire import canonical, limits
from hansa.protocols.wire.fields import Fields


@dataclass(frozen=True, slots=True)
class Proof:
    """``collateral`` are whole files: Intel's JSON, AMD's certificates, tables and revocation lists. None of it is trusted."""

    backend: str
    evidence: bytes = field(repr=False)
    collateral: tuple[bytes, ...] = field(default=(), repr=False)

    def encode(self) -> bytes:
        """Canonical bytes."""
        return canonical.encode(
            {"backend": self.backend, "evidence": self.evidence, "collateral": list(self.collateral)}
        )

    @classmethod
    def decode_untrusted(cls, data: bytes | memoryview) -> Proof:
        """Read a proof of at most ``ATTESTATION_MAX_SENT`` bytes; ``PeerMisbehaved`` where it is none."""
        most = limits.ATTESTATION_MAX_SENT
        fields = Fields(canonical.decode_untrusted(data, most), "a proof of hardware")
        proof = cls(
            fields.choice("backend", *BACKENDS),
            fields.blob("evidence", limits.ATTESTATION_MAX_QUOTE),
            fields.each(
                "collateral",
                limits.ATTESTATION_MAX_PIECES,
                lambda piece: Fields({"piece": piece}, "collateral").blob("piece", most),
            ),
        )
        fields.end()
        return proof
