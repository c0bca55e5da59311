"""Random bits and numbers that no party knows."""

from __future__ import annotations

import math

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.operators.bits import bits_to_ring
from hansa.protocols.mpc.shares import BitShare, Share, words_of


def random_bits(e: Engine, length: int, planes: int = 1) -> BitShare:
    """Uniform bits; local. Parts of a uniform ring element are uniform words, so they share uniform bits as well."""
    if length < 0 or planes < 1:
        raise ProtocolError(f"{planes} x {length} random bits", remedy="ask for one plane or more")
    return BitShare(e.random((planes, words_of(length))).parts, length)


async def uniform(e: Engine, shape: tuple[int, ...], bits: int | None = None) -> Share:
    """Uniform integers in [0, 2^bits): by default fixed-point numbers in [0, 1), with all their fraction bits.

    Rounds and bytes: those of ``b2a`` for ``bits`` planes. ``bits``: 1 to 64.
    """
    planes = e.frac_bits if bits is None else bits
    if not 0 < planes <= 64:
        raise ProtocolError(f"random numbers of {planes} bits", remedy="ask for 1 to 64 bits")
    return (await bits_to_ring(e, random_bits(e, math.prod(shape), planes))).reshape(*shape)
