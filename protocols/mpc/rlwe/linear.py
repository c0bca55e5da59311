"""A fixed matrix of one party times vectors of another, as additive shares modulo 2^64.

The owner of the matrix encrypts it once. For each product the evaluator, who has the vector, passes over the ciphertexts and
returns one, whatever the number of columns (coefficient packing: ``packing.py``; Cheetah, USENIX Security'22, section 4; the
fixed matrix: CAESAR, KDD'21).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import partial
from typing import Final

import numpy as np
import trio

from hansa.protocols.arrays import Ring, Words
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.rlwe import pair
from hansa.protocols.mpc.rlwe.packing import Packing, encrypt_ring, message_conversion, multiply_packed
from hansa.protocols.mpc.rlwe.params import RING, RlweParams, linear_params
from hansa.protocols.mpc.rlwe.residues import in_ring
from hansa.protocols.mpc.rlwe.scheme import BgvScheme, ReturnedCiphertext
from hansa.protocols.mpc.session.session import Session

DEGREE: Final = 8192
"""The most rows of a product."""
MAX_TERMS: Final = 4096
"""The most columns of a product."""
ANSWERS: Final = (1 << 23, 1 << 40)
"""The most coefficients returned in a job under its first key, and under the next one, whose degree is larger."""
CHUNK: Final = 16
"""Ciphertexts of a message."""


def level_params(level: int) -> RlweParams:
    """The parameters of the job's first or next key: all that is returned under both is 2^-40 from uniform."""
    return linear_params(MAX_TERMS, len(ANSWERS) * ANSWERS[level])


def packing_of(rows: int, terms: int, level: int = 0) -> Packing:
    """How a (rows, terms) matrix is packed."""
    return Packing(rows, terms, level_params(level).degree)


class _MatrixBudget:
    """Counts returned coefficients, and says when the next key is due: the same at both ends."""

    def __init__(self) -> None:
        self.level = 0
        self._answers = 0

    def take(self, rows: int) -> bool:
        """Count an answer of ``rows`` coefficients; whether it needs a new key."""
        renew = self._answers + rows > ANSWERS[self.level]
        if renew:
            if self.level + 1 == len(ANSWERS):
                raise ProtocolError("too many homomorphic products", remedy="train with fewer epochs")
            self.level, self._answers = self.level + 1, 0
        self._answers += rows
        return renew


class MatrixOwner:
    """The end that owns the matrices and the key. One call at a time."""

    def __init__(self, session: Session, peer: int, key: pair.OwnKey) -> None:
        self._session, self._peer, self._key = session, peer, key
        self._sent: set[Hashable] = set()
        self._budget = _MatrixBudget()

    @classmethod
    async def start(cls, session: Session, peer: int) -> MatrixOwner:
        """Send the key. Messages: 1. Bytes sent: 32 + 4·8192·primes."""
        return cls(session, peer, await pair.send_key(session, peer, level_params(0)))

    async def multiply(self, name: Hashable, matrix: Ring) -> Ring:
        """This party's summand of ``matrix @ v`` for the evaluator's v, (rows,).

        ``name`` stands for the matrix at both ends: what was sent under it is not sent again (unless the first key is
        spent). Messages: 1 for each 16 ciphertexts sent the first time, 1 received. Bytes sent the first time: 32 a
        message and 4·8192·primes a ciphertext. Raises ``PeerMisbehaved`` for an answer out of range, ``ProtocolError``
        beyond the limits above, and the session's errors.
        """
        rows, terms = _checked(matrix.shape)
        if self._budget.take(rows):
            self._key = await pair.send_key(self._session, self._peer, level_params(self._budget.level))
            self._sent.clear()
        if name not in self._sent:
            packing = packing_of(rows, terms, self._budget.level)
            for chunk in _chunks(packing):
                seed = pair.fresh_seed()
                firsts = await trio.to_thread.run_sync(_encrypted, self._key, packing, matrix, chunk, seed.tobytes())
                await self._session.send(self._peer, seed, firsts.ravel())
            self._sent.add(name)
        s = self._key.scheme
        ((c0, c1),) = await pair.recv_returned(self._session, self._peer, [(s, rows)])
        digits = await trio.to_thread.run_sync(s.decrypt, self._key.secret, c0, c1)
        return in_ring(digits, s.decrypted_weights)

    def forget(self, name: Hashable) -> None:
        """Let a matrix go, at both ends: if it is used again, it is sent again."""
        self._sent.discard(name)


