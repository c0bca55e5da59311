"""Number-theoretic transforms (NTT) of residue polynomials, with their tables."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Words
from hansa.protocols.mpc.kernels import ntt as kernels


class Transform:
    """The negacyclic NTT of polynomials of one degree, modulo each of several primes; made by ``transform``."""

    def __init__(self, degree: int, primes: tuple[int, ...]) -> None:
        assert degree >= 32
        assert degree & (degree - 1) == 0
        assert all(p < 2**30 and p % (2 * degree) == 1 for p in primes)
        self.degree = degree
        self.primes = np.array(primes, dtype=np.uint32)
        roots = [_root(degree, p) for p in primes]
        self._w, self._quotients = _tables(degree, primes, roots)
        self._v, self._inverse_quotients = _tables(
            degree, primes, [pow(r, -1, p) for r, p in zip(roots, primes, strict=True)]
        )
        self._scale = np.empty((len(primes), 4), dtype=np.uint32)
        for k, p in enumerate(primes):
            whole = pow(degree, -1, p)
            half = whole * int(self._v[k, 1]) % p
            self._scale[k] = whole, (whole << 32) // p, half, (half << 32) // p

    def forward(self, polys: Words) -> Words:
        """Turn coefficients (primes, degree) into values, in place; returns the same array."""
        kernels.forward(polys, self.primes, self._w, self._quotients)
        return polys

    def inverse(self, polys: Words) -> Words:
        """Turn values into coefficients, in place; returns the same array."""
        kernels.inverse(polys, self.primes, self._v, self._inverse_quotients, self._scale)
        return polys

    def forward_short(self, polys: Words) -> Words:
        """Values (count, primes, size), in place, of polynomials in x^(degree/size), size <= degree/16.

        Value i is that at the points i·rows/size to (i + 1)·rows/size - 1 of each of the 16 runs of ``rows`` = degree/16.
        """
        kernels.short_forward(polys, self.primes, self._w, self._quotients, polys.shape[2])
        return polys


@lru_cache(maxsize=16)
def transform(degree: int, primes: tuple[int, ...]) -> Transform:
    """The transform of these polynomials; its tables are made once a process."""
    return Transform(degree, primes)


def _root(degree: int, p: int) -> int:
    """A primitive root of unity of order 2·degree: the same at all parties."""
    for base in range(2, p):
        root = pow(base, (p - 1) // (2 * degree), p)
        if pow(root, degree, p) == p - 1:
            return root
    raise AssertionError(f"{p} is not prime")


def _tables(degree: int, primes: tuple[int, ...], roots: list[int]) -> tuple[Words, Words]:
    """Powers of the roots in the order in which the kernels read them, and their quotients."""
    order = _reading_order(degree)
    w = np.empty((len(primes), degree), dtype=np.uint32)
    quotients = np.empty_like(w)
    for k, (p, root) in enumerate(zip(primes, roots, strict=True)):
        powers = np.ones(degree, dtype=np.uint64)
        done = 1
        while done < degree:
            powers[done : 2 * done] = powers[:done] * np.uint64(pow(root, done, p)) % np.uint64(p)
            done *= 2
        w[k] = powers[order]
        quotients[k] = (w[k].astype(np.uint64) << np.uint64(32)) // np.uint64(p)
    return w, quotients


def _reading_order(degree: int) -> NDArray[np.int64]:
    """Bit-reversed exponents; in the last four stages, group a's factors of each place h follow each other by a."""
    bits = degree.bit_length() - 1
    index = np.arange(degree)
    reverse = np.zeros(degree, dtype=np.int64)
    for bit in range(bits):
        reverse |= ((index >> bit) & 1) << (bits - 1 - bit)
    rows = degree >> 4
    order = reverse.copy()
    for s in range(4):
        stage = reverse[rows << s : rows << (s + 1)]
        order[rows << s : rows << (s + 1)] = stage.reshape(rows, 1 << s).T.ravel()
    return order
