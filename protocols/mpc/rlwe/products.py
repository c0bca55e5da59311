"""Elementwise products of two parties' private numbers: sums of a·d + b·c for one's (a, b) and the other's (c, d).

Slot packing (SIMD: Smart, Vercauteren, Designs, Codes and Cryptography'14): modulo a prime p = 1 mod 2·degree the plaintext ring
is ``degree`` independent slots. The plaintext modulus t of a ciphertext is a product of such primes. One product takes a
ciphertext for each of a few t, whose product is T; by the Chinese remainder theorem the slots hold a·d + b·c mod T. Both cross
terms of a Beaver triple come from one answer (a, b encrypted; c, d plain factors), and so does an inner product of several
terms, which are added up under encryption.

The owner decrypts a·d + b·c + R mod T with R uniform mod T, so its summand is independent of c and d. Both summands go to
2^64 as integers in [0, T), which is wrong where their sum passes T. T is 2^40 times wider than the sums times their number, so
that this happens with probability 2^-40 for all elements of a job of one width and number of terms together.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Final

import numpy as np
import trio

from hansa.protocols.arrays import Ring, Words
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.concurrency import gather
from hansa.protocols.mpc.kernels import rlwe as kernels
from hansa.protocols.mpc.rlwe import pair
from hansa.protocols.mpc.rlwe.params import DEGREES, ERROR_BOUND, RlweParams, product_bytes, product_params
from hansa.protocols.mpc.rlwe.residues import Conversion, basis, in_ring
from hansa.protocols.mpc.rlwe.sampling import errors
from hansa.protocols.mpc.rlwe.scheme import BgvScheme, ReturnedCiphertext, scheme
from hansa.protocols.mpc.rlwe.transform import transform
from hansa.protocols.mpc.session.session import Session

Plan = tuple[RlweParams, ...]
PRODUCTS: Final = (1 << 30, 1 << 36)
"""The most slots returned in a job, for each pair, direction, bits and terms: with the first parameters, and with the next,
wider ones. A piece returns all of its slots, however few are asked for, because each coefficient depends on the data."""
WINDOW: Final = 4
"""Pieces under way at once; a piece has as many elements as there are slots."""
_LIMBS: Final = (1, 2**30, 2**60)
_SIGN: Final = 2**63


@lru_cache
def plan_for(bits: int, size: int, terms: int = 1, level: int = 0) -> Plan:
    """The parameters, one a ciphertext, with which ``size`` sums of ``terms`` products of ``bits`` bits send the fewest bytes."""
    count = len(PRODUCTS) * PRODUCTS[level]
    plans = [product_params(bits, count, degree, terms) for degree in DEGREES]
    return min(plans, key=lambda plan: bytes_of(plan, size, terms))


def bytes_of(plan: Plan, size: int, terms: int) -> int:
    """What such a call sends, both ways."""
    return product_bytes(plan, terms) * plan[0].degree * len(parts_of(plan, size))


@lru_cache
def best_terms(bits: int, size: int, terms: int) -> int:
    """The divisor of ``terms``, how many terms to add up under encryption, with which the call sends fewest bytes.

    Few elements leave slots free, which several terms each fill; many elements are better added up.
    """
    divisors = [k for k in range(1, terms + 1) if terms % k == 0 and 2 * k <= kernels.MAX_TERMS]
    return min(divisors, key=lambda k: bytes_of(plan_for(bits, size * terms // k, k), size * terms // k, k))


def parts_of(plan: Plan, size: int) -> list[slice]:
    """The pieces of a call."""
    slots = plan[0].degree
    return [slice(low, min(low + slots, size)) for low in range(0, size, slots)]


class _ProductBudget:
    """Counts the slots returned, and says which parameters are due: the same at both ends."""

    def __init__(self) -> None:
        self._spent: dict[tuple[int, int, int], int] = {}

    def plan(self, bits: int, size: int, terms: int) -> Plan:
        """The plan for the next call, of the first level with room for it."""
        for level, most in enumerate(PRODUCTS):
            plan = plan_for(bits, size, terms, level)
            returned = plan[0].degree * len(parts_of(plan, size))
            spent = self._spent.get((bits, terms, level), 0) + returned
            if spent <= most:
                self._spent[bits, terms, level] = spent
                return plan
        raise ProtocolError("too many homomorphic products", remedy="train with fewer epochs")


class ProductOwner:
    """The end that owns the keys, one a ciphertext of the plan. One call at a time."""

    def __init__(self, session: Session, peer: int) -> None:
        self._session, self._peer = session, peer
        self._keys: dict[Plan, list[pair.OwnKey]] = {}
        self._budget = _ProductBudget()

    async def cross(self, a: Ring, b: Ring, bits: int = 64) -> Ring:
        """This party's summand modulo 2^64 of the sum over terms of a·d + b·c, (size,); a and b are (terms, size) or (size,).

        All numbers are two's complement of ``bits`` bits (64: any), of at most six terms. Messages for a piece: 1 sent, 1
        received; keys once for a plan (``plan_for``), 1 a ciphertext. Bytes sent: for a piece 32 and, for each ciphertext, term
        and slot, 8·primes; for a key 32 + 4·degree·primes. Raises ``PeerMisbehaved`` for an answer out of range,
        ``ProtocolError`` beyond ``PRODUCTS``, and the session's errors.
        """
        left = _joint(bits, a, b)
        terms, size = left.shape[1:]
        plan = self._budget.plan(bits, size, terms)
        out = np.empty(size, dtype=np.uint64)
        if not size:
            return out
        if plan not in self._keys:
            self._keys[plan] = [await pair.send_key(self._session, self._peer, params) for params in plan]
        keys = self._keys[plan]
        room = trio.Semaphore(WINDOW)

        async def ask() -> None:
            for part in parts_of(plan, size):
                await room.acquire()
                seed = pair.fresh_seed()
                firsts = await trio.to_thread.run_sync(_encrypted, keys, left[..., part], seed.tobytes())
                await self._session.send(self._peer, seed, *firsts)

        async def join() -> None:
            for part in parts_of(plan, size):
                expected = [(key.scheme, key.scheme.params.degree) for key in keys]
                returned = await pair.recv_returned(self._session, self._peer, expected)
                joined = await trio.to_thread.run_sync(_decrypted, keys, returned)
                out[part] = joined[: part.stop - part.start]
                room.release()

        await gather(ask(), join())  # the next piece is encrypted while the evaluator computes
        return out


class ProductEvaluator:
    """The end that computes on ciphertexts. One call at a time."""

    def __init__(self, session: Session, peer: int) -> None:
        self._session, self._peer = session, peer
        self._keys: dict[Plan, list[pair.PeerKey]] = {}
        self._budget = _ProductBudget()

    async def cross(self, c: Ring, d: Ring, bits: int = 64) -> Ring:
        """This party's summand modulo 2^64 of the sum over terms of a·d + b·c, (size,); c and d are (terms, size) or (size,).

        Messages for a piece: 1 received, 1 sent. Bytes sent: 8·kept for each ciphertext and slot. Raises as
        ``ProductOwner.cross``.
        """
        right = _joint(bits, d, c)
        terms, size = right.shape[1:]
        plan = self._budget.plan(bits, size, terms)
        out = np.empty(size, dtype=np.uint64)
        if not size:
            return out
        if plan not in self._keys:
            self._keys[plan] = [await pair.recv_key(self._session, self._peer, params) for params in plan]
        keys = self._keys[plan]
        for part in parts_of(plan, size):
            flat = await self._session.recv(self._peer, np.uint32, piece_words(plan, terms))
            firsts = _split(self._session, self._peer, plan, flat[pair.SEED_WORDS :])
            seed = flat[: pair.SEED_WORDS].tobytes()
            returned, joined = await trio.to_thread.run_sync(_answer, keys, firsts, seed, right[..., part])
            await pair.send_returned(self._session, self._peer, returned)
            out[part] = np.uint64(0) - joined[: part.stop - part.start]
        return out


def piece_words(plan: Plan, terms: int = 1) -> int:
    """Words of 32 bits that the owner sends for a piece."""
    return pair.SEED_WORDS + sum(2 * terms * len(params.primes) * params.degree for params in plan)


class _BatchEncoder:
    """Encodes numbers in the slots of polynomials modulo q, and decodes masks and decryptions to slots."""

    def __init__(self, params: RlweParams) -> None:
        slots, t = params.slots, params.t
        self.scheme: BgvScheme = scheme(params)
        self.slots = transform(params.degree, slots)
        cofactors = [t // p for p in slots]
        inverses = [pow(cofactor, -1, p) for cofactor, p in zip(cofactors, slots, strict=True)]
        scaled = [[limb * inverse for inverse in inverses] for limb in _LIMBS]
        self._numbers = Conversion(slots, scaled, [-_SIGN * inverse for inverse in inverses])
        self._messages = Conversion(params.primes, [*cofactors, t], -ERROR_BOUND * t)
        self._factors = Conversion(params.primes, cofactors, montgomery=True)
        self._masks = Conversion(slots, self.scheme.mask_weights, self.scheme.mask_offset)
        self._decrypted = Conversion(slots, self.scheme.decrypted_weights)

    def encrypt(self, key: pair.OwnKey, digits: Words, c1: Words) -> Words:
        """The first component of an encryption of numbers in limbs."""
        parts = self.slots.inverse(self._numbers(digits))
        parts = np.concatenate((parts, errors(key.coins, digits.shape[1])[None]))
        return self.scheme.encrypt(key.secret, self._messages(parts), c1)

    def factor(self, digits: Words) -> Words:
        """Numbers in limbs as a plain factor, in Montgomery form."""
        return self.scheme.transform.forward(self._factors(self.slots.inverse(self._numbers(digits))))

    def mask_slots(self, mask: Words) -> Words:
        """What a mask adds to the slots, (slot primes, degree)."""
        return self.slots.forward(self._masks(mask))

    def decrypted_slots(self, digits: Words) -> Words:
        """The slots of a decryption, (slot primes, degree)."""
        return self.slots.forward(self._decrypted(digits))


@lru_cache(maxsize=32)
def _encoder(params: RlweParams) -> _BatchEncoder:
    return _BatchEncoder(params)


def _joint(bits: int, first: Ring, second: Ring) -> Ring:
    """Both factors, (2, terms, size)."""
    both = np.stack((np.atleast_2d(first), np.atleast_2d(second)))
    top = both.view(np.int64) >> np.int64(bits - 1)
    assert bits == 64 or bool(np.all((top == 0) | (top == -1)))
    return both


def _digits(x: Ring, slots: int) -> Words:
    """Limbs of x + 2^63, 0 where there are fewer numbers than slots."""
    padded = np.full(slots, _SIGN, dtype=np.uint64)
    padded[: x.size] ^= x
    out = np.empty((3, slots), dtype=np.uint32)
    kernels.split_limbs(padded, out)
    return out


def _encrypted(keys: list[pair.OwnKey], left: Ring, seed: bytes) -> list[Words]:
    """First components of Enc(a) and Enc(b), key by key, flat."""
    digits = _all_digits(left, keys[0].scheme.params.degree)
    out = []
    for index, key in enumerate(keys):
        for k, number in enumerate(digits):
            c1 = key.scheme.uniform(seed, len(digits) * index + k)
            out.append(_encoder(key.scheme.params).encrypt(key, number, c1).ravel())
    return out


def _split(session: Session, peer: int, plan: Plan, flat: Words) -> list[Words]:
    """The first components under each key, (2·terms, primes, degree)."""
    weights = [len(params.primes) * params.degree for params in plan]
    count = flat.size // sum(weights)
    out, at = [], 0
    for params, weight in zip(plan, weights, strict=True):
        end = at + count * weight
        out.append(flat[at:end].reshape(count, len(params.primes), params.degree))
        pair.check_residues(session, peer, basis(params.primes), out[-1])
        at = end
    return out


def _all_digits(numbers: Ring, slots: int) -> list[Words]:
    """Limbs of the numbers (2, terms, size), one after the other."""
    return [_digits(x, slots) for x in numbers.reshape(-1, numbers.shape[-1])]


def _answer(
    keys: list[pair.PeerKey], firsts: list[Words], seed: bytes, right: Ring
) -> tuple[list[ReturnedCiphertext], Ring]:
    """Enc(sum + R) under each key, and R mod 2^64."""
    digits = _all_digits(right, keys[0].scheme.params.degree)
    returned, slots = [], []
    for index, (key, first) in enumerate(zip(keys, firsts, strict=True)):
        encoder, s = _encoder(key.scheme.params), key.scheme
        factors = np.stack([encoder.factor(number) for number in digits])
        second = np.stack([s.uniform(seed, len(digits) * index + k) for k in range(len(digits))])
        c0, c1 = s.basis.inner(first, factors), s.basis.inner(second, factors)
        returned.append(s.finish(c0, c1, key.public, s.params.degree, key.coins))
        slots.append(encoder.mask_slots(returned[-1].mask))
    return returned, _joined(keys, slots)


def _decrypted(keys: list[pair.OwnKey], returned: list[tuple[Words, Words]]) -> Ring:
    slots = []
    for key, (c0, c1) in zip(keys, returned, strict=True):
        digits = key.scheme.decrypt(key.secret, c0, c1)
        slots.append(_encoder(key.scheme.params).decrypted_slots(digits))
    return _joined(keys, slots)


def _joined(keys: list[pair.OwnKey] | list[pair.PeerKey], slots: list[Words]) -> Ring:
    """The numbers in [0, T) with these residues, modulo 2^64."""
    joint = basis(tuple(p for key in keys for p in key.scheme.params.slots))
    assert joint.product == prod(key.scheme.params.t for key in keys)
    return in_ring(joint.to_digits(np.concatenate(slots)), joint.radix)
