"""Carries of bit-sliced sums, in logarithmic depth: the part of a conversion to bits that all engines have in common."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from hansa.protocols.mpc.shares import BitShare, stack_planes


class AndsBits(Protocol):
    """What an engine must offer to add bits."""

    async def and_bits(self, x: BitShare, y: BitShare) -> BitShare:
        """AND, plane by plane."""
        ...


async def add(e: AndsBits, u: BitShare, v: BitShare) -> BitShare:
    """u + v modulo 2^planes, lowest plane first.

    Rounds: 1 and those of ``sum_from``. ANDs: planes - 1 and those of ``sum_from``.
    """
    below = u.planes - 1
    return await sum_from(e, await e.and_bits(u[:below], v[:below]), u ^ v)


async def sum_from(e: AndsBits, generate: BitShare, propagate: BitShare) -> BitShare:
    """The sum's bits from u & v (without the top plane) and u ^ v.

    Rounds: ceil(log2(planes - 1)). ANDs: about planes·log2(planes).
    """
    below = propagate.planes - 1
    if not below:
        return propagate
    carried = await carries(e, generate, propagate[:below])
    return stack_planes(propagate[:1], propagate[1:] ^ carried)


async def carries(e: AndsBits, generate: BitShare, propagate: BitShare) -> BitShare:
    """The carry out of each plane: Sklansky's tree (IRE Trans. EC 9, 1960) of pairs (g1 ^ p1&g0, p1&p0).

    At step s the planes with a set bit s in their number take in the last plane of the block below. A block at the
    bottom needs its propagate bit no more.
    """
    planes, step = generate.planes, 1
    while step < planes:
        index = np.arange(planes)
        upper = index[(index & step) != 0]
        lower = upper // step * step - 1
        inner = upper >= 2 * step
        above, last = upper[inner], lower[inner]
        both = await e.and_bits(
            stack_planes(propagate[upper], propagate[above]), stack_planes(generate[lower], propagate[last])
        )
        generate = generate.with_planes(upper, generate[upper] ^ both[: upper.size])
        propagate = propagate.with_planes(above, both[upper.size :])
        step *= 2
    return generate
