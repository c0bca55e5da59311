"""Bit-sliced replicated bits: how numbers become bits, and AND.

x = u + v with u = x0 + x1 known to P0 and v = x2 known to P1 and P2. So the adder has two inputs, one of which is
shared for free. Bits are packed 64 elements a word, plane k holding bit k.
"""

from __future__ import annotations

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.adder import sum_from
from hansa.protocols.mpc.kernels.bits import slice_bits
from hansa.protocols.mpc.kernels.ring import cross_and
from hansa.protocols.mpc.replicated.party import ReplicatedParty
from hansa.protocols.mpc.shapes import check_planes, check_width
from hansa.protocols.mpc.shares import BitShare, Share


async def a2b(e: ReplicatedParty, x: Share, bits: int) -> BitShare:
    """The lowest ``bits`` bits of each element, flat, lowest plane first.

    Rounds: 2 + ceil(log2(bits - 1)). Bytes sent per party: 8·words for each AND of ``adder.sum_from`` (310 for 64 bits,
    181 for 45), and 8·words·bits by P0, 8·words·(bits - 1) by P1 and P2 each: 46.75 an element for 64 bits, 28.3 for 45.
    """
    check_width(bits)
    u, v = await addends(e, x, bits)
    below = bits - 1
    generate = await and_of_addends(e, u[:below], v[:below])
    planes = await sum_from(e, generate, u ^ v)
    return BitShare(planes.parts, x.size)


async def addends(e: ReplicatedParty, x: Share, bits: int = 64) -> tuple[BitShare, BitShare]:
    """The lowest bits of u and v, which add up to x.

    Rounds: 1. Bytes sent: 8·words·bits by P0, none by the others.
    """
    flat = x.reshape(-1)
    known = flat.parts[0] + flat.parts[1] if e.rank == 0 else flat.parts[2 - e.rank]
    return await _share_bits(e, slice_bits(np.ascontiguousarray(known), 0, bits))


async def _share_bits(e: ReplicatedParty, bits: Ring) -> tuple[BitShare, BitShare]:
    """P0's bits as (component 0 drawn with P2, component 1 sent to P1); P1's and P2's common bits as component 2."""
    zero = np.zeros_like(bits)
    length = bits.shape[1] * 64
    if e.rank == 0:
        mask = e.key_own.words(*bits.shape)
        rest = bits ^ mask
        await e.session.exchange({1: [rest]}, {})
        return BitShare((mask, rest), length), BitShare((zero, zero), length)
    if e.rank == 1:
        rest = (await e.session.exchange({}, {0: [bits.shape]}))[0][0]
        return BitShare((rest, zero), length), BitShare((zero, bits), length)
    await e.session.exchange({}, {})
    return BitShare((zero, e.key_next.words(*bits.shape)), length), BitShare((bits, zero), length)


async def and_of_addends(e: ReplicatedParty, u: BitShare, v: BitShare) -> BitShare:
    """AND of bits that P0 has shared (u0, u1, 0) with bits (0, 0, v) that P1 and P2 know: u0·v at P2, u1·v at P1.

    Components 0 and 1 of the result are drawn by P0 with P2 and with P1; P1 and P2 tell each other the masked rest.
    Rounds: 1. Bytes sent: 8·planes·words each by P1 and P2, none by P0.
    """
    shape = u.parts[0].shape
    if e.rank == 0:
        await e.session.exchange({}, {})
        return BitShare((e.key_own.words(*shape), e.key_next.words(*shape)), u.length)
    # P1 holds u1 first and v second, P2 holds v first and u0 second.
    bits, known = (u.parts[0], v.parts[1]) if e.rank == 1 else (u.parts[1], v.parts[0])
    mask = e.key_own.words(*shape) if e.rank == 1 else e.key_next.words(*shape)
    mine = (bits & known) ^ mask
    rest = mine ^ (await e.session.exchange({3 - e.rank: [mine]}, {3 - e.rank: [shape]}))[3 - e.rank][0]
    return BitShare((mask, rest) if e.rank == 1 else (rest, mask), u.length)


async def and_bits(e: ReplicatedParty, x: BitShare, y: BitShare) -> BitShare:
    """AND of all planes (Araki et al., section 2.1, over Z_2).

    Rounds: 1. Bytes sent per party: 8·planes·words.
    """
    check_planes(x, y)
    shape = x.parts[0].shape
    size = int(x.parts[0].size)
    mask = e.key_own.words(size) ^ e.key_next.words(size)
    flat = [np.ascontiguousarray(part).reshape(-1) for part in (*x.parts, *y.parts)]
    own = cross_and(flat[0], flat[1], flat[2], flat[3], mask).reshape(shape)
    received = await e.session.exchange({e.previous: [own]}, {e.next: [shape]})
    return BitShare((own, received[e.next][0]), x.length)
