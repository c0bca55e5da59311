"""Tables for the transforms of one degree and list of primes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.mpc.kernels import ntt

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Transform:
    """Forward and inverse negacyclic transforms, row i modulo ``primes[i]``."""

    primes: Words
    roots: Words
    quotients: Words
    inverse_roots: Words
    inverse_quotients: Words
    scale: Words
    scale_quotients: Words

    @staticmethod
    @lru_cache
    def of(n: int, primes: tuple[int, ...]) -> Transform:
        """The tables; made once a process."""
        order = _bit_reversed(n)
        roots, inverses = [], []
        for p in primes:
            psi = _root(n, p)
            roots.append(_powers(psi, n, p)[order])
            inverses.append(_powers(pow(psi, -1, p), n, p)[order])
        columns = np.array(primes, dtype=np.uint64)
        scale = np.array([pow(n, -1, p) for p in primes], dtype=np.uint64)
        forward, backward = np.stack(roots), np.stack(inverses)
        return Transform(
            columns,
            forward,
            _quotients(forward, columns[:, None]),
            backward,
            _quotients(backward, columns[:, None]),
            scale,
            _quotients(scale, columns),
        )

    def forward(self, x: Words) -> Words:
        """Transform x (rows, n), in place, and return it."""
        rows = x.shape[0]
        ntt.forward(x, self.primes[:rows], self.roots[:rows], self.quotients[:rows])
        return x

    def inverse(self, x: Words) -> Words:
        """Undo it, in place, and return x."""
        rows = x.shape[0]
        ntt.inverse(
            x,
            self.primes[:rows],
            self.inverse_roots[:rows],
            self.inverse_quotients[:rows],
            self.scale[:rows],
            self.scale_quotients[:rows],
        )
        return x


def _quotients(w: Words, p: Words) -> Words:
    return (w << np.uint64(32)) // p


def _bit_reversed(n: int) -> NDArray[np.int64]:
    order = np.zeros(1, dtype=np.int64)
    while order.size < n:
        order = np.concatenate((2 * order, 2 * order + 1))
    return order


def _powers(psi: int, n: int, p: int) -> Words:
    powers = np.ones(n, dtype=np.uint64)
    done = 1
    while done < n:  # doubling: powers[done:2 done] = powers[:done] psi^done
        factor = np.uint64(pow(psi, done, p))
        powers[done : 2 * done] = powers[:done] * factor % np.uint64(p)
        done *= 2
    return powers


def _root(n: int, p: int) -> int:
    """A primitive 2n-th root of unity: x^((p-1)/2n) for the first x whose n-th power then is -1."""
    for x in range(2, 1000):
        psi = pow(x, (p - 1) // (2 * n), p)
        if pow(psi, n, p) == p - 1:
            return psi
    raise AssertionError(f"{p} has no root of order {2 * n}")
