"""One operation as it is measured, and how its inputs and results get in and out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hansa.config.vocabulary import FRAC_BITS as F
from hansa.node.lab.bench.catalogue import Size
from hansa.protocols.arrays import Vector
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import decode, encode
from hansa.protocols.mpc.shares import Share

Facts = dict[str, float]


@dataclass(slots=True)
class Operation:
    """``timed`` runs once a repetition, and does the operation ``times`` times; ``facts`` afterwards, untimed."""

    timed: Callable[[], Awaitable[None]]
    facts: Callable[[], Awaitable[Facts]]
    times: int = 1


Build = Callable[[Engine, Size], Awaitable[Operation]]


def numbers(count: int, seed: int) -> Vector:
    """Public test numbers between -20 and 20, of fixed point, so that errors are the operation's own."""
    return decode(encode(np.random.default_rng(seed).uniform(-20, 20, count), F), F)


async def shared(e: Engine, owner: int, x: Vector) -> Share:
    """Test numbers, shared by one party."""
    return await e.input(owner, encode(x, F) if e.session.rank == owner else None, x.shape)


async def opened(e: Engine, share: Share) -> Vector:
    """A result in plain."""
    return decode((await e.open(share, what="bench"))[0], F)


def distance(found: NDArray[np.generic], expected: NDArray[np.generic]) -> float:
    """The largest difference, 0 of nothing."""
    apart = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    return float(np.max(apart, initial=0.0))
