"""What the tests of both additive engines share: inputs, costs, faulty links."""

from __future__ import annotations

from typing import Any

import numpy as np

from hansa.protocols.mpc.additive.engine import AdditiveEngine
from hansa.protocols.mpc.session.transcript import Phase, Transcript
from hansa.protocols.mpc.shares import BitShare

SIZE = 4096
INPUTS = {"zeros": np.zeros(SIZE), "equal": np.full(SIZE, 3.0), "wide": np.linspace(-8000, 8000, SIZE)}


def spent(transcript: Transcript, kind: Phase) -> tuple[int, int]:
    costs = [cost for (_, k), cost in transcript.steps.items() if k is kind]
    return sum(cost.rounds for cost in costs), sum(cost.total_bytes for cost in costs)


def bits_of_zero(n: int) -> Any:
    return BitShare((np.zeros((1, n // 64), dtype=np.uint64),), n)


N = 8


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


async def protocol(e: AdditiveEngine) -> Any:
    values = np.arange(N, dtype=np.uint64)
    x = await e.input(1, values if e.rank == 1 else None, (N,))
    y = await e.truncate(await e.mul(x, x), 2)
    sign = await e.b2a(await e.msb(y))
    matrix = await e.private_matrix(0, np.ones((N, 2), np.uint64) if e.rank == 0 else None, (N, 2))
    sums = (await e.private_linear_t([matrix], [sign], slice(0, N)))[0]
    return (await e.open(await e.reshare(sums), what="test"))[0]
