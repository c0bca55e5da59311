"""Transfers between two parties in one process, and what each of them receives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import trio

from hansa.protocols.mpc.ot import OtReceiver, OtSender, start_pair
from hansa.protocols.mpc.session.memory import parties, run_parties

Sending = Callable[[OtSender], Awaitable[Any]]
Receiving = Callable[[OtReceiver], Awaitable[Any]]


class Tap:
    """A link that keeps what it receives."""

    def __init__(self, link: Any) -> None:
        self._link = link
        self.heard: list[bytes] = []

    async def send(self, *parts: Any) -> None:
        await self._link.send(*parts)

    async def receive(self) -> memoryview:
        data = await self._link.receive()
        self.heard.append(bytes(data))
        return data

    async def aclose(self) -> None:
        await self._link.aclose()


async def _run_one_way(
    sending: Sending, receiving: Receiving, w: int = 4, *, silently: bool = False, **options: Any
) -> tuple[Any, Any]:
    """Party 0 sends, party 1 receives; what both return."""
    async with parties(2, **options) as sessions:

        async def party(session: Any) -> Any:
            sender, receiver = await start_pair(session, 1 - session.rank, w, silently=silently)
            return await (sending(sender) if session.rank == 0 else receiving(receiver))

        sent, received = await run_parties(sessions, party)
        return sent, received


async def _run_both_ways(
    sending: Sending, receiving: Receiving, w: int = 4, *, silently: bool = False
) -> list[tuple[Any, Any]]:
    """Both directions at once; for each sender in rank order what it and its receiver return."""
    results: dict[tuple[str, int], Any] = {}
    async with parties(2) as sessions:

        async def party(session: Any) -> None:
            sender, receiver = await start_pair(session, 1 - session.rank, w, silently=silently)

            async def keep(key: tuple[str, int], work: Awaitable[Any]) -> None:
                results[key] = await work

            async with trio.open_nursery() as nursery:
                nursery.start_soon(keep, ("sent", session.rank), sending(sender))
                nursery.start_soon(keep, ("received", 1 - session.rank), receiving(receiver))

        await run_parties(sessions, party)
    return [(results["sent", rank], results["received", rank]) for rank in range(2)]


def _to_bits(words: np.ndarray, n: int) -> np.ndarray:
    """The first ``n`` bits of each plane, on the last axis."""
    flat = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(flat, bitorder="little", axis=-1)[..., :n]


@pytest.fixture
def run_one_way() -> Any:
    return _run_one_way


@pytest.fixture
def run_both_ways() -> Any:
    return _run_both_ways


@pytest.fixture
def to_bits() -> Any:
    return _to_bits


@pytest.fixture
def tap() -> type[Tap]:
    return Tap
