"""Elementwise products of two parties' private numbers: a·d + b·c for one's (a, b) and the other's (c, d).

Slot packing (SIMD: Smart, Vercauteren, Designs, Codes and Cryptography'14): modulo a prime t = 1 mod 2n the ring is n
independent slots. Several such primes, joined by the Chinese remainder theorem, hold the integer a·d + b·c + R, whose mask
R is uniform over all that the primes leave, 2^40 times the product and more. Both cross terms of a Beaver triple
come from one answer (a, b encrypted; c, d plain factors).
"""

from __future__ import annotations

import math
import os
from collections import deque
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final

import numpy as np
import trio
from numpy.typing import NDArray

from hansa.protocols.mpc.kernels import rlwe as kernels
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.rlwe import pair
from hansa.protocols.mpc.rlwe.params import NOISE, STATISTICAL_BITS, Params, ntt_primes, params
from hansa.protocols.mpc.rlwe.scheme import Evaluator, KeyOwner
from hansa.protocols.mpc.rlwe.transform import Transform
from hansa.protocols.mpc.session import Session, sole_error

Words = NDArray[np.uint64]
Small = NDArray[np.uint32]
DEGREE: Final = 8192
MAX_ANSWERS: Final = 1 << 24
"""Coefficients returned under one key; then both ends take a new one."""
_SKIPPED: Final = 8
"""Primes left to the ciphertext modulus: the slots take the next."""
_EVERY: Final = slice(0, DEGREE)


