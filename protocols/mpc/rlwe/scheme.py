"""Additively homomorphic encryption from ring learning with errors, message in the low part.

BGV (Brakerski, Gentry, Vaikuntanathan, ITCS'12) without multiplication of ciphertexts: (c0, c1) with c0 + c1·s = m + t·e.
Ciphertexts are (2, primes, n) in the transformed domain, factors (primes, n) likewise.

Whoever computes on a ciphertext answers through ``Evaluator.answer``, which adds a fresh public-key encryption of zero
and floods the noise: without the first the key's owner solves the linear system of the first components for the plaintext
factors, without the second it reads them from the noise (tests/mpc/rlwe/test_attacks.py does both to careless variants).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.kernels import rlwe as kernels
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.rlwe.params import Params, residues

Words = NDArray[np.uint64]
Small = NDArray[np.uint32]
SEED_BYTES = 32


@dataclass(frozen=True)
class Constants:
    """Numbers modulo the primes that every operation needs."""

    params: Params

    @cached_property
    def primes(self) -> Words:
        """The primes."""
        return np.array(self.params.primes, dtype=np.uint64)

    @cached_property
    def t(self) -> Words:
        """t modulo each prime."""
        return residues(self.params.t, self.params.primes)

    @cached_property
    def t_inverses(self) -> Words:
        """1/t modulo each prime."""
        return np.array([pow(self.params.t, -1, p) for p in self.params.primes], dtype=np.uint64)

    @cached_property
    def inverses(self) -> Words:
        """[i, j]: 1/prime i modulo prime j (0 on the diagonal)."""
        primes = self.params.primes
        return np.array([[pow(p, -1, q) if p != q else 0 for q in primes] for p in primes], dtype=np.uint64)

    @cached_property
    def dropped(self) -> int:
        """What an answer's message has been divided by, modulo t."""
        product = 1
        for p in self.params.primes[self.params.kept :]:
            product = product * p % self.params.t
        return product


@dataclass(frozen=True)
class PublicKey:
    """``params``, and an encryption of zero (2, primes, n)."""

    constants: Constants
    zero: Words = field(repr=False)


class KeyOwner:
    """Holds the secret key; encrypts, and decrypts answers."""

    def __init__(self, params: Params, random: Keystream | None = None) -> None:
        self.constants = Constants(params)
        self._random = random or Keystream(os.urandom(32), b"rlwe")
        primes = self.constants.primes
        self._secret = params.transform.forward(kernels.ternary(self._random.words(params.n), primes))

    def public_key(self, seed: bytes) -> Words:
        """The second component follows from ``seed``; this is the first, (primes, n)."""
        return self.encrypt(np.zeros_like(self._secret), seed)

    def encrypt(self, message: Words, seed: bytes) -> Words:
        """The first component of an encryption of a plaintext's coefficients, whose second is ``expand(seed)``.

        A seed serves once.
        """
        c = self.constants
        params = c.params
        noise = kernels.errors(self._random.words(params.n), c.primes, c.t)
        kernels.add_to(noise, message, c.primes)
        out = params.transform.forward(noise)
        kernels.subtract_from(out, kernels.multiply(expand(params, seed), self._secret, c.primes), c.primes)
        return out

    def decrypt(self, first: Small, second: Small, places: slice) -> Words:
        """An answer's coefficients at ``places`` (of which ``first`` holds just those), modulo 2^64 if t = 2^64, else t.

        ``first`` (kept, count), ``second`` (kept, n): coefficients after modulus switching.
        """
        c = self.constants
        params = c.params
        rows = params.kept
        primes = c.primes[:rows]
        product = params.transform.forward(second.astype(np.uint64))
        value = params.transform.inverse(kernels.multiply(product, self._secret[:rows], primes))
        value = np.ascontiguousarray(value[:, places])
        kernels.add_to(value, first.astype(np.uint64), primes)
        composed = kernels.compose(value, primes, c.inverses)
        if params.t == 1 << 64:
            return composed * np.uint64(c.dropped)
        centred = composed.view(np.int64) % params.t  # t is small, so the number fits 64 bits
        return centred.astype(np.uint64) * np.uint64(c.dropped) % np.uint64(params.t)


class Evaluator:
    """Computes on a peer's ciphertexts and answers; holds its own coins only."""

    def __init__(self, key: PublicKey, random: Keystream | None = None) -> None:
        self.constants = key.constants
        self._zero = key.zero.astype(np.uint32)
        self._random = random or Keystream(os.urandom(32), b"rlwe")

    def answer(self, result: Words, mask: Words, places: slice) -> tuple[Small, Small]:
        """A ciphertext (2, primes, n), overwritten, made safe to return (``protected``) and switched to the kept primes.

        ``mask`` is added to the coefficients at ``places``: 64-bit numbers, or numbers below t. Returns these
        coefficients' first components, (kept, count), and the second component, (kept, n).
        """
        c = self.constants
        switch = (c.params.kept, c.primes, c.t, c.t_inverses, c.inverses)
        first, second = self.protected(result, mask, places)
        return kernels.switch(first, *switch), kernels.switch(second, *switch)

    def protected(self, result: Words, mask: Words, places: slice) -> tuple[Words, Words]:
        """Fresh zero added, noise flooded, mask added; only the first components at ``places`` are kept at all."""
        c = self.constants
        params = c.params
        draw, transform = self._random.words, params.transform
        factor = transform.forward(kernels.ternary(draw(params.n), c.primes))
        fresh = kernels.combine(self._zero[None], factor[None], c.primes)
        for k in range(2):
            kernels.add_to(result[k], fresh[k], c.primes)
            transform.inverse(result[k])
            kernels.add_to(result[k], kernels.errors(draw(params.n), c.primes, c.t), c.primes)
        first = np.ascontiguousarray(result[0][:, places])
        noise = draw(params.flood_bits // 64 + 1, first.shape[1])
        kernels.add_to(first, kernels.flood(noise, params.flood_bits, c.primes, c.t), c.primes)
        kernels.add_to(first, kernels.residues(mask[None], c.primes), c.primes)
        return first, result[1]


def expand(params: Params, seed: bytes) -> Words:
    """The uniform second component of a seed, (primes, n)."""
    if len(seed) != SEED_BYTES:
        raise ProtocolError(f"a seed of {len(seed)} bytes", remedy="report this as a bug")
    primes = np.array(params.primes, dtype=np.uint64)
    stream = Keystream(seed, b"rlwe-uniform")
    out = kernels.uniform(stream.words(len(primes) * params.n * 5 // 8), primes, params.n)
    if not out.size:
        raise ProtocolError("a seed ran out of randomness", remedy="run the job again")
    return out
