"""JSON-RPC 2.0, one message a line: what client and server agree on."""

from __future__ import annotations

import json
from typing import Any

MAX_LINE = 8 << 20
CONNECT_S = 10.0
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
APPLICATION_ERROR = -32000


def line(message: dict[str, Any]) -> bytes:
    """One message as a line."""
    return json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode() + b"\n"
