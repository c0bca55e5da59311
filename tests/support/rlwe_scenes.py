"""One product under parameters too small to be safe, and all that the key's owner sees of it."""

from __future__ import annotations

import secrets
from dataclasses import replace
from math import prod

import numpy as np

from hansa.protocols.mpc.rlwe.packing import Packing, encrypt_ring, message_conversion, multiply_packed
from hansa.protocols.mpc.rlwe.params import RING, RlweParams, fit, linear_noise
from hansa.protocols.mpc.rlwe.residues import basis, in_ring
from hansa.protocols.mpc.rlwe.sampling import fresh_coins
from hansa.protocols.mpc.rlwe.scheme import BgvScheme


def insecure_linear(degree: int, columns: int, returned: int = 2**20, *, keep_all: bool = False) -> RlweParams:
    """As ``linear_params``, of any degree; ``keep_all``: no primes are dropped, so nothing is rounded away."""
    params = fit(degree, RING, (), linear_noise(degree, columns), returned)
    return replace(params, kept=len(params.primes)) if keep_all else params


def numbers(residues: np.ndarray, primes: tuple[int, ...]) -> list[int]:
    """The integers in [0, product) by the textbook's remainder theorem."""
    q = prod(primes)
    weights = [q // p * pow(q // p, -1, p) for p in primes]
    return [sum(int(x) * w for x, w in zip(column, weights, strict=True)) % q for column in residues.T]


class Scene:
    """A matrix encrypted by its owner, multiplied by a vector at the evaluator, and returned."""

    def __init__(self, params: RlweParams, matrix: np.ndarray, vector: np.ndarray) -> None:
        self.params = params
        self.scheme = s = BgvScheme(params)
        self.packing = Packing(*matrix.shape, params.degree)
        coins, seed = fresh_coins(), secrets.token_bytes(32)
        self.key = s.keygen(coins)
        public = s.public_key(s.public_parts(self.key, seed, 0, coins), seed, 0)
        self.c1 = np.stack([s.uniform(seed, 1 + i) for i in range(self.packing.polys)])
        conversion = message_conversion(params.primes)
        messages = [self.packing.message(matrix, i) for i in range(self.packing.polys)]
        self.c0 = np.stack(
            [encrypt_ring(s, self.key, m, c1, conversion, coins) for m, c1 in zip(messages, self.c1, strict=True)]
        )
        sums = multiply_packed(s, self.packing, self.c0, self.c1, vector)
        self.returned = s.finish(*sums, public, self.packing.rows, coins)
        self._digits = s.decrypt(self.key, self.returned.c0.copy(), self.returned.c1.copy())

    def product(self) -> np.ndarray:
        """The sum of both parties' summands."""
        evaluators = in_ring(self.returned.mask, self.scheme.mask_weights) + np.uint64(self.scheme.mask_offset % RING)
        return in_ring(self._digits, self.scheme.decrypted_weights) - evaluators

    def seen(self) -> list[int]:
        """The integers v = V + U that the owner decrypts, divided by the primes dropped."""
        kept = self.params.primes[: self.params.kept]
        radix = basis(kept).radix
        return [
            sum(int(d) * r for d, r in zip(column[:-1], radix, strict=True)) - int(column[-1]) * prod(kept)
            for column in self._digits.T
        ]

    def own_plaintexts(self) -> list[list[int]]:
        """m + t·e of each of the owner's ciphertexts, which it knows."""
        s, out, q = self.scheme, [], prod(self.params.primes)
        for c0, c1 in zip(self.c0, self.c1, strict=True):
            product = s.basis.multiply(c1, self.key.values).astype(np.uint64)
            values = ((product + c0) % s.basis.primes[:, None]).astype(np.uint32)
            whole = numbers(s.transform.inverse(values), self.params.primes)
            out.append([v - q if v > q // 2 else v for v in whole])
        return out
