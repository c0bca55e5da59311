"""What two nodes say in clear before the Noise handshake, once each way.

    initiator:  "HNSA" version purpose len(token) token count {len name}*      suites it would use
    responder:  "HNSA" version status  len(name) name                          the one suite chosen, or a refusal

Both byte strings enter the handshake's prologue, so that whoever alters one (a downgrade) makes the handshake fail.
The responder chooses the first of *its own* permitted suites that was offered. The first six bytes keep their meaning
in every version, so that nodes of different versions can at least tell each other so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum

from hansa.config.vocabulary import SUITES
from hansa.protocols.errors import PeerError, PeerMisbehaved
from hansa.protocols.wire.limits import PREAMBLE_MAX_SUITES, PREAMBLE_MAX_TOKEN

MAGIC = b"HNSA"
VERSION = 1
_LONGEST_SUITE = max(map(len, SUITES))


class Purpose(IntEnum):
    """What a connection is for; the listener dispatches on it."""

    CONTROL = 1
    MEET = 2
    WORKER = 3


class Refusal(Enum):
    """Why a responder will not go on: all that a stranger is told."""

    NO_COMMON_SUITE = 1
    UNKNOWN_VERSION = 2


class PreambleRefused(PeerError):
    """A listener, the peer's or ours, declined the connection before any handshake (fields: reason)."""

    code = "peer-refused"


def _malformed(what: str) -> PeerMisbehaved:
    return PeerMisbehaved(
        f"the bytes received are not a hansa preamble: {what}",
        remedy="check that the address and port belong to a hansa node (`hansa doctor`)",
    )


class _Reader:
    """Takes bytes from an untrusted string; ``None`` where more are needed."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def take(self, count: int) -> bytes | None:
        piece = self._data[self.at : self.at + count]
        if len(piece) < count:
            return None
        self.at += count
        return piece

    def short_string(self, most: int, what: str) -> bytes | None:
        """A length byte, at most ``most``, and as many bytes."""
        length = self.take(1)
        if length is None:
            return None
        if length[0] > most:
            raise _malformed(f"{what} is longer than {most} bytes")
        return self.take(length[0])


def _head(reader: _Reader, data: bytes) -> tuple[int, int] | None:
    """The version and the byte behind it (purpose or status); ``None`` where more bytes are needed."""
    if not MAGIC.startswith(data[:4]) and data[:4] != MAGIC:
        raise _malformed("it does not begin with HNSA")
    head = reader.take(6)
    return None if head is None else (head[4], head[5])


def _refused(why: str, refusal: Refusal | None, remedy: str) -> PreambleRefused:
    return PreambleRefused(why, remedy=remedy, reason=refusal.name.lower() if refusal else "unknown")


@dataclass(frozen=True, slots=True)
class Preamble:
    """The initiator's preamble; ``raw`` is its exact bytes."""

    purpose: Purpose
    token: bytes
    suites: tuple[str, ...]
    raw: bytes

    @classmethod
    def build(cls, purpose: Purpose, token: bytes, suites: Sequence[str]) -> Preamble:
        """The preamble that offers ``suites``, in order of preference."""
        if len(token) > PREAMBLE_MAX_TOKEN or not 0 < len(suites) <= PREAMBLE_MAX_SUITES:
            raise ValueError("token or suites of a preamble out of bounds")
        names = b"".join(bytes([len(name)]) + name.encode("ascii") for name in suites)
        raw = MAGIC + bytes([VERSION, purpose, len(token)]) + token + bytes([len(suites)]) + names
        return cls(purpose, token, tuple(suites), raw)

    @classmethod
    def parse_untrusted(cls, data: bytes) -> Preamble | None:
        """The preamble at the start of ``data``, or ``None`` while more bytes are needed.

        Raises ``PeerMisbehaved`` as soon as no continuation could be a preamble, ``PreambleRefused`` for a version
        that is not ours.
        """
        reader = _Reader(data)
        head = _head(reader, data)
        if head is None:
            return None
        version, code = head
        if version != VERSION:
            raise _refused(
                f"the peer speaks version {version} of the protocol, this node version {VERSION}",
                Refusal.UNKNOWN_VERSION,
                "update the older node",
            )
        if code not in {int(p) for p in Purpose}:
            raise _malformed(f"unknown purpose {code}")
        token = reader.short_string(PREAMBLE_MAX_TOKEN, "the token")
        count = reader.take(1) if token is not None else None
        if token is None or count is None:
            return None
        if not 0 < count[0] <= PREAMBLE_MAX_SUITES:
            raise _malformed(f"{count[0]} suites")
        suites: list[str] = []
        for _ in range(count[0]):
            name = reader.short_string(_LONGEST_SUITE, "a suite's name")
            if name is None:
                return None
            suites.append(name.decode("ascii", "replace"))
        return cls(Purpose(code), token, tuple(suites), data[: reader.at])

    @classmethod
    def decode_untrusted(cls, data: bytes) -> Preamble:
        """The preamble that ``data`` is, whole and with nothing behind it."""
        preamble = cls.parse_untrusted(data)
        if preamble is None or preamble.raw != data:
            raise _malformed("truncated, or with bytes behind it")
        return preamble


@dataclass(frozen=True, slots=True)
class Reply:
    """The responder's answer: the suite chosen, or a refusal; ``raw`` is its exact bytes."""

    suite: str | None
    refusal: Refusal | None
    raw: bytes

    @classmethod
    def choose(cls, offered: Sequence[str], permitted: Sequence[str]) -> Reply:
        """The first permitted suite that was offered, else ``NO_COMMON_SUITE``."""
        for suite in permitted:
            if suite in offered:
                return cls(suite, None, MAGIC + bytes([VERSION, 0, len(suite)]) + suite.encode("ascii"))
        return cls.refuse(Refusal.NO_COMMON_SUITE)

    @classmethod
    def refuse(cls, refusal: Refusal) -> Reply:
        """The answer that ends the connection."""
        return cls(None, refusal, MAGIC + bytes([VERSION, refusal.value, 0]))

    @classmethod
    def parse_untrusted(cls, data: bytes, offered: Sequence[str]) -> Reply | None:
        """The reply at the start of ``data``, or ``None`` while more bytes are needed.

        Raises ``PreambleRefused`` for a refusal of any version, ``PeerMisbehaved`` for a suite that was not offered.
        """
        reader = _Reader(data)
        head = _head(reader, data)
        if head is None:
            return None
        version, status = head
        if status != 0:
            refusal = next((known for known in Refusal if known.value == status), None)
            reason = refusal.name.lower().replace("_", " ") if refusal else "an unknown reason"
            raise _refused(
                f"the peer's listener declined the connection: {reason}",
                refusal,
                "compare channel.suites and versions on both nodes (`hansa config show`)",
            )
        if version != VERSION:
            raise _malformed(f"a suite chosen in version {version} of the protocol, ours is {VERSION}")
        name = reader.short_string(_LONGEST_SUITE, "the suite's name")
        if name is None:
            return None
        suite = name.decode("ascii", "replace")
        if suite not in offered:
            raise _malformed(f"the peer chose a suite we did not offer ({suite!r})")
        return cls(suite, None, data[: reader.at])
