"""Rounds and bytes are what the docstrings say, exactly; golden values, so that a change is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hansa.protocols.mpc.replicated.engine import ReplicatedEngine
from hansa.protocols.mpc.session.memory import StreamLink, network, parties, run_parties

N = 640
"""Ten words of bits."""

COSTS = {
    # operation: (rounds, bytes by P0, P1, P2)
    "input": (1, (8 * N, 0, 0)),
    "open": (1, (8 * N, 8 * N, 8 * N)),
    "open_to_2": (1, (0, 8 * N, 0)),
    "reshare": (1, (8 * N, 8 * N, 8 * N)),
    "truncate": (2, (16 * N, 16 * N, 16 * N)),
    "msb": (8, (188 * N // 8, 187 * N // 8, 187 * N // 8)),
    "b2a": (2, (8 * N, 8 * N, 8 * N)),
}


async def perform(e: ReplicatedEngine, operation: str, x: Any, bits: Any) -> None:
    match operation:
        case "input":
            await e.input(0, np.zeros(N, dtype=np.uint64) if e.rank == 0 else None, (N,))
        case "open":
            await e.open(x, what="test")
        case "open_to_2":
            await e.open_to(2, x, what="test")
        case "reshare":
            await e.reshare(await e.mul(x, x))
        case "truncate":
            await e.truncate(x, 18)
        case "msb":
            await e.msb(x)
        case "b2a":
            await e.b2a(bits)


@pytest.mark.parametrize("operation", list(COSTS))
async def test_costs(operation: str) -> None:
    async with parties(3) as sessions:

        async def party(session: Any) -> tuple[int, int]:
            e = await ReplicatedEngine.start(session, 18)
            x = await e.input(0, np.zeros(N, dtype=np.uint64) if e.rank == 0 else None, (N,))
            bits = await e.msb(x)
            rounds, sent = session.transcript.rounds, session.transcript.bytes_sent
            await perform(e, operation, x, bits)
            return session.transcript.rounds - rounds, session.transcript.bytes_sent - sent

        found = await run_parties(sessions, party)
    rounds, sent = COSTS[operation]
    assert [r for r, _ in found] == [rounds] * 3
    assert tuple(s for _, s in found) == sent


@pytest.mark.parametrize("scale", [18, 36])
async def test_the_cost_of_a_sigmoid_stands_in_the_plan(scale: int) -> None:
    from hansa.algorithms.cost.lr import SIGMOID_BYTES, SIGMOID_ROUNDS

    async with parties(3) as sessions:

        async def party(session: Any) -> tuple[int, int]:
            e = await ReplicatedEngine.start(session, 18)
            x = await e.input(0, np.zeros(N, dtype=np.uint64) if e.rank == 0 else None, (N,))
            rounds, sent = session.transcript.rounds, session.transcript.bytes_sent
            await e.sigmoid(await e.mul(x, x), scale)
            return session.transcript.rounds - rounds, session.transcript.bytes_sent - sent

        found = await run_parties(sessions, party)
    if scale == 36:
        assert [r for r, _ in found] == [SIGMOID_ROUNDS["replicated"]] * 3
        assert max(s for _, s in found) / N == pytest.approx(SIGMOID_BYTES, rel=0.1)
    else:
        assert max(r for r, _ in found) == SIGMOID_ROUNDS["replicated"] + 1


async def test_everything_runs_over_links_without_buffers() -> None:
    """Sends that wait for their receiver must not wait for each other (style 14, 27)."""
    from trio.testing import lockstep_stream_pair

    def pair() -> Any:
        a, b = lockstep_stream_pair()
        return StreamLink(a), StreamLink(b)

    async with parties(3, links=network(3, pair)) as sessions:

        async def party(session: Any) -> None:
            e = await ReplicatedEngine.start(session, 18)
            x = await e.input(0, np.zeros(N, dtype=np.uint64) if e.rank == 0 else None, (N,))
            bits = await e.msb(x)
            for operation in COSTS:
                await perform(e, operation, x, bits)
            await e.sigmoid(x, 18)
            matrix = await e.private_matrix(1, np.ones((N, 3), np.uint64) if e.rank == 1 else None, (N, 3))
            await e.reshare((await e.private_linear_t([matrix], [x], slice(0, N)))[0])

        await run_parties(sessions, party)
