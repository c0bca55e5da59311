"""Canonical msgpack: one value, one byte string, so that a hash or a signature means one thing only.

Allowed: None, bool, int (64 bits), float (finite), str, bytes, list, map with string keys in sorted order.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import msgpack

from hansa.protocols.errors import PeerMisbehaved, ProtocolError
from hansa.protocols.wire import limits

MAX_DEPTH = 8

T = TypeVar("T", list[Any], dict[str, Any])


def encode(value: Any) -> bytes:
    """The canonical bytes of ``value``; ``ProtocolError`` names a type that has none."""
    try:
        return bytes(msgpack.packb(_ordered(value, MAX_DEPTH), use_bin_type=True))
    except UnicodeEncodeError as error:
        raise ProtocolError(
            "a text that is not Unicode has no canonical form", remedy="correct its encoding"
        ) from error


def decode_untrusted(data: bytes | memoryview, max_bytes: int) -> Any:
    """The value whose canonical bytes are ``data``; raises ``PeerMisbehaved`` for anything else."""
    if len(data) > max_bytes:
        raise _refused(f"{len(data)} bytes where at most {max_bytes} are read")
    raw = bytes(data)
    census = _Census(limits.CANONICAL_MAX_VALUES)
    try:
        value = msgpack.unpackb(
            raw,
            raw=False,
            strict_map_key=True,
            list_hook=census.count,
            object_hook=census.count,
            ext_hook=_no_extension,
        )
        canonical = encode(value)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError, ProtocolError) as error:
        why = error.message if isinstance(error, ProtocolError) else str(error) or type(error).__name__
        raise _refused(f"bytes that do not decode ({why})") from error
    if canonical != raw:
        raise _refused("a value that is not in canonical form")
    return value


def _ordered(value: Any, depth: int) -> Any:
    if depth == 0:
        raise ProtocolError("a value nested too deeply to encode", remedy="flatten it")
    match value:
        case None | bool() | str():
            return value
        case int() if -(1 << 63) <= value < 1 << 64:
            return value
        case float() if math.isfinite(value):
            return value
        case bytes() | bytearray() | memoryview():
            return bytes(value)
        case list() | tuple():
            return [_ordered(item, depth - 1) for item in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {key: _ordered(value[key], depth - 1) for key in sorted(value)}
        case _:
            raise ProtocolError(f"a {type(value).__name__} has no canonical form", remedy="encode plain values only")


class _Census:
    """Counts values as the decoder makes them, and stops it before they fill the memory."""

    def __init__(self, most: int) -> None:
        self._left = most

    def count(self, container: T) -> T:
        """One list or map, and what lies directly in it."""
        self._left -= 1 + len(container)
        if self._left < 0:
            raise ValueError("more values than one message may hold")
        return container


def _no_extension(code: int, data: bytes) -> Any:
    raise ValueError(f"extension type {code} of {len(data)} bytes")


def _refused(what: str) -> PeerMisbehaved:
    return PeerMisbehaved(f"a peer sent {what}", remedy="update both nodes to the same version")
