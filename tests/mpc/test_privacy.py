"""What a party receives tells it nothing: uniform bytes, whatever the inputs; and the test can fail.

The statistic has mean 255 and deviation 22.6 on uniform bytes; 500 is eleven deviations away.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hansa.protocols.mpc.fixed_point import encode
from hansa.protocols.mpc.replicated.engine import OwnedMatrix, Replicated
from hansa.protocols.mpc.shares import Product, Share

_SPEC = importlib.util.spec_from_file_location("mpc_conftest", Path(__file__).with_name("conftest.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
support = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(support)

SIZE = 4096
UNIFORM = 500.0


class InsecureLeakyEngine(Replicated):
    """What the tests must catch: it forgets the mask when it reshares."""

    async def reshare(self, product: Product) -> Share:
        own = product.parts[0]
        received = await self.session.exchange({self.previous: [own]}, {self.next: [product.shape]})
        return Share((own, received[self.next][0]))

    async def private_matrix(self, owner: int, values: Any, shape: tuple[int, int]) -> OwnedMatrix:
        if self.rank == owner:
            await self.session.exchange({self.previous: [values]}, {})
            return OwnedMatrix(owner, shape, values)
        received = {} if self.rank == self.next_of(owner) else {owner: [shape]}
        got = await self.session.exchange({}, received)
        return OwnedMatrix(owner, shape, got[owner][0] if got else np.zeros(shape, dtype=np.uint64))

    @staticmethod
    def next_of(owner: int) -> int:
        return (owner + 1) % 3


def protocol_for(operation: str, values: np.ndarray, engine: type[Replicated] = Replicated) -> Any:
    async def protocol(e: Replicated) -> None:
        if engine is not Replicated:
            e = engine(e.session, e.frac_bits, e.key_own, e.key_next)
        if operation == "matrix":
            table = encode(values, 18).reshape(-1, 8)
            await e.private_matrix(0, table if e.rank == 0 else None, table.shape)
            return
        x = await e.input(0, encode(values, 18) if e.rank == 0 else None, values.shape)
        match operation:
            case "mul":
                await e.reshare(await e.mul(x, x))
            case "truncate":
                await e.truncate(x, 9)
            case "less":
                await e.b2a(await e.msb(x))
            case "sigmoid":
                await e.sigmoid(x, 18)

    return protocol


INPUTS = [np.zeros(SIZE), np.full(SIZE, 3.0), np.linspace(-8000, 8000, SIZE)]


@pytest.mark.parametrize("operation", ["mul", "truncate", "less", "sigmoid", "matrix"])
@pytest.mark.parametrize("values", INPUTS, ids=["zeros", "equal", "wide"])
async def test_every_party_receives_uniform_bytes(operation: str, values: np.ndarray) -> None:
    for heard in await support.received_by_each(protocol_for(operation, values)):
        if heard:
            assert support.chi_square_of_bytes(heard) < UNIFORM


@pytest.mark.parametrize("operation", ["mul", "matrix"])
async def test_a_leaky_engine_is_caught(operation: str) -> None:
    views = await support.received_by_each(protocol_for(operation, np.full(SIZE, 3.0), InsecureLeakyEngine))
    assert max(support.chi_square_of_bytes(heard) for heard in views if heard) > UNIFORM


async def test_two_runs_draw_fresh_randomness() -> None:
    protocol = protocol_for("mul", INPUTS[1])
    first, second = await support.received_by_each(protocol), await support.received_by_each(protocol)
    assert all(a != b for a, b in zip(first, second, strict=True) if a)
