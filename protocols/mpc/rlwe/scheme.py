"""BGV encryption: keys, encryption under the secret key, masking of results, and decryption.

A polynomial is residues (primes, degree) uint32, as values of its transform unless said otherwise. All of these are pure
computations; those on whole polynomials take 0.05 to 5 ms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from hansa.protocols.arrays import Words
from hansa.protocols.mpc.kernels import rlwe as kernels
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.rlwe.params import ERROR_BOUND, RlweParams
from hansa.protocols.mpc.rlwe.residues import Basis, Conversion, ModulusSwitch, basis
from hansa.protocols.mpc.rlwe.sampling import LIMB, errors, limbs, ternary, uniform
from hansa.protocols.mpc.rlwe.transform import transform


@dataclass(frozen=True, slots=True)
class SecretKey:
    """s, uniform ternary: its values in Montgomery form, (primes, degree)."""

    values: Words = field(repr=False)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """(b, a) with b = t·e - a·s, values in Montgomery form."""

    b: Words = field(repr=False)
    a: Words = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReturnedCiphertext:
    """A ciphertext for the key's owner: coefficients modulo the primes kept, and of c0 only those that are results.

    ``c0``: (kept, results); ``c1``: (kept, degree); ``mask``: U + 2^(mask_bits - 1) in limbs, which stays at the evaluator.
    """

    c0: Words = field(repr=False)
    c1: Words = field(repr=False)
    mask: Words = field(repr=False)


class BgvScheme:
    """The operations under one set of parameters; made by ``scheme``."""

    def __init__(self, params: RlweParams) -> None:
        self.params = params
        self.basis: Basis = basis(params.primes)
        self.transform = transform(params.degree, params.primes)
        self.shape = len(params.primes), params.degree
        kept = params.primes[: params.kept]
        self._kept, self._kept_transform = basis(kept), transform(params.degree, kept)
        self._signs = Conversion(params.primes, [1], -1)
        self._signs_montgomery = Conversion(params.primes, [1], -1, montgomery=True)
        self._errors = Conversion(params.primes, [params.t], -ERROR_BOUND * params.t)
        places = range(-(-params.mask_bits // LIMB))
        self.mask_weights = [2 ** (LIMB * k) for k in places]
        self.mask_offset = -(2 ** (params.mask_bits - 1))
        self._mask = Conversion(params.primes, self.mask_weights, self.mask_offset)
        self._switch = ModulusSwitch(params.primes, params.kept, params.t)
        radix = [weight * self._switch.dropped for weight in self._kept.radix]
        self.decrypted_weights = [*radix, -self._kept.product * self._switch.dropped]
        """The weight of digit k of a decryption, mod t."""

    def keygen(self, coins: Keystream) -> SecretKey:
        """A new secret key."""
        digits = ternary(coins, self.params.degree)
        return SecretKey(self.transform.forward(self._signs_montgomery(digits)))

    def uniform(self, seed: bytes, index: int) -> Words:
        """The second component of the ``index``-th ciphertext under a public seed."""
        return uniform(seed, index, self.basis.primes, self.params.degree)

    def encrypt(self, key: SecretKey, message: Words, c1: Words) -> Words:
        """The first component c0 = m + t·e - c1·s. ``message``: m + t·e as coefficients, which are overwritten."""
        c0 = self.transform.forward(message)
        kernels.subtract(c0, self.basis.multiply(c1, key.values), self.basis.primes)
        return c0

    def public_parts(self, key: SecretKey, seed: bytes, index: int, coins: Keystream) -> Words:
        """b of a public key whose a is the ``index``-th polynomial of the seed."""
        return self.encrypt(key, self._error_poly(coins), self.uniform(seed, index))

    def public_key(self, b: Words, seed: bytes, index: int) -> PublicKey:
        """The public key from what its owner sent."""
        return PublicKey(self.basis.montgomery(b), self.basis.montgomery(self.uniform(seed, index)))

    def finish(self, c0: Words, c1: Words, key: PublicKey, results: int, coins: Keystream) -> ReturnedCiphertext:
        """Re-randomise and mask a computed ciphertext (c0, c1), which is overwritten, before the key's owner sees it.

        1. Add a fresh encryption of zero under the public key, (b·u, a·u + t·e1): c1 is then independent of how it was computed.
        2. Add U, uniform with ``mask_bits`` bits, to the first ``results`` coefficients, the only ones returned: it hides
           the result mod t, and above it all noise (so that no e0 is needed).
        3. Divide by all primes but those kept, which needs no secret.
        """
        u = self.transform.forward(self._signs(ternary(coins, self.params.degree)))
        kernels.add(c0, self.basis.multiply(key.b, u), self.basis.primes)
        kernels.add(c1, self.basis.multiply(key.a, u), self.basis.primes)
        self.transform.inverse(c1)
        kernels.add(c1, self._error_poly(coins), self.basis.primes)
        mask = limbs(coins, self.params.mask_bits, results)
        c0 = np.ascontiguousarray(self.transform.inverse(c0)[:, :results])
        kernels.add(c0, self._mask(mask), self.basis.primes)
        return ReturnedCiphertext(self._switch(c0), self._switch(c1), mask)

    def decrypt(self, key: SecretKey, c0: Words, c1: Words) -> Words:
        """m + U of a returned ciphertext, which is overwritten: digits (kept + 1, results), see ``decrypted_weights``."""
        results = c0.shape[1]
        s = key.values[: self.params.kept]
        product = self._kept_transform.inverse(self._kept.multiply(self._kept_transform.forward(c1), s))
        digits = np.empty((self.params.kept + 1, results), dtype=np.uint32)
        digits[:-1] = product[:, :results]
        kernels.add(digits[:-1], c0, self._kept.primes)
        self._kept.to_digits(digits[:-1])
        digits[-1] = digits[-2] > self._kept.primes[-1] // 2
        return digits

    def _error_poly(self, coins: Keystream) -> Words:
        return self._errors(errors(coins, self.params.degree)[None])


@lru_cache(maxsize=32)
def scheme(params: RlweParams) -> BgvScheme:
    """The scheme of these parameters; its tables are made once a process."""
    return BgvScheme(params)
