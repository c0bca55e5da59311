"""Negacyclic number-theoretic transforms modulo primes below 2^30, one prime a row.

Lazy butterflies with Shoup's quotients: values stay below 4p < 2^32 until the end (Harvey, "Faster arithmetic for
number-theoretic transforms", 2014). The transformed order is bit-reversed, which products do not mind.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.mpc.kernels.jit import kernel

Words = NDArray[np.uint64]

_S32 = np.uint64(32)


@kernel
def forward(x: Words, primes: Words, roots: Words, quotients: Words) -> None:
    """Transform every row of x (rows, n) in place; values below 2^32 in, below p out."""
    rows, n = x.shape
    for row in range(rows):
        p = primes[row]
        two_p = p + p
        a = x[row]
        t = n
        m = 1
        while m < n:
            t >>= 1
            for i in range(m):
                w, wq = roots[row, m + i], quotients[row, m + i]
                at = 2 * i * t
                low = a[at : at + t]
                high = a[at + t : at + t + t]
                for j in range(t):
                    u = low[j]
                    u = min(u, u - two_p)  # unsigned: the smaller is the reduced one
                    v = high[j]
                    v = w * v - ((wq * v) >> _S32) * p
                    low[j] = u + v
                    high[j] = u + two_p - v
            m <<= 1
        for j in range(n):
            u = a[j]
            u = min(u, u - two_p)
            a[j] = min(u, u - p)


@kernel
def inverse(x: Words, primes: Words, roots: Words, quotients: Words, scale: Words, scale_quotients: Words) -> None:
    """Undo ``forward`` on every row in place; values below p in and out."""
    rows, n = x.shape
    for row in range(rows):
        p = primes[row]
        two_p = p + p
        a = x[row]
        t = 1
        m = n
        while m > 1:
            half = m >> 1
            for i in range(half):
                w, wq = roots[row, half + i], quotients[row, half + i]
                at = 2 * i * t
                low = a[at : at + t]
                high = a[at + t : at + t + t]
                for j in range(t):
                    u = low[j]
                    v = high[j]
                    s = u + v
                    d = u + two_p - v
                    low[j] = min(s, s - two_p)
                    high[j] = w * d - ((wq * d) >> _S32) * p
            t <<= 1
            m = half
        w, wq = scale[row], scale_quotients[row]
        for j in range(n):
            v = a[j]
            v = w * v - ((wq * v) >> _S32) * p
            a[j] = min(v, v - p)
