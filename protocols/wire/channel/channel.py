"""Records: what travels after the handshake, as a sans-IO machine.

Every Noise message travels behind its two-byte length. The first byte of a decrypted record is its kind:

    MESSAGE  the rest is a whole application message
    BULK     eight bytes: the length of a message whose bytes follow in Noise messages that carry nothing else,
             so that large arrays are encrypted from, and decrypted to, their own memory
    PING / PONG   eight bytes, echoed           REKEY   the sender's key changes after this record
    CLOSE    a reason: the peer says goodbye

    OPEN --CLOSE received--> CLOSED        OPEN --bad record--> FAILED, for good
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum, auto

from hansa.config.errors import HansaError
from hansa.protocols.errors import PeerMisbehaved, ProtocolError, one_line
from hansa.protocols.wire.limits import (
    CHANNEL_MAX_MESSAGE,
    CHANNEL_REKEY_AFTER,
    CLOSE_MAX_REASON,
    NOISE_MAX_MESSAGE,
    NOISE_TAG,
)
from hansa.protocols.wire.noise.cipher import Bytes, CipherState

_PAYLOAD = NOISE_MAX_MESSAGE - NOISE_TAG
_FRAME = 2 + NOISE_MAX_MESSAGE
_FRAMES_PER_WRITE = 16
_READ_BUFFER = 16 * _FRAME


class RecordKind(IntEnum):
    """The first byte of a record."""

    MESSAGE = 0
    BULK = 1
    PING = 2
    PONG = 3
    REKEY = 4
    CLOSE = 5


class _ChannelState(Enum):
    OPEN = auto()
    CLOSED = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A whole application message."""

    data: memoryview


@dataclass(frozen=True, slots=True)
class PingReceived:
    """The peer asks for a sign of life: answer with ``pong(token)``."""

    token: int


@dataclass(frozen=True, slots=True)
class PongReceived:
    """The answer to our ``ping(token)``."""

    token: int


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """The peer said goodbye; nothing follows."""

    reason: str


Event = MessageReceived | PingReceived | PongReceived | PeerClosed


class Sender:
    """Turns messages into bytes. The views it yields are valid until the next step: write each before asking on."""

    def __init__(self, cipher: CipherState, *, rekey_after: int = CHANNEL_REKEY_AFTER) -> None:
        self._cipher = cipher
        self._rekey_after = rekey_after
        self._records = 0
        self._out = memoryview(bytearray(_FRAMES_PER_WRITE * _FRAME))

    def message(self, *parts: Bytes) -> Iterator[memoryview]:
        """One application message, the concatenation of ``parts`` (at most 1 GiB, C-contiguous).

        Raises ``ProtocolError`` before anything is encrypted, so that a refused message does no harm.
        """
        views = [memoryview(part) for part in parts]
        if not all(view.c_contiguous for view in views):
            raise ProtocolError("a part of a message is not contiguous", remedy="report this as a bug")
        total = sum(view.nbytes for view in views)
        if total > CHANNEL_MAX_MESSAGE:
            raise ProtocolError(f"a message of {total} bytes is too long for a channel", remedy="send it in parts")
        return self._pieces([view.cast("B") for view in views if view.nbytes], total)

    def _pieces(self, views: list[memoryview], total: int) -> Iterator[memoryview]:
        if total < _PAYLOAD:
            yield self._control(RecordKind.MESSAGE, b"".join(views))
            return
        end = self._record(self._start(), RecordKind.BULK.to_bytes() + total.to_bytes(8, "big"))
        for view in views:
            for at in range(0, len(view), _PAYLOAD):
                if end + _FRAME > len(self._out):
                    yield self._out[:end]
                    end = 0
                end = self._record(end, view[at : at + _PAYLOAD])
        yield self._out[:end]

    def ping(self, token: int) -> memoryview:
        """Ask for a sign of life."""
        return self._control(RecordKind.PING, token.to_bytes(8, "big"))

    def pong(self, token: int) -> memoryview:
        """Answer a ping."""
        return self._control(RecordKind.PONG, token.to_bytes(8, "big"))

    def close(self, reason: str) -> memoryview:
        """Say goodbye."""
        short = reason.encode()[:CLOSE_MAX_REASON].decode(errors="ignore")  # never half a character
        return self._control(RecordKind.CLOSE, short.encode())

    def _control(self, kind: RecordKind, body: bytes) -> memoryview:
        return self._out[: self._record(self._start(), kind.to_bytes() + body)]

    def _start(self) -> int:
        """Rekey where it is due; returns where the next record begins."""
        if self._records < self._rekey_after:
            return 0
        end = self._record(0, RecordKind.REKEY.to_bytes())
        self._cipher.rekey()
        self._records = 0
        return end

    def _record(self, at: int, plaintext: Bytes) -> int:
        length = len(plaintext) + NOISE_TAG
        self._out[at : at + 2] = length.to_bytes(2, "big")
        self._cipher.encrypt_into(plaintext, self._out[at + 2 : at + 2 + length])
        self._records += 1
        return at + 2 + length


