"""What evidence is about: this node, on this channel, for this role, in answer to this question (docs/tee.md, binding)."""

from __future__ import annotations

import hashlib
from enum import StrEnum

from hansa.protocols.errors import ProtocolError

TAG = b"hansa-attestation"
VERSION = 1
IDENTITY_BYTES = 32
NONCE_BYTES = 32
_HASH_BYTES = (32, 64)


class Role(StrEnum):
    """What an attested node may be asked to do."""

    DEALER = "dealer"
    ENCLAVE = "enclave"
    SCORER = "scorer"
    PEER = "peer"
    """A member that proves its code without a task in trusted hardware."""


def report_data(*, identity: bytes, handshake_hash: bytes, nonce: bytes, role: Role) -> bytes:
    """The 64 bytes of report data: BLAKE2b-512 of tag, version and the four, each behind its length in 8 bytes.

    ``identity`` is the Ed25519 key of the node that produces the evidence; ``handshake_hash`` the Noise ``h`` of the channel
    the evidence travels on (32 or 64 bytes), which both ends have and no other channel does; ``nonce`` 32 fresh bytes of
    the verifier. ``ProtocolError`` where a length is another.
    """
    if len(identity) != IDENTITY_BYTES or len(nonce) != NONCE_BYTES or len(handshake_hash) not in _HASH_BYTES:
        raise ProtocolError(
            f"evidence cannot be bound to a key of {len(identity)}, a nonce of {len(nonce)} and a handshake hash of "
            f"{len(handshake_hash)} bytes",
            remedy="report it as a bug",
        )
    h = hashlib.blake2b(digest_size=64)
    for part in (TAG, bytes([VERSION]), identity, handshake_hash, nonce, role.encode("ascii")):
        h.update(len(part).to_bytes(8, "big"))
        h.update(part)
    return h.digest()
