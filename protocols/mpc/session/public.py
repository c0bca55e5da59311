"""The digest of public parameters: parties compare it before the first round."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np

Public = None | bool | int | float | str | bytes | np.ndarray[Any, Any] | list[Any] | tuple[Any, ...] | dict[str, Any]


def digest(*values: Public) -> bytes:
    """32 bytes that are equal exactly when types, structure and values are; dict order does not matter."""
    state = blake2b(digest_size=32, person=b"hansa-public")
    _absorb(state, list(values))
    return state.digest()


def _absorb(state: blake2b, value: Public) -> None:
    if isinstance(value, (list, tuple)):
        state.update(b"l" + len(value).to_bytes(8, "little"))
        for item in value:
            _absorb(state, item)
    elif isinstance(value, dict):
        state.update(b"d" + len(value).to_bytes(8, "little"))
        for key in sorted(value):
            _absorb(state, key)
            _absorb(state, value[key])
    elif isinstance(value, np.ndarray):
        state.update(b"a")
        _absorb(state, [value.dtype.str, list(value.shape)])
        state.update(np.ascontiguousarray(value).tobytes())
    else:
        tag, body = _scalar(value)
        state.update(tag + len(body).to_bytes(8, "little") + body)


def _scalar(value: bool | int | float | str | bytes | None) -> tuple[bytes, bytes]:
    match value:
        case None:
            return b"n", b""
        case bool():
            return b"b", bytes([value])
        case int():
            return b"i", str(value).encode()
        case float():
            return b"f", value.hex().encode()
        case str():
            return b"s", value.encode()
        case bytes():
            return b"y", value
