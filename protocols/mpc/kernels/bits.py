"""Bit-slicing: 64 ring elements become 64 words, word k holding bit k of each, and back."""

from __future__ import annotations

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.kernels.jit import kernel


@kernel
def slice_bits(x: Ring, low: int, planes: int) -> Ring:
    """(planes, ceil(n/64)) words: plane k holds bit ``low + k`` of every element of ``x`` (flat).

    A 64x64 transpose by recursive block swaps (Warren, Hacker's Delight, 7-3), then the planes asked for.
    """
    n = x.size
    words = (n + 63) // 64
    out = np.zeros((planes, words), dtype=np.uint64)
    block = np.empty(64, dtype=np.uint64)
    for word in range(words):
        for i in range(64):
            at = word * 64 + i
            block[i] = x[at] if at < n else np.uint64(0)
        step = 32
        mask = np.uint64(0x00000000FFFFFFFF)
        while step:
            shift = np.uint64(step)
            k = 0
            while k < 64:
                swap = ((block[k] >> shift) ^ block[k + step]) & mask
                block[k] ^= swap << shift
                block[k + step] ^= swap
                k = (k + step + 1) & ~step
            step >>= 1
            mask ^= mask << np.uint64(step)
        for plane in range(planes):
            out[plane, word] = block[low + plane]
    return out


@kernel
def unpack_bits(words: Ring, n: int) -> Ring:
    """The ``n`` bits of one plane as ring elements 0 and 1."""
    out = np.empty(n, dtype=np.uint64)
    for i in range(n):
        out[i] = (words[i >> 6] >> np.uint64(i & 63)) & np.uint64(1)
    return out
