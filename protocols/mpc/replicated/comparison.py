"""Comparison on bit-sliced replicated bits: only the carry into the top bit is computed, as a tree."""

from __future__ import annotations

import numpy as np

from hansa.protocols.mpc.kernels.bits import unpack_bits
from hansa.protocols.mpc.replicated.bits import addends, and_bits, and_of_addends
from hansa.protocols.mpc.replicated.party import ReplicatedParty
from hansa.protocols.mpc.replicated.truncation import settle
from hansa.protocols.mpc.shares import BitShare, Share, stack_planes


async def msb(e: ReplicatedParty, x: Share) -> BitShare:
    """The top bit of each element, flat.

    Rounds: 8. Bytes sent per element, 64 elements a word: 187/8 by P1 and P2 each, 188/8 by P0.
    """
    u, v = await addends(e, x)
    return await top_bit(e, u, v, x.size)


async def top_bit(e: ReplicatedParty, u: BitShare, v: BitShare, length: int) -> BitShare:
    """The top bit of the sum of two numbers bit-shared by ``bits.addends``, lowest plane first.

    Of numbers of which only the highest ``planes`` of 64 bits are given, the carry out of the others is missing: the
    result is that of a sum smaller by less than 2^(65 - planes).

    Rounds: 1 + ceil(log2(planes - 1)). Bytes sent per party: 8·words for each AND of a plane, planes - 1 of them in
    the first round (none by P0) and two for each pair of planes joined.
    """
    below = u.planes - 1
    propagate = u ^ v
    generate = await and_of_addends(e, u[:below], v[:below])
    carry = await _carry(e, generate, propagate[:below])
    return BitShare((propagate[below:] ^ carry).parts, length)


async def _carry(e: ReplicatedParty, g: BitShare, p: BitShare) -> BitShare:
    """The carry out of all planes: (g, p) pairs joined two by two, (g1 ^ p1&g0, p1&p0), until one is left."""
    while g.planes > 1:
        odd = g.planes % 2  # a lone lowest plane waits for the next level
        low_g, high_g = g[odd::2], g[odd + 1 :: 2]
        low_p, high_p = p[odd::2], p[odd + 1 :: 2]
        pairs = high_g.planes
        both = await and_bits(e, stack_planes(high_p, high_p), stack_planes(low_g, low_p))
        g = stack_planes(g[:odd], high_g ^ both[:pairs])
        p = stack_planes(p[:odd], both[pairs:])
    return g


async def b2a(e: ReplicatedParty, bits: BitShare) -> Share:
    """One plane of bits as ring elements 0 and 1: b = s + t - 2st with s = b0 ^ b1 known to P0, t = b2 to P1 and P2.

    Rounds: 2. Bytes sent: 8·size by P0, 8·size each by P1 and P2.
    """
    size = bits.length
    if e.rank == 0:
        s = unpack_bits(bits.parts[0][0] ^ bits.parts[1][0], size)
        mask = e.key_own.words(size)
        await e.session.exchange({1: [s - mask]}, {})
        return await settle(e, None, size)
    t = unpack_bits(bits.parts[2 - e.rank][0], size)
    sign = np.uint64(1) - t - t
    if e.rank == 1:
        rest = (await e.session.exchange({}, {0: [size]}))[0][0]
        return await settle(e, rest * sign + t, size)
    await e.session.exchange({}, {})
    return await settle(e, e.key_next.words(size) * sign, size)
