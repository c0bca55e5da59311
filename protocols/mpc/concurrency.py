"""Work at the same time: long kernels in threads, so that the event loop never stalls, and several calls at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import trio

from hansa.config.errors import hansa_error_in

T = TypeVar("T")
LONG: Final = 1 << 20
"""Steps above which a kernel leaves the event loop (about a millisecond)."""


async def offload(work: int, function: Callable[..., T], *arguments: object) -> T:
    """A kernel's result; in a thread where ``work`` steps take more than about a millisecond."""
    if work < LONG:
        return function(*arguments)
    return await trio.to_thread.run_sync(function, *arguments)


async def gather(*calls: Awaitable[T]) -> list[T]:
    """The results of calls made at the same time, in their order; of their errors the first is raised."""
    results: dict[int, T] = {}

    async def run(place: int, call: Awaitable[T]) -> None:
        results[place] = await call

    try:
        async with trio.open_nursery() as nursery:
            for place, call in enumerate(calls):
                nursery.start_soon(run, place, call)
    except ExceptionGroup as group:
        raise hansa_error_in(group) or group from None
    return [results[place] for place in range(len(calls))]
