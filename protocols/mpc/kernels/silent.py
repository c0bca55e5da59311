"""Silent OTs: a level of half-trees, the linear code, and rows made ready for the hash (row order: kernels/ot.py)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Bytes, Ring
from hansa.protocols.mpc.kernels.jit import kernel

Indices = NDArray[np.uint32]

LOCALITY = 10
"""Rows of the seed in each row of the code."""


@kernel
def sigma(rows: Ring, out: Ring) -> None:
    """``out[i] = sigma(rows[i])``, sigma(l, r) = (l ^ r, l)."""
    for i in range(rows.shape[0]):
        left = rows[i, 0]
        out[i, 0] = left ^ rows[i, 1]
        out[i, 1] = left


@kernel
def split_nodes(nodes: Ring, before: Ring, after: Ring, trees: int, out: Ring, sums: Ring) -> None:
    """A level of ``trees`` trees at once: node x has the children h = before ^ after and h ^ x.

    ``nodes``, ``before`` and ``after``: (m·trees, 2), node i of tree k in row i·trees + k. ``out``: (2·m·trees, 2), all left
    children first. ``sums`` (2, trees, 2): the XOR of all left and of all right children of each tree.
    """
    size = nodes.size
    x, first, second, children = nodes.reshape(-1), before.reshape(-1), after.reshape(-1), out.reshape(-1)
    left, right = children[:size], children[size:]
    for i in range(size):
        left[i] = first[i] ^ second[i]
        right[i] = left[i] ^ x[i]
    width = 2 * trees
    totals = np.zeros((2, width), dtype=np.uint64)
    for at in range(0, size, width):
        for word in range(width):
            totals[0, word] ^= left[at + word]
            totals[1, word] ^= right[at + word]
    sums[:] = totals.reshape(sums.shape)


@kernel
def encode(rows: Ring, seed: Ring, indices: Indices) -> None:
    """Add to each row, its lowest bit cleared, ten rows of ``seed``: uniform 32-bit ``indices`` (10·rows,) say which."""
    size = np.uint64(seed.shape[0])
    for i in range(rows.shape[0]):
        low, high = rows[i, 0] & ~np.uint64(1), rows[i, 1]
        for j in range(LOCALITY):
            at = (np.uint64(indices[LOCALITY * i + j]) * size) >> np.uint64(32)
            low ^= seed[at, 0]
            high ^= seed[at, 1]
        rows[i, 0] = low
        rows[i, 1] = high


@kernel
def row_bits(rows: Ring, out: Ring) -> None:
    """The lowest bits of rows, in the order of elements: ``out`` (width, rows / width / 64), element e's in its row's run."""
    width = out.shape[0]
    out[:] = 0
    for block in range(out.shape[1] // 8):
        for j in range(64):
            for lane in range(8):
                first = width * (512 * block + 8 * j + lane)
                for b in range(width):
                    out[b, 8 * block + lane] |= (rows[first + b, 0] & np.uint64(1)) << np.uint64(j)


@kernel
def hash_rows(rows: Ring, start: int, out: Ring) -> None:
    """sigma(x) ^ i for each row x: i counts rows from ``start``."""
    for i in range(rows.shape[0]):
        left = rows[i, 0]
        out[i, 0] = left ^ rows[i, 1] ^ np.uint64(start + i)
        out[i, 1] = left


@kernel
def combine_rows(rows: Ring, out: Ring) -> None:
    """Four rows each become one: q0 + x q1 + x^2 q2 + x^3 q3 in GF(2^128), modulo x^128 + x^7 + x^2 + x + 1."""
    for i in range(out.shape[0]):
        low, high = rows[4 * i + 3, 0], rows[4 * i + 3, 1]
        for j in range(2, -1, -1):
            carry = high >> np.uint64(63)
            high = (high << np.uint64(1)) | (low >> np.uint64(63))
            low = (low << np.uint64(1)) ^ (carry * np.uint64(0x87))
            low ^= rows[4 * i + j, 0]
            high ^= rows[4 * i + j, 1]
        out[i, 0] = low
        out[i, 1] = high


@kernel
def correct_rows(inputs: Ring, corrections: Ring, offsets: Ring) -> None:
    """XOR into each hash input the offset that its correction, a number of as many bits as there are planes, names.

    ``corrections``: (width, rows / 64) in the order of elements; ``offsets``: (2^width, 2).
    """
    for block in range(inputs.shape[0] // 512):
        for j in range(64):
            for lane in range(8):
                row = 512 * block + 8 * j + lane
                y = 0
                for b in range(corrections.shape[0]):
                    y |= int((corrections[b, 8 * block + lane] >> np.uint64(j)) & np.uint64(1)) << b
                inputs[row, 0] ^= offsets[y, 0]
                inputs[row, 1] ^= offsets[y, 1]


@kernel
def nibble_planes(choices: Bytes, out: Ring) -> None:
    """The four bits of each choice (n,) as planes, (4, words)."""
    out[:] = 0
    for i in range(choices.size):
        word, bit = i >> 6, np.uint64(i & 63)
        for b in range(4):
            out[b, word] |= np.uint64((choices[i] >> b) & 1) << bit
