"""Rounds and bytes are what the docstrings say, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hansa.protocols.mpc.ot import start_pair
from hansa.protocols.mpc.ot.extension import bit_widths, code_widths
from hansa.protocols.mpc.ot.softspoken import CHUNK
from hansa.protocols.mpc.session.memory import parties, run_parties


@pytest.mark.parametrize("w", [1, 2, 3, 4, 5])
async def test_setting_up(w: int) -> None:
    trees, code_trees = -(-128 // w), 15 * -(-16 // w)
    assert (len(bit_widths(w)), len(code_widths(w))) == (trees, code_trees)
    assert (sum(bit_widths(w)), sum(code_widths(w))) == (128, 240)
    async with parties(2) as sessions:

        async def party(session: Any) -> tuple[int, int]:
            before = session.transcript.rounds, session.transcript.bytes_sent
            sender, receiver = await start_pair(session, 1 - session.rank, w)
            assert sender.trees == receiver.trees == trees
            assert sender.code_trees == receiver.code_trees == code_trees
            return session.transcript.rounds - before[0], session.transcript.bytes_sent - before[1]

        (rounds_low, low), (rounds_high, high) = await run_parties(sessions, party)
    assert low == 18_224 + 128 * trees + 64 * code_trees
    assert high == 14_160 + 128 * trees + 64 * code_trees
    assert (rounds_low, rounds_high) == (11, 10)


@pytest.mark.parametrize("n", [0, 1, 640, CHUNK + 1])
@pytest.mark.parametrize("kind", ["random", "correlated", "correlated 5", "one of 16"])
async def test_transfers(n: int, kind: str, run_one_way: Any) -> None:
    whole, chunks = -(-n // 512) * 512, -(-n // CHUNK)
    rounds, by_sender, trees = {
        "random": (chunks, 0, 31),
        "correlated": (2 * chunks, 8 * n, 32),
        "correlated 5": (2 * chunks, 8 * 5 * -(-n // 64), 32),
        "one of 16": (2 * chunks, 4 * whole, 60),
    }[kind]

    async def cost(ot: Any, work: Any) -> tuple[int, int]:
        transcript = ot.session.transcript
        before = transcript.rounds, transcript.bytes_sent
        await work
        return transcript.rounds - before[0], transcript.bytes_sent - before[1]

    async def send(ot: Any) -> Any:
        match kind:
            case "random":
                return await cost(ot, ot.random_bits(n, 3))
            case "one of 16":
                return await cost(ot, ot.one_of_16(np.zeros((1, n), dtype=np.uint32)))
            case _:
                return await cost(ot, ot.correlated(np.zeros(n, dtype=np.uint64), 5 if "5" in kind else 64))

    async def receive(ot: Any) -> Any:
        match kind:
            case "random":
                return await cost(ot, ot.random_bits(n, 3))
            case "one of 16":
                return await cost(ot, ot.one_of_16(np.zeros(n, dtype=np.uint8)))
            case _:
                packed = np.zeros(-(-n // 64), dtype=np.uint64)
                return await cost(ot, ot.correlated(packed, n, 5 if "5" in kind else 64))

    sent, received = await run_one_way(send, receive)
    assert sent == (rounds, by_sender)
    assert received == (rounds, trees * whole // 8)


async def test_costs_are_counted_under_the_step_that_the_caller_names(run_one_way: Any) -> None:
    async def work(ot: Any) -> int:
        with ot.session.step("triples"):
            await ot.random_bits(512, 1)
        return sum(cost.total_bytes for (step, _), cost in ot.session.transcript.steps.items() if step == "triples")

    assert await run_one_way(work, work) == (0, 31 * 64)
