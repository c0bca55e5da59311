"""Where kernels run: short ones at once, long ones in a thread, so that the event loop never stalls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import trio

T = TypeVar("T")
LONG: Final = 1 << 20
"""Steps above which a kernel leaves the event loop (about a millisecond)."""


async def offload(work: int, function: Callable[..., T], *arguments: object) -> T:
    """A kernel's result; in a thread where ``work`` steps take more than about a millisecond."""
    if work < LONG:
        return function(*arguments)
    return await trio.to_thread.run_sync(function, *arguments)