class Receiver:
    """Turns bytes into events: fill ``get_buffer()``, say ``buffer_updated(n)``, then drain ``next_event()``.

    A message's memory grows with the bytes that have arrived, never with what the peer merely claims.
    """

    def __init__(self, cipher: CipherState, rest: bytes = b"") -> None:
        self._cipher = cipher
        self._buffer = bytearray(max(_READ_BUFFER, len(rest)))
        self._view = memoryview(self._buffer)
        self._start, self._end = 0, len(rest)
        self._view[: self._end] = rest
        self._plain = memoryview(bytearray(NOISE_MAX_MESSAGE))
        self._bulk: bytearray | None = None
        self._bulk_left = 0
        self._state = _ChannelState.OPEN
        self.max_message = CHANNEL_MAX_MESSAGE

    def get_buffer(self) -> memoryview:
        """Where the next bytes from the peer go (never empty)."""
        if self._start == self._end:
            self._start = self._end = 0
        elif len(self._view) - self._end < _FRAME:
            held = self._end - self._start
            self._view[:held] = bytes(self._view[self._start : self._end])
            self._start, self._end = 0, held
        return self._view[self._end :]

    def buffer_updated(self, count: int) -> None:
        """``count`` bytes were written into ``get_buffer()``."""
        self._end += count

    def next_event(self) -> Event | None:
        """The next event, or ``None`` while more bytes are needed; raises ``PeerMisbehaved`` or ``SecurityError``."""
        if self._state is not _ChannelState.OPEN:
            raise ProtocolError("records of a channel that has ended", remedy="open a new channel")
        try:
            while (plain := self._next_record_untrusted()) is not None:
                event = self._bulk_piece(plain) if self._bulk is not None else self._event_untrusted(plain)
                if event is not None:
                    return event
        except HansaError:
            self._state = _ChannelState.FAILED
            raise
        return None

    def _next_record_untrusted(self) -> memoryview | None:
        held = self._end - self._start
        if held < 2:
            return None
        length = (self._buffer[self._start] << 8) | self._buffer[self._start + 1]
        if length <= NOISE_TAG:
            raise _misbehaved(f"a record of {length} bytes")
        if held < 2 + length:
            return None
        at = self._start + 2
        plain = self._plain[: length - NOISE_TAG]
        self._cipher.decrypt_into(self._view[at : at + length], plain)
        self._start = at + length
        return plain

    def _bulk_piece(self, plain: memoryview) -> Event | None:
        bulk = self._bulk
        if bulk is None or len(plain) > self._bulk_left:
            raise _misbehaved("more bytes than the message announced")
        bulk += plain
        self._bulk_left -= len(plain)
        if self._bulk_left:
            return None
        self._bulk = None
        return MessageReceived(memoryview(bulk))

    def _event_untrusted(self, plain: memoryview) -> Event | None:
        kind, body = plain[0], plain[1:]
        match kind:
            case RecordKind.MESSAGE:
                return MessageReceived(memoryview(bytes(body)))
            case RecordKind.BULK if len(body) == 8 and 0 < int.from_bytes(body, "big") <= self.max_message:
                self._bulk, self._bulk_left = bytearray(), int.from_bytes(body, "big")
                return None
            case RecordKind.PING if len(body) == 8:
                return PingReceived(int.from_bytes(body, "big"))
            case RecordKind.PONG if len(body) == 8:
                return PongReceived(int.from_bytes(body, "big"))
            case RecordKind.REKEY if not body:
                self._cipher.rekey()
                return None
            case RecordKind.CLOSE if len(body) <= CLOSE_MAX_REASON:
                self._state = _ChannelState.CLOSED
                return PeerClosed(one_line(bytes(body).decode("utf-8", "replace"), "\N{REPLACEMENT CHARACTER}"))
            case _:
                raise _misbehaved(f"a record of kind {kind} with {len(body)} bytes")


def _misbehaved(what: str) -> PeerMisbehaved:
    return PeerMisbehaved(
        f"the peer sent {what}, which no honest node does", remedy="update both nodes to the same version"
    )
