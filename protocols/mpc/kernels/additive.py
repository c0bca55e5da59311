"""Kernels of the additive engine: Beaver products, and comparison with a masked number by blocks.

A comparison of public bits c with secret bits r goes by blocks of four bits. Of each block the shares of all 15
products of its bits are given: plane 15·k + s - 1 is the product of the bits of block k whose places are set in s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.kernels.jit import kernel


@kernel
def beaver(d: Ring, f: Ring, a: Ring, b: Ring, c: Ring, first: bool) -> Ring:
    """A summand of x·y from public d = x - a and f = y - b and a triple's: c + d·b + f·a, and d·f at one party."""
    out = np.empty(d.size, dtype=np.uint64)
    for i in range(d.size):
        other = a[i] + d[i] if first else a[i]
        out[i] = c[i] + d[i] * b[i] + f[i] * other
    return out


@kernel
def monomials(bits: Ring, blocks: int) -> Ring:
    """All products inside each block, and the top bit: (15·blocks + 1, words) from (4·blocks + 1 or 4·blocks, words).

    ``bits``: planes from the lowest bit compared up to the top bit; if there is one less than 4·blocks + 1, the lowest
    block lacks its lowest bit, which counts as zero.
    """
    planes, words = bits.shape
    missing = 4 * blocks + 1 - planes
    out = np.empty((15 * blocks + 1, words), dtype=np.uint64)
    for k in range(blocks):
        low = 4 * k - missing
        base = 15 * k
        for w in range(words):
            r0 = bits[low, w] if low >= 0 else np.uint64(0)
            r1, r2, r3 = bits[low + 1, w], bits[low + 2, w], bits[low + 3, w]
            r01, r23 = r0 & r1, r2 & r3
            out[base, w] = r0
            out[base + 1, w] = r1
            out[base + 2, w] = r01
            out[base + 3, w] = r2
            out[base + 4, w] = r0 & r2
            out[base + 5, w] = r1 & r2
            out[base + 6, w] = r01 & r2
            out[base + 7, w] = r3
            out[base + 8, w] = r0 & r3
            out[base + 9, w] = r1 & r3
            out[base + 10, w] = r01 & r3
            out[base + 11, w] = r23
            out[base + 12, w] = r0 & r23
            out[base + 13, w] = r1 & r23
            out[base + 14, w] = r01 & r23
    for w in range(words):
        out[15 * blocks, w] = bits[planes - 1, w]
    return out


@kernel
def block_less(bits: Ring, planes: Ring, first: bool) -> Ring:
    """XOR-summands of [c < r] and [c == r] for each block, and of c's top bit ^ r's: (2·blocks + 1, words).

    ``bits`` of the public c and ``planes`` of r are as in ``monomials``; ``first``: this summand has the constants.
    With d = not c, a bit is equal where r ^ d = 1. Multiplying out from the highest bit down, the coefficient that
    stands before r_i when all higher bits are equal is what [c < r] takes where c_i = 0.
    """
    count, words = bits.shape
    blocks = planes.shape[0] // 15
    missing = 4 * blocks + 1 - count
    one = ~np.uint64(0) if first else np.uint64(0)
    out = np.empty((2 * blocks + 1, words), dtype=np.uint64)
    for k in range(blocks):
        low = 4 * k - missing
        m = 15 * k
        for w in range(words):
            d = ~bits[low, w] if low >= 0 else ~np.uint64(0)
            d1, d2, d3 = ~bits[low + 1, w], ~bits[low + 2, w], ~bits[low + 3, w]
            less = d3 & planes[m + 7, w]
            v0 = planes[m + 7, w] ^ (d3 & one)
            v1 = planes[m + 8, w] ^ (d3 & planes[m, w])
            v2 = planes[m + 9, w] ^ (d3 & planes[m + 1, w])
            v3 = planes[m + 10, w] ^ (d3 & planes[m + 2, w])
            v4 = planes[m + 11, w] ^ (d3 & planes[m + 3, w])
            v5 = planes[m + 12, w] ^ (d3 & planes[m + 4, w])
            v6 = planes[m + 13, w] ^ (d3 & planes[m + 5, w])
            v7 = planes[m + 14, w] ^ (d3 & planes[m + 6, w])
            less ^= d2 & v4
            v0, v1, v2, v3 = v4 ^ (d2 & v0), v5 ^ (d2 & v1), v6 ^ (d2 & v2), v7 ^ (d2 & v3)
            less ^= d1 & v2
            v0, v1 = v2 ^ (d1 & v0), v3 ^ (d1 & v1)
            out[k, w] = less ^ (d & v1)
            out[blocks + k, w] = v1 ^ (d & v0)
    for w in range(words):
        out[2 * blocks, w] = planes[15 * blocks, w] ^ (bits[count - 1, w] & one)
    return out


@kernel
def leaf_tables(x: Ring, low: int, masks: Ring) -> NDArray[np.uint32]:
    """The tables that 1-of-16 OTs offer to compare: one for each block of four bits of x from bit ``low`` up. For each 4-bit
    number y, bit 2y says whether the block's complement is less than y, bit 2y + 1 whether it is y; both are masked.

    Block after block, each of 64·words elements; ``masks`` (2·blocks, words) are of "less" and of "equal". Bit 63 does
    not take part.
    """
    blocks, words = masks.shape[0] // 2, masks.shape[1]
    out = np.empty(64 * blocks * words, dtype=np.uint32)
    for k in range(blocks):
        shift = np.uint64(low + 4 * k)
        for i in range(64 * words):
            value = x[i] if i < x.size else np.uint64(0)
            block = (~value & np.uint64(0x7FFFFFFFFFFFFFFF)) >> shift & np.uint64(15)
            word, bit = i >> 6, np.uint64(i & 63)
            less = np.uint32(masks[k, word] >> bit & np.uint64(1))
            equal = np.uint32(masks[blocks + k, word] >> bit & np.uint64(1))
            table = np.uint32(0x55555555) * less ^ np.uint32(0xAAAAAAAA) * equal
            above = np.uint32(0x55555555) & ~((np.uint32(4) << np.uint32(2 * block)) - np.uint32(1))
            out[64 * words * k + i] = table ^ above ^ (np.uint32(2) << np.uint32(2 * block))
    return out


@kernel
def leaf_choices(x: Ring, low: int, blocks: int, words: int) -> NDArray[np.uint8]:
    """The blocks of x themselves, in the order of ``leaf_tables``."""
    out = np.empty(64 * blocks * words, dtype=np.uint8)
    for k in range(blocks):
        shift = np.uint64(low + 4 * k)
        for i in range(64 * words):
            value = x[i] if i < x.size else np.uint64(0)
            out[64 * words * k + i] = np.uint8((value & np.uint64(0x7FFFFFFFFFFFFFFF)) >> shift & np.uint64(15))
    return out


@kernel
def leaf_planes(entries: NDArray[np.uint8], blocks: int) -> Ring:
    """(2·blocks, words) from entries of two bits in the order of ``leaf_tables``: "less", then "equal"."""
    words = entries.size // (64 * blocks)
    out = np.zeros((2 * blocks, words), dtype=np.uint64)
    for k in range(blocks):
        for i in range(64 * words):
            entry = np.uint64(entries[64 * words * k + i])
            out[k, i >> 6] |= (entry & np.uint64(1)) << np.uint64(i & 63)
            out[blocks + k, i >> 6] |= (entry >> np.uint64(1)) << np.uint64(i & 63)
    return out
