"""Arithmetic in Z_2^64 on whole arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.kernels.jit import kernel


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