@dataclass(frozen=True)
class Width:
    """``bits``: of the factors; ``signed``: two's complement within them. ``primes``: of the slots."""

    bits: int
    signed: bool
    primes: tuple[int, ...]

    @property
    def mask_words(self) -> int:
        """64-bit words of a mask."""
        return -(-mask_bits(self) // 64)


def modulus(chosen: Width) -> int:
    """What the slots hold numbers modulo."""
    return math.prod(chosen.primes)


def mask_bits(chosen: Width) -> int:
    """Masks are uniform below 2^this, a quarter of the modulus or more."""
    return modulus(chosen).bit_length() - 3


@lru_cache
def width(bits: int) -> Width:
    """Slots for factors below 2^64 (``bits`` 64), or for two's complement numbers of ``bits`` bits below that."""
    needed = 2 * bits + 1 + STATISTICAL_BITS + 3
    count = next(k for k in range(1, 9) if math.prod(ntt_primes(k, _SKIPPED)).bit_length() > needed)
    return Width(bits, bits < 64, ntt_primes(count, _SKIPPED))


@lru_cache
def product_params(t: int) -> Params:
    """Noise before flooding, in units of t: two products of an error below 21 (and a message below t) with a polynomial of n
    coefficients below t, and an encryption of zero."""
    noise = 2 * DEGREE * (NOISE + 1) * t + (2 * DEGREE + 1) * NOISE
    return params(DEGREE, t, noise=noise, answers=MAX_ANSWERS)


class ProductOwner:
    """The end that owns the keys, one for each slot prime."""

    def __init__(self, session: Session, peer: int) -> None:
        self._session, self._peer = session, peer
        self._keys: dict[int, KeyOwner] = {}
        self._answers: dict[int, int] = {}

    async def cross(self, a: Words, b: Words, bits: int = 64) -> Words:
        """This party's summand modulo 2^64 of a·d + b·c, (size,).

        Messages for 8192 elements: 2 sent and 1 received a slot prime. Bytes sent: 8·(primes of q) a slot prime and
        slot, rounded up to 8192 slots; keys once.
        """
        chosen = width(bits)
        out = np.empty(a.size, dtype=np.uint64)
        keys: deque[KeyOwner] = deque()

        async def ask() -> None:
            for part in _parts(a.size):
                for t in chosen.primes:
                    key = await self._key(t)
                    keys.append(key)
                    seeds = [pair.fresh_seed(), pair.fresh_seed()]
                    firsts = await trio.to_thread.run_sync(_encrypted, key, (a[part], b[part]), seeds, chosen.signed)
                    await pair.send_ciphertexts(self._session, self._peer, firsts, seeds)

        try:
            async with trio.open_nursery() as nursery:  # encrypting the next goes on while the guest computes
                nursery.start_soon(ask)
                for part in _parts(a.size):
                    residues = []
                    for t in chosen.primes:
                        answer = await pair.recv_answer(self._session, self._peer, product_params(t), DEGREE)
                        residues.append(await trio.to_thread.run_sync(_slots, keys.popleft(), *answer))
                    joined = await trio.to_thread.run_sync(_joined, np.stack(residues), chosen.primes)
                    out[part] = joined[: part.stop - part.start]
        except ExceptionGroup as group:
            raise sole_error(group) from None
        return out

    async def _key(self, t: int) -> KeyOwner:
        if t not in self._keys or self._answers[t] + DEGREE > MAX_ANSWERS:
            self._keys[t] = await pair.send_key(self._session, self._peer, product_params(t))
            self._answers[t] = 0
        self._answers[t] += DEGREE
        return self._keys[t]


class ProductGuest:
    """The end that computes."""

    def __init__(self, session: Session, peer: int) -> None:
        self._session, self._peer = session, peer
        self._evaluators: dict[int, Evaluator] = {}
        self._answers: dict[int, int] = {}
        self._random = Keystream(os.urandom(32), b"rlwe-masks")

    async def cross(self, c: Words, d: Words, bits: int = 64) -> Words:
        """This party's summand modulo 2^64 of a·d + b·c, (size,).

        Bytes sent: 8·kept a slot prime and slot, rounded up to 8192 slots.
        """
        chosen = width(bits)
        out = np.empty(c.size, dtype=np.uint64)
        for part in _parts(c.size):
            mask = _masks(self._random, chosen)
            for t in chosen.primes:
                evaluator = await self._evaluator(t)
                ciphertexts = await pair.recv_ciphertexts(self._session, self._peer, product_params(t), 2)
                compute = partial(_answer, evaluator, ciphertexts, (d[part], c[part]), mask, signed=chosen.signed)
                await pair.send_answer(self._session, self._peer, *await trio.to_thread.run_sync(compute))
            out[part] = (np.uint64(0) - mask[0])[: part.stop - part.start]
        return out

    async def _evaluator(self, t: int) -> Evaluator:
        if t not in self._evaluators or self._answers[t] + DEGREE > MAX_ANSWERS:
            key = await pair.recv_key(self._session, self._peer, product_params(t))
            self._evaluators[t] = Evaluator(key)
            self._answers[t] = 0
        self._answers[t] += DEGREE
        return self._evaluators[t]


def _parts(size: int) -> list[slice]:
    """As many elements as there are slots, one after the other."""
    return [slice(low, min(low + DEGREE, size)) for low in range(0, size, DEGREE)]


def _masks(random: Keystream, chosen: Width) -> Words:
    """(words, n): uniform masks, lowest word first."""
    bits = mask_bits(chosen)
    masks: Words = random.words(chosen.mask_words, DEGREE)
    masks[-1] &= np.uint64((1 << (bits - 64 * (chosen.mask_words - 1))) - 1)
    return masks


def _slot_values(x: Words, t: int, *, signed: bool) -> Words:
    """Numbers modulo t, one a slot, as (1, n) coefficients."""
    prime = np.array([t], dtype=np.uint64)
    slots = np.zeros((1, DEGREE), dtype=np.uint64)
    slots[:, : x.size] = kernels.signed_residues(x, prime) if signed else kernels.residues(x[None], prime)
    return Transform.of(DEGREE, (t,)).inverse(slots)


def _centred(coefficients: Words, t: int, primes: Words) -> Words:
    """Numbers below t, as the nearest to zero, modulo each prime."""
    near = np.where(coefficients > t >> 1, coefficients - np.uint64(t), coefficients)
    return kernels.signed_residues(near, primes)


def _encrypted(key: KeyOwner, numbers: tuple[Words, Words], seeds: list[bytes], signed: bool) -> list[Words]:
    params = key.constants.params
    firsts = []
    for x, seed in zip(numbers, seeds, strict=True):
        plain = _centred(_slot_values(x, params.t, signed=signed)[0], params.t, key.constants.primes)
        firsts.append(key.encrypt(plain, seed))
    return firsts


def _answer(
    evaluator: Evaluator, ciphertexts: Small, numbers: tuple[Words, Words], mask: Words, *, signed: bool
) -> tuple[Small, Small]:
    params, primes = evaluator.constants.params, evaluator.constants.primes
    factors = np.empty((2, len(primes), DEGREE), dtype=np.uint64)
    for k, x in enumerate(numbers):
        plain = _centred(_slot_values(x, params.t, signed=signed)[0], params.t, primes)
        factors[k] = params.transform.forward(plain)
    slots = kernels.residues(mask, np.array([params.t], dtype=np.uint64))
    coefficients = Transform.of(DEGREE, (params.t,)).inverse(slots)[0]
    return evaluator.answer(kernels.combine(ciphertexts, factors, primes), coefficients, _EVERY)


def _slots(key: KeyOwner, first: Small, second: Small) -> Words:
    values = key.decrypt(first, second, _EVERY)
    slots: Words = Transform.of(DEGREE, (key.constants.params.t,)).forward(values[None])[0]
    return slots


def _joined(residues: Words, primes: tuple[int, ...]) -> Words:
    """The number with these residues, centred, modulo 2^64."""
    inverses = np.array([[pow(p, -1, q) if p != q else 0 for q in primes] for p in primes], dtype=np.uint64)
    joined: Words = kernels.compose(residues, np.array(primes, dtype=np.uint64), inverses)
    return joined
