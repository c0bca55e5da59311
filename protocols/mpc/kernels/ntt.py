"""Number-theoretic transforms modulo primes below 2^30, several primes a call, in lanes of 32 bits.

Negacyclic, with lazy butterflies (Harvey, J. Symb. Comp. 2014; Shoup's product with a fixed factor). A transform of size n
ends in the order that needs no short strides: point 16·a + b of the usual bit-reversed order lies at b·(n/16) + a, so that
the last four stages run over contiguous lanes too. Tables are in the order in which they are read (``rlwe/transform.py``).
"""

from __future__ import annotations

import numpy as np

from hansa.protocols.arrays import Words
from hansa.protocols.mpc.kernels.jit import kernel

_32 = np.uint64(32)


@kernel
def shoup(y: np.uint32, w: np.uint32, quotient: np.uint32, p: np.uint32) -> np.uint32:
    """y·w mod p, in [0, 2p), for any y, w < p and quotient = floor(w·2^32 / p)."""
    high = np.uint32((np.uint64(y) * np.uint64(quotient)) >> _32)
    return np.uint32(np.uint32(y * w) - np.uint32(high * p))


@kernel
def lowered(x: np.uint32, p: np.uint32) -> np.uint32:
    """x - p if that is not negative, else x."""
    d = np.uint32(x - p)
    return d if d < x else x


@kernel
def _stages(x: Words, w: Words, quotients: Words, p: np.uint32, last: int) -> None:
    """Forward stages of strides n/2 down to ``last``; values in [0, 4p)."""
    p2 = np.uint32(2 * p)
    m, t = 1, x.size >> 1
    while t >= last:
        for i in range(m):
            factor, quotient = w[m + i], quotients[m + i]
            low, high = x[2 * i * t : 2 * i * t + t], x[2 * i * t + t : 2 * i * t + 2 * t]
            for j in range(t):
                v = shoup(high[j], factor, quotient, p)
                u = lowered(low[j], p2)
                low[j] = np.uint32(u + v)
                high[j] = np.uint32(np.uint32(u - v) + p2)
        m *= 2
        t >>= 1


@kernel
def _gather(x: Words, out: Words) -> None:
    """out[b, a] = x[a, b] for x of 16 columns, in blocks that stay in registers."""
    rows = x.size >> 4
    for start in range(0, rows, 16):
        for b in range(16):
            for a in range(start, min(start + 16, rows)):
                out[b * rows + a] = x[16 * a + b]


@kernel
def _scatter(x: Words, out: Words) -> None:
    """The inverse of ``_gather``."""
    rows = x.size >> 4
    for start in range(0, rows, 16):
        for a in range(start, min(start + 16, rows)):
            for b in range(16):
                out[16 * a + b] = x[b * rows + a]


@kernel
def forward(polys: Words, primes: Words, w: Words, quotients: Words) -> None:
    """In place: coefficients (primes, n) to values, both in [0, p); n >= 32."""
    n = polys.shape[1]
    rows = n >> 4
    lanes = np.empty(n, dtype=np.uint32)
    for k in range(primes.size):
        p = primes[k]
        p2 = np.uint32(2 * p)
        x, factors, ratios = polys[k], w[k], quotients[k]
        _stages(x, factors, ratios, p, 16)
        _gather(x, lanes)
        for s in range(4):
            half = 8 >> s
            for h in range(1 << s):
                base = (rows << s) + h * rows
                f, q = factors[base : base + rows], ratios[base : base + rows]
                for i in range(half):
                    at = (2 * half * h + i) * rows
                    low, high = lanes[at : at + rows], lanes[at + half * rows : at + half * rows + rows]
                    for j in range(rows):
                        v = shoup(high[j], f[j], q[j], p)
                        u = lowered(low[j], p2)
                        low[j] = np.uint32(u + v)
                        high[j] = np.uint32(np.uint32(u - v) + p2)
        for j in range(n):
            x[j] = lowered(lowered(lanes[j], p2), p)


@kernel
def inverse(polys: Words, primes: Words, w: Words, quotients: Words, scale: Words) -> None:
    """In place: values (primes, n) in [0, p), as ``forward`` leaves them, to coefficients in [0, p).

    ``scale`` (primes, 4): 1/n and w[1]/n, each with its quotient.
    """
    n = polys.shape[1]
    rows = n >> 4
    lanes = np.empty(n, dtype=np.uint32)
    for k in range(primes.size):
        p = primes[k]
        p2 = np.uint32(2 * p)
        x, factors, ratios = polys[k], w[k], quotients[k]
        for s in range(3, -1, -1):
            half = 8 >> s
            for h in range(1 << s):
                base = (rows << s) + h * rows
                f, q = factors[base : base + rows], ratios[base : base + rows]
                for i in range(half):
                    at = (2 * half * h + i) * rows
                    low, high = x[at : at + rows], x[at + half * rows : at + half * rows + rows]
                    for j in range(rows):
                        u, v = low[j], high[j]
                        low[j] = lowered(np.uint32(u + v), p2)
                        high[j] = shoup(np.uint32(np.uint32(u - v) + p2), f[j], q[j], p)
        _scatter(x, lanes)
        m, t = rows >> 1, 16
        while m > 1:
            for i in range(m):
                factor, quotient = factors[m + i], ratios[m + i]
                low, high = lanes[2 * i * t : 2 * i * t + t], lanes[2 * i * t + t : 2 * i * t + 2 * t]
                for j in range(t):
                    u, v = low[j], high[j]
                    low[j] = lowered(np.uint32(u + v), p2)
                    high[j] = shoup(np.uint32(np.uint32(u - v) + p2), factor, quotient, p)
            m >>= 1
            t *= 2
        half = n >> 1
        for j in range(half):
            u, v = lanes[j], lanes[half + j]
            x[j] = lowered(shoup(np.uint32(u + v), scale[k, 0], scale[k, 1], p), p)
            x[half + j] = lowered(shoup(np.uint32(np.uint32(u - v) + p2), scale[k, 2], scale[k, 3], p), p)


@kernel
def short_forward(polys: Words, primes: Words, w: Words, quotients: Words, size: int) -> None:
    """In place: (count, primes, size) coefficients to values in the usual bit-reversed order, for size <= n/16.

    The tables are those of n: a polynomial in x^(n/size) takes these values, each at n/size points of n.
    """
    for c in range(polys.shape[0]):
        for k in range(primes.size):
            p = primes[k]
            x = polys[c, k]
            _stages(x, w[k], quotients[k], p, 1)
            for j in range(size):
                x[j] = lowered(lowered(x[j], np.uint32(2 * p)), p)
