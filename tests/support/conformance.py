"""Inputs and outputs of protocols under test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import trio
from support.engines import FRAC_BITS, Run

from hansa.protocols.arrays import Vector
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import decode, encode
from hansa.protocols.mpc.shares import BitShare, Share

EDGES = np.array(
    [0, 1, 2, 2**64 - 1, 2**64 - 2, 2**63, 2**63 - 1, 2**63 + 1, 2**62, 2**62 - 1, 2**62 + 1, 2**64 - 2**62, 5],
    np.uint64,
)
ULP = 2.0**-FRAC_BITS


async def put(e: Engine, values: np.ndarray, owner: int = 0) -> Share:
    """The owner's ring elements, shared."""
    return await e.input(owner, values if e.session.rank == owner else None, values.shape)


async def put_numbers(e: Engine, values: Vector) -> Share:
    return await put(e, encode(values, FRAC_BITS))


async def get(e: Engine, *shares: Share) -> list[np.ndarray]:
    return list(await e.open(*shares, what="test"))


async def get_planes(e: Engine, bits: BitShare) -> np.ndarray:
    """Opened planes, (planes, length), by way of ``b2a``."""
    rows = [await e.b2a(bits[k : k + 1]) for k in range(bits.planes)]
    return np.stack(await get(e, *rows))


def computed(run: Run, protocol: Callable[[Engine], Awaitable[Any]]) -> Any:
    """What all parties have found, which must be the same."""
    first, *others = trio.run(run, protocol)
    for other in others:
        for mine, theirs in zip(first, other, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    return first


def numbers(run: Run, operator: Callable[..., Awaitable[Share]], *inputs: Vector) -> Vector:
    """A fixed-point operator's result on fixed-point inputs."""

    async def protocol(e: Engine) -> Any:
        return await get(e, await operator(e, *[await put_numbers(e, values) for values in inputs]))

    return decode(computed(run, protocol)[0], FRAC_BITS)


def fixed(values: Vector) -> Vector:
    """The nearest fixed-point numbers."""
    return decode(encode(values, FRAC_BITS), FRAC_BITS)


def assert_close(found: Vector, wanted: Vector, *, relative: float, ulps: float) -> None:
    assert found.shape == wanted.shape
    excess = np.abs(found - wanted) - relative * np.abs(wanted) - ulps * ULP
    assert np.all(excess <= 0), (wanted[excess > 0][:5], found[excess > 0][:5])
