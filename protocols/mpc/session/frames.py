"""The frames of a session: fixed header, payload, and the sender's label at the end.

    kind u8 | dtype u8 | label length u16 | sequence u32 | channel u64 | payload length u64 | payload | label

All little-endian. The header is 24 bytes, so that the payload stays aligned to 8. The label is last for the same
reason; it lets the receiver name both sides' steps when they differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.errors import PeerMisbehaved, one_line
from hansa.protocols.mpc.session.limits import MAX_ABORT, MAX_LABEL

_HEADER: Final = Struct("<BBHIQQ")
HEADER_SIZE: Final = _HEADER.size
MAX_SEQUENCE: Final = 2**32 - 1


class FrameKind(IntEnum):
    """What a frame is for."""

    DATA = 1
    ABORT = 2
    GOODBYE = 3


RAW: Final = 0
"""The dtype code of raw bytes."""

_CODES: Final[Mapping[str, int]] = {"uint64": 1, "uint8": 2, "uint32": 3, "int64": 4, "float64": 5, "uint16": 6}
_NAMES: Final = {code: name for name, code in _CODES.items()}


def dtype_code(dtype: np.dtype[Any]) -> int:
    """The code of a dtype that messages may have; ``KeyError`` for any other, which is a bug of ours."""
    return _CODES[dtype.name]


def type_name(code: int) -> str:
    """The name of a dtype code, for error messages."""
    return "bytes" if code == RAW else _NAMES.get(code, f"type {code}")


@dataclass(frozen=True, slots=True)
class Frame:
    """One received frame; ``payload`` is a view of the message."""

    kind: int
    dtype: int
    sequence: int
    channel: int
    payload: memoryview = field(repr=False)
    label: bytes


def pack_header(kind: int, dtype: int, label_size: int, sequence: int, channel: int, size: int) -> bytes:
    """The header of a frame whose payload has ``size`` bytes."""
    return _HEADER.pack(kind, dtype, label_size, sequence, channel, size)


def parse_untrusted(message: memoryview) -> Frame:
    """Split one message of a peer; raises ``PeerMisbehaved`` on anything but one whole frame."""
    if len(message) < HEADER_SIZE:
        raise _malformed(f"a frame of {len(message)} bytes is shorter than its header")
    kind, dtype, label_size, sequence, channel, size = _HEADER.unpack_from(message)
    if kind not in (FrameKind.DATA, FrameKind.ABORT, FrameKind.GOODBYE):
        raise _malformed(f"a frame of unknown kind {kind}")
    if label_size > MAX_LABEL:
        raise _malformed(f"a frame label of {label_size} bytes (at most {MAX_LABEL})")
    if len(message) != HEADER_SIZE + size + label_size:
        raise _malformed(f"a frame of {len(message)} bytes that announces {HEADER_SIZE + size + label_size}")
    end = HEADER_SIZE + size
    return Frame(kind, dtype, sequence, channel, message[HEADER_SIZE:end], bytes(message[end:]))


def array_untrusted(payload: memoryview, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The payload as a writable aligned array, without a copy where the link's buffer allows it."""
    flat = np.frombuffer(payload, dtype=dtype)
    return flat if flat.flags.aligned and flat.flags.writeable else flat.copy()


def pack_abort(error: Mapping[str, object]) -> bytes:
    """An error (``HansaError.as_dict`` with ``culprit`` and ``step``) as an ABORT frame's payload."""
    body = json.dumps(error, separators=(",", ":")).encode()
    if len(body) <= MAX_ABORT:
        return body
    message = str(error.get("message", ""))[: MAX_ABORT // 16]
    short = {key: error.get(key) for key in ("code", "exit_code", "culprit", "step")}
    return json.dumps(short | {"message": message, "remedy": "see that party's own log"}).encode()


def parse_abort_untrusted(payload: memoryview) -> dict[str, Any]:
    """The error of an ABORT frame; only short plain values of the known keys are kept."""
    if len(payload) > MAX_ABORT:
        raise _malformed(f"an abort of {len(payload)} bytes (at most {MAX_ABORT})")
    try:
        data = json.loads(bytes(payload))
    except (ValueError, RecursionError) as error:
        raise _malformed("an abort that is not JSON") from error
    if not isinstance(data, dict):
        raise _malformed("an abort that is not an object")
    kept: dict[str, Any] = {
        key: one_line(data[key]) for key in ("code", "message", "remedy", "step") if isinstance(data.get(key), str)
    }
    for key in ("culprit", "exit_code"):
        if isinstance(data.get(key), int) and abs(data[key]) < 2**31:
            kept[key] = data[key]
    fields = data.get("fields")
    kept["fields"] = (
        {one_line(k): one_line(v) if isinstance(v, str) else v for k, v in fields.items() if _plain(v)}
        if isinstance(fields, dict)
        else {}
    )
    return kept


def _plain(value: object) -> bool:
    """Whether a field of a peer's error is one that every encoding of ours has."""
    match value:
        case None | str():
            return True
        case int() | float():
            return abs(value) < 2**63  # false for NaN too
        case _:
            return False


def _malformed(what: str) -> PeerMisbehaved:
    return PeerMisbehaved(
        f"a peer sent {what}", remedy="check that all parties run the same version of hansa (`hansa --version`)"
    )
