"""Marks: how an enclave shows members which epoch its sealed state is of.

    8 bytes epoch | 16 line | 16 state | 32 tag

The *line* says whose epochs are counted: those of one node's identity, one code and one sealing key. A neighbour on the same
chip has another, and so has an enclave that has lost its sealing key, to new code or new microcode: what it had sealed opens no
more, so it cannot be rolled back either. The *state* is drawn anew with every write: two states of one epoch differ in it, which
finds a host that rolls back and goes on from there. Only the enclave can make the *tag*, so nobody shuts its state by a lie.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import blake2b

from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire import limits
from hansa.protocols.wire.consent.contract_parts import Code

LINE_BYTES = STATE_BYTES = 16
NO_STATE = bytes(STATE_BYTES)
"""Of epoch 0: nothing is sealed yet."""


@dataclass(frozen=True, slots=True)
class EpochToken:
    """One; the enclave believes it after a ``check``, members take the word of the proven channel that it comes on."""

    epoch: int
    line: bytes
    state: bytes
    tag: bytes

    @classmethod
    def make(cls, key: bytes, line: bytes, epoch: int, state: bytes) -> EpochToken:
        """Show an epoch; ``key`` is the sealing key."""
        return cls(epoch, line, state, _tag(key, line, epoch, state))

    def check(self, key: bytes) -> None:
        """Raise ``SecurityError`` unless it was made with this sealing key."""
        if not hmac.compare_digest(self.tag, _tag(key, self.line, self.epoch, self.state)):
            raise SecurityError("a mark that this enclave has not made", remedy="nothing: it was ignored")

    def encode(self) -> bytes:
        """``EPOCH_MARK_BYTES`` bytes."""
        return self.epoch.to_bytes(8, "big") + self.line + self.state + self.tag

    @classmethod
    def each_untrusted(cls, data: bytes) -> list[EpochToken]:
        """Marks, one behind the other; ``PeerMisbehaved`` where the bytes are no whole number of them."""
        size = limits.EPOCH_MARK_BYTES
        if len(data) % size:
            raise PeerMisbehaved(
                f"a peer shows {len(data)} bytes as marks of {size}", remedy="update both nodes to the same version"
            )
        return [cls._read(data[at : at + size]) for at in range(0, len(data), size)]

    @classmethod
    def _read(cls, data: bytes) -> EpochToken:
        line_at, tag_at = 8 + LINE_BYTES, 8 + LINE_BYTES + STATE_BYTES
        return cls(int.from_bytes(data[:8], "big"), data[8:line_at], data[line_at:tag_at], data[tag_at:])


def line_of(key: bytes, identity: bytes, code: Code) -> bytes:
    """The line of a node's identity, its code and its sealing key; it tells nothing of the key."""
    about = identity + code.platform.encode("ascii") + b"\0" + code.measurement
    return blake2b(about, key=key, digest_size=LINE_BYTES, person=b"hansa-tee-line").digest()


def _tag(key: bytes, line: bytes, epoch: int, state: bytes) -> bytes:
    said = epoch.to_bytes(8, "big") + line + state
    return blake2b(said, key=key, digest_size=32, person=b"hansa-epoch").digest()
