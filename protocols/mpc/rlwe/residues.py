"""Residue number systems: arithmetic modulo a basis of primes, conversion of digits to residues, and modulus switching."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

import numpy as np

from hansa.protocols.arrays import Ring, Words
from hansa.protocols.mpc.kernels import rlwe as kernels
from hansa.protocols.mpc.rlwe.params import RING

_MONTGOMERY = 2**32


class Basis:
    """Arithmetic of residues (primes, n); made by ``basis``. One factor of each product is in Montgomery form."""

    def __init__(self, primes: tuple[int, ...]) -> None:
        self.primes = np.array(primes, dtype=np.uint32)
        self.inverses = np.array([pow(p, -1, 2**32) for p in primes], dtype=np.uint32)
        self.product = prod(primes)
        self.radix = [prod(primes[:k]) for k in range(len(primes))]
        self._square = np.array([[_MONTGOMERY**2 % p] for p in primes], dtype=np.uint32)
        self._digits = np.zeros((len(primes), len(primes), 2), dtype=np.uint32)
        for i, p in enumerate(primes):
            for k, q in enumerate(primes):
                if i != k:
                    self._digits[i, k] = _with_quotient(pow(p, -1, q), q)

    def multiply(self, x: Words, y: Words) -> Words:
        """x·y."""
        out = np.empty_like(x)
        kernels.multiply(x, y, self.primes, self.inverses, out)
        return out

    def inner(self, x: Words, y: Words) -> Words:
        """The sum of x[k]·y[k], (terms, primes, n) each; at most ``MAX_TERMS`` terms."""
        assert len(x) <= kernels.MAX_TERMS
        out = np.empty(x.shape[1:], dtype=np.uint32)
        kernels.inner(x, y, self.primes, self.inverses, out)
        return out

    def montgomery(self, x: Words) -> Words:
        """x in Montgomery form."""
        return self.multiply(x, np.ascontiguousarray(np.broadcast_to(self._square, x.shape)))

    def to_digits(self, x: Words) -> Words:
        """Residues become mixed-radix digits, in place: the number in [0, product) is the sum of digit k times radix[k]."""
        kernels.mixed_digits(x, self.primes, self._digits)
        return x

    def holds_untrusted(self, x: Words) -> bool:
        """Whether all values that a peer sent are below their primes."""
        return kernels.all_below(x, self.primes)


@lru_cache(maxsize=64)
def basis(primes: tuple[int, ...]) -> Basis:
    """The basis of these primes; its tables are made once a process."""
    return Basis(primes)


class Conversion:
    """The residues of a sum of digits below 2^30, each times a weight, plus a constant.

    ``weights``: one integer a digit, or one for each digit and prime; ``montgomery``: leave the result in that form.
    """

    def __init__(
        self,
        primes: tuple[int, ...],
        weights: Sequence[int | Sequence[int]],
        constant: int | Sequence[int] = 0,
        *,
        montgomery: bool = False,
    ) -> None:
        assert len(weights) <= kernels.MAX_TERMS
        form = _MONTGOMERY**2 if montgomery else _MONTGOMERY

        def residues(weight: int | Sequence[int]) -> list[int]:
            each = [weight] * len(primes) if isinstance(weight, int) else weight
            return [value * form % p for value, p in zip(each, primes, strict=True)]

        self._basis = basis(primes)
        self._weights = np.array([residues(weight) for weight in weights], dtype=np.uint32)
        self._constants = np.array(residues(constant), dtype=np.uint32)

    def __call__(self, digits: Words) -> Words:
        """(primes, n) residues from (digits, n)."""
        out = np.empty((self._basis.primes.size, digits.shape[1]), dtype=np.uint32)
        kernels.combine(digits, self._weights, self._constants, self._basis.primes, self._basis.inverses, out)
        return out


class ModulusSwitch:
    """Division of a ciphertext's coefficients by its last primes, which divides the plaintext mod t too (BGV)."""

    def __init__(self, primes: tuple[int, ...], kept: int, t: int) -> None:
        self._basis, self._kept = basis(primes), kept
        self.dropped = prod(primes[kept:])
        self._table = np.zeros((len(primes), len(primes), 4), dtype=np.uint32)
        for i in range(kept, len(primes)):
            p = primes[i]
            self._table[i, i, :2] = _with_quotient(-pow(t, -1, p) % p, p)
            for k in range(i):
                q = primes[k]
                inverse = pow(p, -1, q)
                self._table[i, k, :2] = _with_quotient(inverse, q)
                self._table[i, k, 2:] = _with_quotient(t * inverse % q, q)

    def __call__(self, polys: Words) -> Words:
        """(kept, n) from (primes, n), which is overwritten."""
        kernels.drop_primes(polys, self._kept, self._basis.primes, self._table)
        return polys[: self._kept]


def in_ring(digits: Words, weights: Sequence[int]) -> Ring:
    """The sum of digits times weights mod 2^64."""
    return kernels.ring_sum(digits, np.array([w % RING for w in weights], dtype=np.uint64))


def _with_quotient(value: int, p: int) -> tuple[int, int]:
    return value, (value << 32) // p
