"""Epoch tokens: by them an enclave shows members which epoch its sealed state has reached.

    8 bytes epoch | 16 lineage | 16 state | 32 tag

* The *epoch* counts the writes of the sealed state.
* The *lineage* stands for one node's identity, one code and one sealing key; epochs are compared within it only. Another node on
  the same chip has its own lineage. An enclave that lost its sealing key, to new code or new microcode, begins a new one: what it
  had sealed no longer opens, so nobody can roll it back to that.
* The *state* is drawn at random with every write. Two states of one epoch differ in it, so a host that rolls back and then goes
  on from the older state is found.
* The *tag* is a keyed hash under the sealing key. Only the enclave can make it, so nobody locks its state by a lie.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import blake2b

from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire import limits
from hansa.protocols.wire.attestation.platforms import Code

LINEAGE_BYTES = STATE_BYTES = 16
NO_STATE = bytes(STATE_BYTES)
"""The state of epoch 0: nothing is sealed yet."""


@dataclass(frozen=True, slots=True)
class EpochToken:
    """One token. The enclave that made it calls ``check``; a member believes the attested channel that a token came over."""

    epoch: int
    lineage: bytes
    state: bytes
    tag: bytes

    @classmethod
    def make(cls, key: bytes, lineage: bytes, epoch: int, state: bytes) -> EpochToken:
        """The token of an epoch; ``key`` is the sealing key."""
        return cls(epoch, lineage, state, _tag(key, lineage, epoch, state))

    def check(self, key: bytes) -> None:
        """Raise ``SecurityError`` unless the token was made with this sealing key."""
        if not hmac.compare_digest(self.tag, _tag(key, self.lineage, self.epoch, self.state)):
            raise SecurityError("an epoch token that this enclave has not made", remedy="nothing: it was ignored")

    def encode(self) -> bytes:
        """``EPOCH_TOKEN_BYTES`` bytes."""
        return self.epoch.to_bytes(8, "big") + self.lineage + self.state + self.tag

    @classmethod
    def decode_all_untrusted(cls, data: bytes) -> list[EpochToken]:
        """Tokens, one behind the other. Raises ``PeerMisbehaved`` where the bytes are not a whole number of them."""
        size = limits.EPOCH_TOKEN_BYTES
        if len(data) % size:
            raise PeerMisbehaved(
                f"a peer shows {len(data)} bytes as epoch tokens of {size}",
                remedy="update both nodes to the same version",
            )
        return [cls._decode(data[at : at + size]) for at in range(0, len(data), size)]

    @classmethod
    def _decode(cls, data: bytes) -> EpochToken:
        state_at, tag_at = 8 + LINEAGE_BYTES, 8 + LINEAGE_BYTES + STATE_BYTES
        return cls(int.from_bytes(data[:8], "big"), data[8:state_at], data[state_at:tag_at], data[tag_at:])


def lineage_of(key: bytes, identity: bytes, code: Code) -> bytes:
    """The lineage of a node's identity, its code and its sealing key; it tells nothing of the key."""
    about = identity + code.platform.encode("ascii") + b"\0" + code.measurement
    return blake2b(about, key=key, digest_size=LINEAGE_BYTES, person=b"hansa-tee-line").digest()


def _tag(key: bytes, lineage: bytes, epoch: int, state: bytes) -> bytes:
    said = epoch.to_bytes(8, "big") + lineage + state
    return blake2b(said, key=key, digest_size=32, person=b"hansa-epoch").digest()
