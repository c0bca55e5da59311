"""Comparison on bit-sliced replicated bits: only the carry into the top bit is computed, as a tree.

x = u + v with u = x0 + x1 known to P0 and v = x2 known to P1 and P2. So the adder has two inputs, one of which is
shared for free. Bits are packed 64 elements a word, plane k holding bit k.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hansa.protocols.mpc.kernels.bits import slice_bits, unpack_bits
from hansa.protocols.mpc.kernels.ring import cross_and
from hansa.protocols.mpc.replicated.truncation import settle
from hansa.protocols.mpc.shares import BitShare, Ring, Share

if TYPE_CHECKING:
    from hansa.protocols.mpc.replicated.engine import Replicated


async def msb(e: Replicated, x: Share) -> BitShare:
    """The top bit of each element, flat.

    Rounds: 8. Bytes sent per element, 64 elements a word: 187/8 by P1 and P2 each, 188/8 by P0.
    """
    flat = x.reshape(-1)
    known = flat.parts[0] + flat.parts[1] if e.rank == 0 else flat.parts[2 - e.rank]
    u, v = await _share_bits(e, slice_bits(np.ascontiguousarray(known), 0, 64))
    return await top_bit(e, u, v, x.size)


async def top_bit(e: Replicated, u: BitShare, v: BitShare, length: int) -> BitShare:
    """The top bit of the sum of two numbers bit-shared by ``_share_bits``, lowest plane first.

    Of numbers of which only the highest ``planes`` of 64 bits are given, the carry out of the others is missing: the
    result is that of a sum smaller by less than 2^(65 - planes).

    Rounds: 1 + ceil(log2(planes - 1)). Bytes sent per party: 8·words for each AND of a plane, planes - 1 of them in
    the first round (none by P0) and two for each pair of planes joined.
    """
    below = u.planes - 1
    propagate = u ^ v
    generate = await _and_of_inputs(e, u[:below], v[:below])
    carry = await _carry(e, generate, propagate[:below])
    return BitShare((propagate[below:] ^ carry).parts, length)


async def _share_bits(e: Replicated, bits: Ring) -> tuple[BitShare, BitShare]:
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


async def _and_of_inputs(e: Replicated, u: BitShare, v: BitShare) -> BitShare:
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


async def bit_and(e: Replicated, x: BitShare, y: BitShare) -> BitShare:
    """AND of all planes (Araki et al., section 2.1, over Z_2).

    Rounds: 1. Bytes sent per party: 8·planes·words.
    """
    shape = x.parts[0].shape
    size = int(x.parts[0].size)
    mask = e.key_own.words(size) ^ e.key_next.words(size)
    flat = [np.ascontiguousarray(part).reshape(-1) for part in (*x.parts, *y.parts)]
    own = cross_and(flat[0], flat[1], flat[2], flat[3], mask).reshape(shape)
    received = await e.session.exchange({e.previous: [own]}, {e.next: [shape]})
    return BitShare((own, received[e.next][0]), x.length)


async def _carry(e: Replicated, g: BitShare, p: BitShare) -> BitShare:
    """The carry out of all planes: (g, p) pairs joined two by two, (g1 ^ p1&g0, p1&p0), until one is left."""
    while g.planes > 1:
        odd = g.planes % 2  # a lone lowest plane waits for the next level
        low_g, high_g = g[odd::2], g[odd + 1 :: 2]
        low_p, high_p = p[odd::2], p[odd + 1 :: 2]
        pairs = high_g.planes
        both = await bit_and(e, _stack(high_p, high_p), _stack(low_g, low_p))
        g = _stack(g[:odd], high_g ^ both[:pairs])
        p = _stack(p[:odd], both[pairs:])
    return g


def _stack(x: BitShare, y: BitShare) -> BitShare:
    return BitShare(tuple(np.concatenate((a, b)) for a, b in zip(x.parts, y.parts, strict=True)), x.length)


async def b2a(e: Replicated, bits: BitShare) -> Share:
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
