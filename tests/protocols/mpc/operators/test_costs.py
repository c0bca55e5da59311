"""Rounds and bytes of operators are the table's in docs/protocols.md, exactly: golden values, so that a change is seen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.engines import ENGINES, FRAC_BITS

from hansa.protocols.mpc import operators as op
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.session.transcript import Phase
from hansa.protocols.mpc.shares import Share

N = 640
"""Ten words of bits."""
DOCS = Path(__file__).parents[4] / "docs" / "protocols.md"
HEADER = "| operator (of 640 elements) |"


async def _chosen(e: Engine, x: Share) -> Share:
    bits = e.public_bits(np.zeros((1, N // 64), dtype=np.uint64), N)
    return await op.inject(e, bits, x)


OPERATORS: dict[str, Callable[[Engine, Share], Awaitable[Any]]] = {
    "mul, square": lambda e, x: op.mul(e, x, x),
    "equal": lambda e, x: op.equal(e, x, x),
    "a2b (64 bits)": lambda e, x: e.a2b(x, 64),
    "mux, inject": _chosen,
    "reciprocal": op.reciprocal,
    "divide": lambda e, x: op.divide(e, x, x),
    "sqrt, rsqrt": op.sqrt,
    "exp": op.exp,
    "log": op.log,
    "softmax (64 lines of 10)": lambda e, x: op.softmax(e, x.reshape(64, 10), 1),
    "maximum": op.maximum,
    "argmax": op.argmax,
    "sort": op.sort,
    "sort with a payload": lambda e, x: op.sort(e, x, x),
    "shuffle": op.shuffle,
    "uniform": lambda e, x: op.uniform(e, (N,)),
    "rank": lambda e, x: op.rank(e, x, x),
    "auc": lambda e, x: op.auc(e, op.Ranked(x, x, x[:1])),
    "ks": lambda e, x: op.ks(e, op.Ranked(x, x, x[:1])),
}


async def measured(engine: str, name: str) -> tuple[int, float]:
    """Rounds, and bytes an element sent by the party that sends most, online; any opening would be refused."""

    async def protocol(e: Engine) -> tuple[int, int]:
        values = np.full(N, 1 << FRAC_BITS, dtype=np.uint64)
        x = await e.input(0, values if e.session.rank == 0 else None, (N,))
        before = _online(e)
        await OPERATORS[name](e, x)
        return _online(e)[0] - before[0], _online(e)[1] - before[1]

    found = await ENGINES[engine](protocol, allowed=())
    return max(rounds for rounds, _ in found), max(sent for _, sent in found) / N


def _online(e: Engine) -> tuple[int, int]:
    costs = [cost for (_, kind), cost in e.session.transcript.steps.items() if kind is Phase.ONLINE]
    return sum(cost.rounds for cost in costs), sum(cost.total_bytes for cost in costs)


def row(name: str, *found: tuple[int, float]) -> str:
    return f"| {name} | " + " | ".join(f"{rounds} / {sent:.4g}" for rounds, sent in found) + " |"


@pytest.mark.parametrize("name", list(OPERATORS))
async def test_the_table_of_costs(name: str) -> None:
    table = DOCS.read_text().split(HEADER)[1].split("\n\n")[0]
    assert row(name, *[await measured(e, name) for e in ("replicated", "additive, dealer, 2")]) in table.splitlines()
