"""A bad message at any point ends the work at every party, with an error of ours, at once, and leaves no task behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import trio

from hansa.config.errors import HansaError
from hansa.protocols.mpc.replicated.engine import ReplicatedEngine
from hansa.protocols.mpc.session.links import Link
from hansa.protocols.mpc.session.memory import network, outcomes_of_parties, parties

N = 8
MESSAGES = 14
"""Messages party 1 sends to party 2 in the protocol below, at most."""


class Faulty:
    """A link whose ``k``-th message is tampered with."""

    def __init__(self, link: Any, k: int, fault: str) -> None:
        self._link, self._left, self._fault = link, k, fault

    async def send(self, *parts: Any) -> None:
        message = b"".join(bytes(part) for part in parts)
        self._left -= 1
        if self._left != -1:
            await self._link.send(message)
            return
        match self._fault:
            case "truncate":
                await self._link.send(message[:-1])
            case "lengthen":
                await self._link.send(message + b"\x00")
            case "repeat":
                await self._link.send(message)
                await self._link.send(message)
            case "garbage":
                await self._link.send(b"\xff" * len(message))
            case "kill":
                await self._link.aclose()
                raise OSError("the cable was cut")

    async def receive(self) -> memoryview:
        return await self._link.receive()

    async def aclose(self) -> None:
        await self._link.aclose()


async def protocol(e: ReplicatedEngine) -> Any:
    x = await e.input(1, np.arange(N, dtype=np.uint64) if e.rank == 1 else None, (N,))
    y = await e.truncate(await e.mul(x, x), 2)
    sign = await e.b2a(await e.msb(y))
    return await e.open(sign, what="test")


@pytest.mark.parametrize("fault", ["truncate", "lengthen", "repeat", "garbage", "kill"])
@pytest.mark.parametrize("k", range(0, MESSAGES, 2))
async def test_no_fault_hangs_or_passes(fault: str, k: int, autojump_clock: Any) -> None:
    links: list[dict[int, Link]] = network(3)
    links[1][2] = Faulty(links[1][2], k, fault)
    with trio.fail_after(60):
        try:
            async with parties(3, links=links) as sessions:

                async def party(session: Any) -> Any:
                    return await protocol(await ReplicatedEngine.start(session, 18))

                outcomes: list[Any] = await outcomes_of_parties(sessions, party)
        except HansaError as error:
            outcomes = [error] * 3  # it ended before the session had begun
    wrong = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert all(isinstance(outcome, HansaError) for outcome in wrong)
    if not wrong:  # the faulty message was behind the last one that mattered
        assert all((outcome[0] == 0).all() for outcome in outcomes)
