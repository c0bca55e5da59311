"""A bad message at any point, of a party or of the dealer, ends the work at every party with an error of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import trio
from mpc.engines import dealt_party

from hansa.config.errors import HansaError
from hansa.protocols.mpc.additive.engine import Additive
from hansa.protocols.mpc.links import Link
from hansa.protocols.mpc.memory import network, outcomes_of_parties, parties

N = 8
LINKS = {"party to party": (0, 1), "party to last": (0, 2), "last to dealer": (2, 3), "dealer to last": (3, 2)}


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


async def protocol(e: Additive) -> Any:
    values = np.arange(N, dtype=np.uint64)
    x = await e.input(1, values if e.rank == 1 else None, (N,))
    y = await e.truncate(await e.mul(x, x), 2)
    sign = await e.b2a(await e.msb(y))
    matrix = await e.private_matrix(0, np.ones((N, 2), np.uint64) if e.rank == 0 else None, (N, 2))
    sums = (await e.private_linear_t([matrix], [sign], slice(0, N)))[0]
    return (await e.open(await e.reshare(sums), what="test"))[0]


@pytest.mark.parametrize("fault", ["truncate", "repeat", "garbage", "kill"])
@pytest.mark.parametrize("between", list(LINKS))
async def test_no_fault_hangs_or_passes(fault: str, between: str, autojump_clock: Any) -> None:
    autojump_clock.autojump_threshold = 0.02  # the dealer's threads are real
    sender, receiver = LINKS[between]
    ended = 0
    for k in range(0, 16, 2):
        links: list[dict[int, Link]] = network(4)
        links[sender][receiver] = Faulty(links[sender][receiver], k, fault)
        try:
            async with parties(4, links=links) as sessions:
                with trio.fail_after(600):
                    outcomes: list[Any] = await outcomes_of_parties(sessions, lambda s: dealt_party(s, protocol))
        except HansaError as error:
            outcomes = [error] * 4  # it ended before the session had begun, or after the work was done
        wrong = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        assert all(isinstance(outcome, HansaError) for outcome in wrong)
        ended += bool(wrong)
        for outcome in outcomes[:3]:
            if not isinstance(outcome, Exception):
                np.testing.assert_array_equal(outcome, [0, 0])
    assert ended >= 3
