"""A fixed matrix of one party times vectors of another: the matrix is encrypted once, each product is one answer.

Coefficient packing (Cheetah, USENIX Security'22, section 4; the fixed matrix: CAESAR, KDD'21): a ciphertext holds n/L
columns as blocks of L >= rows coefficients. Times the vector's entries in the opposite block order, the last block of the sum
of all ciphertexts is the product; every other coefficient is dropped unseen. So a product costs the guest one small
polynomial a column block, and one answer, whatever the number of columns. Shares are additive modulo 2^64.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from functools import lru_cache, partial
from typing import Final

import numpy as np
import trio
from numpy.typing import NDArray

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.kernels import rlwe as kernels
from hansa.protocols.mpc.rlwe import pair
from hansa.protocols.mpc.rlwe.params import NOISE, Params, params
from hansa.protocols.mpc.rlwe.scheme import Evaluator, KeyOwner, PublicKey
from hansa.protocols.mpc.session import Session

Words = NDArray[np.uint64]
Small = NDArray[np.uint32]
DEGREE: Final = 8192
MAX_TERMS: Final = 4096
"""Columns of one product; more are several products."""
MAX_ANSWERS: Final = 1 << 23
"""Coefficients returned under one key; then both ends take a new one, and encrypt what is used again anew."""


@lru_cache
def linear_params() -> Params:
    """Degree 8192, t = 2^64. Noise before flooding, in units of t: each of at most ``MAX_TERMS`` factors below 2^63 meets
    an error of at most 21 and a message below t/2; an encryption of zero adds 2·n·21 + 21."""
    noise = MAX_TERMS * (1 << 63) * (NOISE + 1) + (2 * DEGREE + 1) * NOISE
    return params(DEGREE, 1 << 64, noise=noise, answers=MAX_ANSWERS)


def block_of(rows: int) -> int:
    """The power of two that holds the rows of a product."""
    return 1 << max(rows - 1, 0).bit_length()


def ciphertexts_of(rows: int, terms: int) -> int:
    """How many ciphertexts a (rows, terms) matrix takes."""
    return -(-terms * block_of(rows) // DEGREE)


class MatrixOwner:
    """The end of a pair that owns the matrices, and the key."""

    def __init__(self, session: Session, peer: int, key: KeyOwner) -> None:
        self._session, self._peer, self._key = session, peer, key
        self._sent: set[Hashable] = set()
        self._answers = 0

    @classmethod
    async def start(cls, session: Session, peer: int) -> MatrixOwner:
        """Send the key. Messages: 2. Bytes sent: 32 + 4·8192·primes."""
        return cls(session, peer, await pair.send_key(session, peer, linear_params()))

    async def multiply(self, name: Hashable, matrix: Words) -> Words:
        """This party's summand of ``matrix @ v`` for the guest's v, (rows,).

        ``name`` stands for the matrix at both ends: what was sent under it is not sent again. Messages: 2 sent the
        first time, 1 received. Bytes sent the first time: (32 + 4·8192·primes)·ciphertexts.
        """
        rows, terms = _checked(matrix.shape)
        if self._answers + rows > MAX_ANSWERS:
            self._key = await pair.send_key(self._session, self._peer, linear_params())
            self._sent.clear()
            self._answers = 0
        self._answers += rows
        if name not in self._sent:
            seeds = [pair.fresh_seed() for _ in range(ciphertexts_of(rows, terms))]
            firsts = await trio.to_thread.run_sync(_encrypted, self._key, matrix, seeds)
            await pair.send_ciphertexts(self._session, self._peer, firsts, seeds)
            self._sent.add(name)
        first, second = await pair.recv_answer(self._session, self._peer, linear_params(), rows)
        return await trio.to_thread.run_sync(self._key.decrypt, first, second, _places(rows))

    def forget(self, name: Hashable) -> None:
        """The matrix is not used again; both ends must say so."""
        self._sent.discard(name)


class MatrixGuest:
    """The other end, which has the vectors."""

    def __init__(self, session: Session, peer: int, key: PublicKey) -> None:
        self._session, self._peer = session, peer
        self._evaluator = Evaluator(key)
        self._held: dict[Hashable, Small] = {}
        self._answers = 0

    @classmethod
    async def start(cls, session: Session, peer: int) -> MatrixGuest:
        """Receive the key."""
        return cls(session, peer, await pair.recv_key(session, peer, linear_params()))

    async def multiply(self, name: Hashable, shape: tuple[int, int], vector: Words) -> Words:
        """This party's summand of ``matrix @ vector``, (rows,).

        Messages: 2 received the first time, 1 sent. Bytes sent: 4·kept·(rows + 8192). Memory held for a name: 8 bytes
        a prime and 8192 coefficients, of which each holds an entry of the matrix.
        """
        rows, terms = _checked(shape)
        if self._answers + rows > MAX_ANSWERS:
            self._evaluator = Evaluator(await pair.recv_key(self._session, self._peer, linear_params()))
            self._held.clear()
            self._answers = 0
        self._answers += rows
        if name not in self._held:
            count = ciphertexts_of(rows, terms)
            self._held[name] = await pair.recv_ciphertexts(self._session, self._peer, linear_params(), count)
        mask = np.frombuffer(os.urandom(8 * rows), dtype=np.uint64)
        compute = partial(_answer, self._evaluator, self._held[name], rows, vector, mask)
        await pair.send_answer(self._session, self._peer, *await trio.to_thread.run_sync(compute))
        return np.uint64(0) - mask

    def forget(self, name: Hashable) -> None:
        """Let the matrix go; both ends must say so."""
        self._held.pop(name, None)


def _checked(shape: tuple[int, ...]) -> tuple[int, int]:
    rows, terms = shape
    if not (0 < rows <= DEGREE and 0 < terms <= MAX_TERMS):
        raise ProtocolError(f"a product of {rows} x {terms}", remedy="report this as a bug")
    return rows, terms


def _places(rows: int) -> slice:
    """The last block."""
    start = DEGREE - block_of(rows)
    return slice(start, start + rows)


def _encrypted(key: KeyOwner, matrix: Words, seeds: list[bytes]) -> list[Words]:
    rows = matrix.shape[0]
    block = block_of(rows)
    firsts = []
    for k, seed in enumerate(seeds):
        columns = matrix[:, k * (DEGREE // block) : (k + 1) * (DEGREE // block)]
        packed = np.zeros((DEGREE // block, block), dtype=np.uint64)
        packed[: columns.shape[1], :rows] = columns.T
        plain = kernels.signed_residues(packed.reshape(-1), key.constants.primes)
        firsts.append(key.encrypt(plain, seed))
    return firsts


def _answer(evaluator: Evaluator, held: Small, rows: int, vector: Words, mask: Words) -> tuple[Small, Small]:
    block = block_of(rows)
    each = DEGREE // block
    constants = evaluator.constants
    factors = np.zeros((held.shape[0], len(constants.primes), DEGREE), dtype=np.uint64)
    for k in range(held.shape[0]):
        packed = np.zeros(DEGREE, dtype=np.uint64)
        part = vector[k * each : (k + 1) * each]
        packed[::block][each - part.size :] = part[::-1]
        factors[k] = constants.params.transform.forward(kernels.signed_residues(packed, constants.primes))
    return evaluator.answer(kernels.combine(held, factors, constants.primes), mask, _places(rows))