class MatrixEvaluator:
    """The end that has the vectors and computes on ciphertexts. One call at a time."""

    def __init__(self, session: Session, peer: int, key: pair.PeerKey) -> None:
        self._session, self._peer, self._key = session, peer, key
        self._held: dict[Hashable, tuple[Words, Words]] = {}
        self._budget = _MatrixBudget()

    @classmethod
    async def start(cls, session: Session, peer: int) -> MatrixEvaluator:
        """Receive the key."""
        return cls(session, peer, await pair.recv_key(session, peer, level_params(0)))

    async def multiply(self, name: Hashable, shape: tuple[int, int], vector: Ring) -> Ring:
        """This party's summand of ``matrix @ vector``, (rows,).

        Messages: 1 for each 16 ciphertexts received the first time, 1 sent. Bytes sent: 4·kept·(rows + 8192). Memory
        held for a name: 8·primes (56) bytes a coefficient, of which each entry of the matrix takes one, and padding
        (rows to a power of two, at least 16) less than as many again. Raises as ``MatrixOwner.multiply``.
        """
        rows, terms = _checked(shape)
        if self._budget.take(rows):
            self._held.clear()
            self._key = await pair.recv_key(self._session, self._peer, level_params(self._budget.level))
        packing = packing_of(rows, terms, self._budget.level)
        if name not in self._held:
            self._held[name] = await self._receive(packing)
        compute = partial(_answer, self._key, packing, self._held[name], vector)
        returned = await trio.to_thread.run_sync(compute)
        await pair.send_returned(self._session, self._peer, [returned])
        return np.uint64(0) - _mask_of(self._key.scheme, returned)

    async def _receive(self, packing: Packing) -> tuple[Words, Words]:
        s = self._key.scheme
        c0, c1 = (np.empty((packing.polys, *s.shape), dtype=np.uint32) for _ in range(2))
        for chunk in _chunks(packing):
            seed, parts = await pair.recv_fresh(self._session, self._peer, s, len(chunk))
            c0[chunk.start : chunk.stop] = parts
            await trio.to_thread.run_sync(_expand, s, seed, c1[chunk.start : chunk.stop])
        return c0, c1

    def forget(self, name: Hashable) -> None:
        """Let a matrix go, at both ends: if it is used again, it is sent again."""
        self._held.pop(name, None)


def _checked(shape: tuple[int, ...]) -> tuple[int, int]:
    rows, terms = shape
    if not (0 < rows <= DEGREE and 0 < terms <= MAX_TERMS):
        raise ProtocolError(f"a product of {rows} x {terms}", remedy="report this as a bug")
    return rows, terms


def _chunks(packing: Packing) -> Iterator[range]:
    """The ciphertexts of each message."""
    for first in range(0, packing.polys, CHUNK):
        yield range(first, min(first + CHUNK, packing.polys))


def _encrypted(key: pair.OwnKey, packing: Packing, matrix: Ring, chunk: range, seed: bytes) -> Words:
    s = key.scheme
    conversion = message_conversion(s.params.primes)
    out = np.empty((len(chunk), *s.shape), dtype=np.uint32)
    for k, index in enumerate(chunk):
        message = packing.message(matrix, index)
        out[k] = encrypt_ring(s, key.secret, message, s.uniform(seed, k), conversion, key.coins)
    return out


def _expand(s: BgvScheme, seed: bytes, out: Words) -> None:
    for k in range(len(out)):
        out[k] = s.uniform(seed, k)


def _answer(key: pair.PeerKey, packing: Packing, held: tuple[Words, Words], vector: Ring) -> ReturnedCiphertext:
    s = key.scheme
    c0, c1 = multiply_packed(s, packing, *held, vector)
    return s.finish(c0, c1, key.public, packing.rows, key.coins)


def _mask_of(s: BgvScheme, returned: ReturnedCiphertext) -> Ring:
    return in_ring(returned.mask, s.mask_weights) + np.uint64(s.mask_offset % RING)
