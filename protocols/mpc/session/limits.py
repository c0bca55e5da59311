"""How much a session takes from a peer. (The limits of channels and messages are in protocols/wire/limits.py.)"""

from __future__ import annotations

from typing import Final

MAX_LABEL: Final = 200
"""Bytes of a session label, with its step, as it travels at the end of each frame."""

MAX_ABORT: Final = 16 * 1024
"""Bytes of the error that an ABORT frame carries."""

MAX_UNCLAIMED: Final = 64 * 1024 * 1024
"""Bytes received and not yet asked for, per link, above which reading pauses while nobody waits on that link."""

MAX_UNCLAIMED_WAITING: Final = 1024 * 1024 * 1024
"""The same while a fork waits for another frame of that link; a peer that goes beyond it misbehaves."""

FRAME_COST: Final = 512
"""Bytes that an unclaimed frame counts besides its payload: its label and its entries in tables."""

SMALL_FRAME: Final = 64 * 1024
"""Bytes up to which an exchange sends to one peer after another; above, it sends to all peers at once."""

REASON_SECONDS: Final = 2.0
"""How long an ending session waits for a peer's reason after a broken send, and for its own reason to be sent."""
