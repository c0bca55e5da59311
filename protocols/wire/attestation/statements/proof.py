"""What an attested node sends: its evidence, the collateral to judge it by, and what its own settings call its hardware."""

from __future__ import annotations

from hansa.config.vocabulary import BACKENDS
from hansa.protocols.wire import canonical
from hansa.protocols.wire.declared import blob, blobs, choice, declared, plain, read_untrusted
from hansa.protocols.wire.limits import ATTESTATION_MAX_PIECES, ATTESTATION_MAX_QUOTE, ATTESTATION_MAX_SENT


@declared()
class Proof:
    """``collateral`` are whole files: Intel's JSON, AMD's certificates, tables and revocation lists. None of it is trusted."""

    backend: str = choice(*BACKENDS)
    evidence: bytes = blob(ATTESTATION_MAX_QUOTE, repr=False)
    collateral: tuple[bytes, ...] = blobs(ATTESTATION_MAX_PIECES, ATTESTATION_MAX_SENT, default=(), repr=False)

    def encode(self) -> bytes:
        """Canonical bytes."""
        return canonical.encode(plain(self))

    @classmethod
    def decode_untrusted(cls, data: bytes | memoryview) -> Proof:
        """Read a proof of at most ``ATTESTATION_MAX_SENT`` bytes; ``PeerMisbehaved`` where it is none."""
        return read_untrusted(cls, canonical.decode_untrusted(data, ATTESTATION_MAX_SENT), "a proof of hardware")
