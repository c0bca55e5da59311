"""Comparison by a masked opening: the borrow of c - r for public c and secret r, blocks of four bits, then a tree.

With x = c - r, the top bit of x is that of c, xor that of r, xor whether the lower bits of c are less than r's. Inside
a block this is local, since the products of r's bits come with the mask (``Correlations.comparison_masks``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.additive.correlations import TOP_BITS
from hansa.protocols.mpc.concurrency import offload
from hansa.protocols.mpc.kernels.additive import block_less
from hansa.protocols.mpc.kernels.bits import slice_bits, unpack_bits
from hansa.protocols.mpc.shares import BitShare, Share

if TYPE_CHECKING:
    from hansa.protocols.mpc.additive.dealer.engine import DealerEngine
    from hansa.protocols.mpc.additive.engine import AdditiveEngine


async def msb(e: DealerEngine, x: Share) -> BitShare:
    """The top bit of each element, flat, exactly.

    1. c = x + r is opened under a comparison mask.
    2. [c < r] and [c == r] of each of the 16 blocks, locally; then the tree of ``borrow``.

    Rounds: 5. Bytes sent per party: (8·size + 8·41·words)·(n_parties - 1), words = ceil(size / 64).
    Preprocessing: a comparison mask each, 11·words bit triples of width 2 and 4·words of width 1.
    """
    r, planes = await e.source.comparison_masks(x.size)
    (c,) = await e.sums(x.parts[0].reshape(-1) + r)
    return await top_bit(e, await under_mask(e, c, planes, TOP_BITS), x.size)


async def under_mask(e: AdditiveEngine, c: Ring, planes: Ring, below: int) -> Ring:
    """[c < r] and [c == r] of each block of the ``below`` bits under the top bit, then c's top bit ^ r's. Local.

    The mask's words of bits may be more than c's.
    """
    bits: Ring = await offload(8 * c.size, slice_bits, np.ascontiguousarray(c), 63 - below, below + 1)
    compared: Ring = await offload(
        8 * c.size, block_less, bits, np.ascontiguousarray(planes[:, : bits.shape[1]]), e.first
    )
    return compared


async def top_bit(e: AdditiveEngine, compared: Ring, length: int) -> BitShare:
    """The top bit of c - r from the result of ``under_mask``. Costs as ``borrow``."""
    blocks = compared.shape[0] // 2
    borrowed = await borrow(e, compared[:blocks], compared[blocks : 2 * blocks])
    return BitShare((compared[2 * blocks :] ^ borrowed,), length)


async def borrow(e: AdditiveEngine, less: Ring, equal: Ring) -> Ring:
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
        less = np.concatenate((less[:odd], less[odd + 1 :: 2] ^ _and(e, d, f, a, b, c)))
        above = _and(e, d[lowest:], g, a[lowest:], b2[1, take2], c2[1, take2])
        equal = np.concatenate((equal[:1], above))  # the lowest one's is never looked at again
        at1, at2 = take1.stop, take2.stop
    return less


def _and(e: AdditiveEngine, d: Ring, f: Ring, a: Ring, b: Ring, c: Ring) -> Ring:
    """A summand of x & y from public d = x ^ a, f = y ^ b and a bit triple's."""
    summand: Ring = c ^ (d & b) ^ (f & (a ^ d if e.first else a))
    return summand


def _joins(blocks: int) -> tuple[int, int]:
    """How many pairs are joined in all levels with equality, and without (the lowest)."""
    wide = narrow = 0
    while blocks > 1:
        lowest = 1 - blocks % 2
        wide += blocks // 2 - lowest
        narrow += lowest
        blocks -= blocks // 2
    return wide, narrow


async def _triples(e: AdditiveEngine, planes: int, words: int, width: int) -> tuple[Ring, Ring, Ring]:
    """Bit triples for many planes: a (1, planes, words), b and c (width, planes, words)."""
    a, b, c = await e.correlations.bit_triples(planes * words, width)
    return a.reshape(1, planes, words), b.reshape(width, planes, words), c.reshape(width, planes, words)


async def b2a(e: AdditiveEngine, bits: BitShare) -> Share:
    """One plane of bits as ring elements 0 and 1: open v = b ^ d under a daBit; b = v + d - 2vd.

    Rounds: 1. Bytes sent per party: 8·words·(n_parties - 1). Preprocessing: a daBit each.
    """
    if bits.planes != 1:
        raise ProtocolError(f"{bits.planes} planes of bits where one is due", remedy="report this as a bug")
    hidden, ring = await e.correlations.dabits(bits.length)
    (v,) = await e.xors(bits.parts[0][0] ^ hidden)
    return Share((from_dabit(e, unpack_bits(v, bits.length), ring),))


def from_dabit(e: AdditiveEngine, v: Ring, ring: Ring) -> Ring:
    """A summand of v + d - 2vd for public v."""
    summand = ring * (np.uint64(1) - v - v)
    return summand + v if e.first else summand
