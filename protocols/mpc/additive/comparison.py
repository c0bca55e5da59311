"""Comparison on bits shared by XOR: the borrow out of many blocks, joined as a tree; and bits as ring elements."""

from __future__ import annotations

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.additive.bits import and_from_triple
from hansa.protocols.mpc.additive.party import AdditiveParty
from hansa.protocols.mpc.kernels.bits import unpack_bits
from hansa.protocols.mpc.shares import BitShare, Share


async def borrow(e: AdditiveParty, less: Ring, equal: Ring) -> Ring:
    """[c < r] of all blocks (blocks, words), lowest first, as (1, words): pairs are joined two by two, less = less_high
    ^ equal_high & less_low, equal = equal_high & equal_low (not needed of the lowest).

    Rounds: ceil(log2(blocks)). Bytes sent per party: (8·words)·(n_parties - 1) for each opened plane: three for a pair
    joined, two for a lowest one.
    """
    words = less.shape[1]
    wide, narrow = _joins(less.shape[0])
    a2, b2, c2 = await _triples(e, wide, words, 2)
    a1, b1, c1 = await _triples(e, narrow, words, 1)
    at2 = at1 = 0
    while less.shape[0] > 1:
        odd = less.shape[0] % 2  # a lone lowest block waits for the next level
        pairs = less.shape[0] // 2
        lowest = 1 - odd
        high, low_less, low_equal = equal[odd + 1 :: 2], less[odd::2], equal[odd::2][lowest:]
        take1, take2 = slice(at1, at1 + lowest), slice(at2, at2 + pairs - lowest)
        a = np.concatenate((a1[0, take1], a2[0, take2]))
        b = np.concatenate((b1[0, take1], b2[0, take2]))
        c = np.concatenate((c1[0, take1], c2[0, take2]))
        d, f, g = await e.xors(high ^ a, low_less ^ b, low_equal ^ b2[1, take2])
        less = np.concatenate((less[:odd], less[odd + 1 :: 2] ^ and_from_triple(e, d, f, a, b, c)))
        above = and_from_triple(e, d[lowest:], g, a[lowest:], b2[1, take2], c2[1, take2])
        equal = np.concatenate((equal[:1], above))  # the lowest one's is never looked at again
        at1, at2 = take1.stop, take2.stop
    return less


def _joins(blocks: int) -> tuple[int, int]:
    """How many pairs are joined in all levels with equality, and without (the lowest)."""
    wide = narrow = 0
    while blocks > 1:
        lowest = 1 - blocks % 2
        wide += blocks // 2 - lowest
        narrow += lowest
        blocks -= blocks // 2
    return wide, narrow


async def _triples(e: AdditiveParty, planes: int, words: int, width: int) -> tuple[Ring, Ring, Ring]:
    """Bit triples for many planes: a (1, planes, words), b and c (width, planes, words)."""
    a, b, c = await e.correlations.bit_triples(planes * words, width)
    return a.reshape(1, planes, words), b.reshape(width, planes, words), c.reshape(width, planes, words)


async def b2a(e: AdditiveParty, bits: BitShare) -> Share:
    """One plane of bits as ring elements 0 and 1: open v = b ^ d under a daBit; b = v + d - 2vd.

    Rounds: 1. Bytes sent per party: 8·words·(n_parties - 1). Preprocessing: a daBit each.
    """
    if bits.planes != 1:
        raise ProtocolError(f"{bits.planes} planes of bits where one is due", remedy="report this as a bug")
    hidden, ring = await e.correlations.dabits(bits.length)
    (v,) = await e.xors(bits.parts[0][0] ^ hidden)
    return Share((from_dabit(e, unpack_bits(v, bits.length), ring),))


def from_dabit(e: AdditiveParty, v: Ring, ring: Ring) -> Ring:
    """A summand of v + d - 2vd for public v."""
    summand = ring * (np.uint64(1) - v - v)
    return summand + v if e.first else summand
