"""1-of-16 oblivious transfer: code words on planes, 240 planes to 128, sixteen pads a row (layout: kernels/ot.py)."""

from __future__ import annotations

import numpy as np

from hansa.protocols.arrays import Bytes, Ring, Words
from hansa.protocols.mpc.kernels.jit import kernel


@kernel
def codeword_planes(choices: Bytes, out: Ring) -> None:
    """Plane p of ``out`` (16, words): the parity of ``choice & p``, for 4-bit choices (n,); row 0 is zero."""
    out[:] = 0
    for i in range(choices.size):
        word, bit = i >> 6, np.uint64(i & 63)
        for b in range(4):
            out[1 << b, word] |= np.uint64((choices[i] >> b) & 1) << bit
    for p in range(3, 16):
        if p & (p - 1):
            for word in range(out.shape[1]):
                out[p, word] = out[p & (p - 1), word] ^ out[p & -p, word]


@kernel
def combine(planes: Ring, columns: Bytes, out: Ring) -> None:
    """Sixteen planes at a time: group r of ``out`` is the XOR of those groups p of ``planes`` whose ``columns[p]`` has bit r."""
    total = np.empty(128, dtype=np.uint64)
    for block in range(planes.shape[0]):
        source, target = planes[block], out[block]
        for r in range(8):
            total[:] = 0
            for p in range(columns.size):
                if (columns[p] >> r) & 1:
                    group = source[128 * p : 128 * p + 128]
                    for k in range(128):
                        total[k] ^= group[k]
            target[128 * r : 128 * r + 128] = total


@kernel
def spread(rows: Ring, offsets: Ring, out: Ring) -> None:
    """``out[x, i] = rows[i] ^ offsets[x]``: the hash inputs of all 16 entries; ``out`` is (16, rows, 2)."""
    for x in range(16):
        low, high = offsets[x, 0], offsets[x, 1]
        for i in range(rows.shape[0]):
            out[x, i, 0] = rows[i, 0] ^ low
            out[x, i, 1] = rows[i, 1] ^ high


@kernel
def mask_tables(before: Ring, after: Ring, tables: Words, first: int, out: Words) -> None:
    """Mask each table, (tables, n), with its pads; ``out`` is in the order of rows, from row ``first``.

    ``before`` and ``after``: (16, rows, 2). Bits 2x and 2x + 1 of a pad of table k are bits 2k and 2k + 1 of hash x.
    """
    rows, n = before.shape[1], tables.shape[1]
    pads = np.empty(rows, dtype=np.uint32)
    for k in range(tables.shape[0]):
        shift = np.uint64(2 * k)
        pads[:] = 0
        for x in range(16):
            for i in range(rows):
                two = ((before[x, i, 0] ^ after[x, i, 0]) >> shift) & np.uint64(3)
                pads[i] |= np.uint32(two) << np.uint32(2 * x)
        for block in range(rows // 512):
            for j in range(64):
                for lane in range(8):
                    row = 512 * block + 8 * j + lane
                    element = first + 512 * block + 64 * lane + j
                    table = tables[k, element] if element < n else np.uint32(0)
                    out[k, first + row] = pads[row] ^ table


@kernel
def entry_pads(before: Ring, after: Ring, first: int, out: Bytes) -> None:
    """The low bits of each hash, two a table, in the order of elements, into ``out`` (tables, n) from ``first``."""
    for block in range(before.shape[0] // 512):
        for j in range(64):
            for lane in range(8):
                element = first + 512 * block + 64 * lane + j
                if element < out.shape[1]:
                    row = 512 * block + 8 * j + lane
                    pad = before[row, 0] ^ after[row, 0]
                    for k in range(out.shape[0]):
                        out[k, element] = np.uint8((pad >> np.uint64(2 * k)) & np.uint64(3))


@kernel
def choose_entries(masked: Words, choices: Bytes, pads: Bytes) -> None:
    """Turn ``pads`` (tables, n) into the chosen entries of the masked tables, which are in the order of rows."""
    for element in range(choices.size):
        inside = element & 511
        row = (element - inside) + 8 * (inside & 63) + (inside >> 6)
        for k in range(pads.shape[0]):
            entry = (masked[k, row] >> np.uint32(2 * choices[element])) & np.uint32(3)
            pads[k, element] ^= np.uint8(entry)
