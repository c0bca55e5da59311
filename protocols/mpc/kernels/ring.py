"""Arithmetic in Z_2^64 on whole arrays: products, sums by bin, and truncation under a mask (masked.py derives it)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.kernels.jit import kernel

_LOW63 = np.uint64((1 << 63) - 1)
_TOP = np.uint64(63)


@kernel
def matvec(x: Ring, w: Ring) -> Ring:
    """``x @ w`` mod 2^64 for (n, d) and (d,)."""
    n, d = x.shape
    out = np.empty(n, dtype=np.uint64)
    for i in range(n):
        total = np.uint64(0)
        for j in range(d):
            total += x[i, j] * w[j]
        out[i] = total
    return out


@kernel
def matvec_transposed(x: Ring, r: Ring) -> Ring:
    """``x.T @ r`` mod 2^64 for (n, d) and (n,)."""
    n, d = x.shape
    out = np.zeros(d, dtype=np.uint64)
    for i in range(n):
        factor = r[i]
        for j in range(d):
            out[j] += x[i, j] * factor
    return out


@kernel
def matmul(x: Ring, y: Ring) -> Ring:
    """``x @ y`` mod 2^64 for (n, k) and (k, m)."""
    n, k = x.shape
    m = y.shape[1]
    out = np.zeros((n, m), dtype=np.uint64)
    for i in range(n):
        for inner in range(k):
            factor = x[i, inner]
            for j in range(m):
                out[i, j] += factor * y[inner, j]
    return out


@kernel
def cross_product(x0: Ring, x1: Ring, y0: Ring, y1: Ring) -> Ring:
    """The local part of a replicated product: x0·(y0 + y1) + x1·y0, elementwise on flat arrays."""
    out = np.empty(x0.size, dtype=np.uint64)
    for i in range(x0.size):
        out[i] = x0[i] * (y0[i] + y1[i]) + x1[i] * y0[i]
    return out


@kernel
def cross_and(x0: Ring, x1: Ring, y0: Ring, y1: Ring, mask: Ring) -> Ring:
    """The local part of a replicated AND, masked: x0&(y0^y1) ^ x1&y0 ^ mask, on flat arrays."""
    out = np.empty(x0.size, dtype=np.uint64)
    for i in range(x0.size):
        out[i] = (x0[i] & (y0[i] ^ y1[i])) ^ (x1[i] & y0[i]) ^ mask[i]
    return out


@kernel
def bin_sums(bins: NDArray[np.uint8], v: Ring, n_bins: int) -> Ring:
    """Per-column bin sums of several vectors, (n, vectors): out[j, b, k] = sum of v[i, k] over bins[i, j] == b, mod 2^64."""
    n, d = bins.shape
    out = np.zeros((d, n_bins, v.shape[1]), dtype=np.uint64)
    for i in range(n):
        row = v[i]
        for j in range(d):
            total = out[j, bins[i, j]]
            for k in range(row.size):
                total[k] += row[k]
    return out


@kernel
def add_rows(hint: Ring, bins: NDArray[np.uint8], a: Ring) -> None:
    """hint[j, bins[i, j]] += row i of the negacyclic matrix of the polynomial a, for (columns, n_bins, m), at most m rows.

    Row i of that matrix is what the product with a vector of coefficients has at place i: a window of (reversed a, -reversed a).
    """
    m = a.size
    both = np.empty(2 * m, dtype=np.uint64)
    for k in range(m):
        both[k] = a[m - 1 - k]
        both[m + k] = np.uint64(0) - a[m - 1 - k]
    for i in range(bins.shape[0]):
        row = both[m - 1 - i : 2 * m - 1 - i]
        for j in range(bins.shape[1]):
            total = hint[j, bins[i, j]]
            for k in range(m):
                total[k] += row[k]


@kernel
def unmask(c: Ring, t: Ring, m: Ring, bits: int, first: bool) -> Ring:
    """A summand of z / 2^bits, from flat arrays; see ``masked_truncation.unmask``."""
    shift = np.uint64(bits)
    unit = np.uint64(1) << np.uint64(63 - bits)
    back = np.uint64(1) << np.uint64(62 - bits)
    out = np.empty(c.size, dtype=np.uint64)
    for i in range(c.size):
        top = c[i] >> _TOP
        summand = (unit - top * (unit + unit)) * m[i] - t[i]
        if first:
            summand += ((c[i] & _LOW63) >> shift) + top * unit - back
        out[i] = summand
    return out


@kernel
def mask_corrections(r0: Ring, r1: Ring, z0: Ring, t: Ring, m: Ring, bits: int) -> None:
    """Of the mask r = r0 + r1 - z0: its t and m less the other summands ``t`` and ``m``, written over these."""
    shift = np.uint64(bits)
    for i in range(r0.size):
        r = r0[i] + r1[i] - z0[i]
        t[i] = ((r & _LOW63) >> shift) - t[i]
        m[i] = (r >> _TOP) - m[i]
