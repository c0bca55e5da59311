"""Oblivious transfer on bit planes: fold the leaves of a tree, turn 128 planes into rows, take pads out of hashed rows.

Layout. Element e of a batch is bit e mod 64 of word e // 64. Planes lie in blocks of 8 words (512 elements):
``planes[block, 8·plane + lane]`` is word ``8·block + lane`` of a plane, and each block ends in 8 unused words, so that
planes do not fall on one cache set. A batch turned into rows keeps the order that costs no shuffle: row
``512·block + 8·j + lane`` belongs to element ``64·(8·block + lane) + j``.
"""

from __future__ import annotations

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.kernels.jit import kernel


@kernel
def fold(leaves: Ring, planes: Ring, first: int, total: Ring) -> None:
    """One tree: planes ``first + b`` become the XOR of all leaves with bit b in their index, ``total`` that of all leaves.

    ``leaves``: (2^w, at least words), destroyed; ``planes``: (words / 8, stride); ``total``: (words,).
    """
    for block in range(planes.shape[0]):
        at = 8 * block
        base = 8 * first
        half = leaves.shape[0] // 2
        while half:
            for lane in range(8):
                planes[block, base + lane] = np.uint64(0)
            for y in range(half):
                for lane in range(8):
                    odd = leaves[2 * y + 1, at + lane]
                    planes[block, base + lane] ^= odd
                    leaves[y, at + lane] = leaves[2 * y, at + lane] ^ odd
            half //= 2
            base += 8
        for lane in range(8):
            total[at + lane] = leaves[0, at + lane]


@kernel
def correct(planes: Ring, first: int, width: int, delta: int, correction: Ring) -> None:
    """XOR ``correction`` (words,) into each plane ``first + b``, b < width, whose bit of ``delta`` is 1."""
    for b in range(width):
        if (delta >> b) & 1:
            base = 8 * (first + b)
            for block in range(planes.shape[0]):
                for lane in range(8):
                    planes[block, base + lane] ^= correction[8 * block + lane]


@kernel
def hash_inputs(planes: Ring, start: int, rows: Ring) -> None:
    """sigma(x) ^ i for the 128-bit rows x of 128 planes: i counts rows from ``start``, sigma(l, r) = (l ^ r, l).

    Two 64x64 transposes by recursive block swaps (Hacker's Delight, 7-3) of 8 lanes each. ``rows``: (512·blocks, 2).
    """
    left = np.empty(512, dtype=np.uint64)
    right = np.empty(512, dtype=np.uint64)
    for block in range(planes.shape[0]):
        for i in range(512):
            left[i] = planes[block, i]
            right[i] = planes[block, 512 + i]
        for half in range(2):
            words = left if half == 0 else right
            step = 32
            mask = np.uint64(0x00000000FFFFFFFF)
            while step:
                shift = np.uint64(step)
                run = 8 * step
                for base in range(0, 512, 2 * run):
                    for at in range(base, base + run):
                        swap = ((words[at] >> shift) ^ words[at + run]) & mask
                        words[at] ^= swap << shift
                        words[at + run] ^= swap
                step >>= 1
                mask ^= mask << np.uint64(step)
        at = 512 * block
        for i in range(512):
            rows[at + i, 0] = left[i] ^ right[i] ^ np.uint64(start + at + i)
            rows[at + i, 1] = left[i]


@kernel
def shift_rows(rows: Ring, offset: Ring, out: Ring) -> None:
    """``out[i] = rows[i] ^ offset`` for rows of two words."""
    low, high = offset[0], offset[1]
    for i in range(rows.shape[0]):
        out[i, 0] = rows[i, 0] ^ low
        out[i, 1] = rows[i, 1] ^ high


@kernel
def pad_planes(before: Ring, after: Ring, first: int, out: Ring) -> None:
    """The low bits of the hashes ``before ^ after`` as planes: ``out`` (width, words) is filled from word ``first``."""
    hashes = np.empty(512, dtype=np.uint64)
    plane = np.empty(8, dtype=np.uint64)
    for block in range(before.shape[0] // 512):
        for i in range(512):
            hashes[i] = before[512 * block + i, 0] ^ after[512 * block + i, 0]
        for b in range(out.shape[0]):
            plane[:] = 0
            for j in range(64):
                for lane in range(8):
                    plane[lane] |= ((hashes[8 * j + lane] >> np.uint64(b)) & np.uint64(1)) << np.uint64(j)
            for lane in range(min(8, out.shape[1] - first - 8 * block)):
                out[b, first + 8 * block + lane] = plane[lane]


@kernel
def pad_words(before: Ring, after: Ring, first: int, out: Ring) -> None:
    """The first word of each hash ``before ^ after``, in the order of elements, into ``out`` (n,) from ``first``."""
    for block in range(before.shape[0] // 512):
        for j in range(64):
            for lane in range(8):
                element = first + 512 * block + 64 * lane + j
                if element < out.size:
                    row = 512 * block + 8 * j + lane
                    out[element] = before[row, 0] ^ after[row, 0]


@kernel
def pad_keys(before: Ring, after: Ring, first: int, out: Ring) -> None:
    """As ``pad_words``, both words of each hash, into ``out`` (n, 2)."""
    for block in range(before.shape[0] // 512):
        for j in range(64):
            for lane in range(8):
                element = first + 512 * block + 64 * lane + j
                if element < out.shape[0]:
                    row = 512 * block + 8 * j + lane
                    out[element, 0] = before[row, 0] ^ after[row, 0]
                    out[element, 1] = before[row, 1] ^ after[row, 1]


@kernel
def add_chosen(share: Ring, choices: Ring, message: Ring) -> None:
    """``share[i] = message[i] - share[i]`` where bit i of ``choices`` is 1 (a receiver's half of a COT)."""
    for i in range(share.size):
        if (choices[i >> 6] >> np.uint64(i & 63)) & np.uint64(1):
            share[i] = message[i] - share[i]


@kernel
def join_bits(planes: Ring, n: int) -> Ring:
    """(n,) words whose bit b is bit i of plane b: the inverse of ``bits.slice_bits``."""
    out = np.empty(n, dtype=np.uint64)
    for i in range(n):
        word, bit = i >> 6, np.uint64(i & 63)
        value = np.uint64(0)
        for b in range(planes.shape[0]):
            value |= ((planes[b, word] >> bit) & np.uint64(1)) << np.uint64(b)
        out[i] = value
    return out
