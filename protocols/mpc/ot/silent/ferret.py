"""Correlated rows without end from few: Ferret (Yang, Weng, Lan, Zhang and Wang, CCS 2020) among parties that follow it.

The sender has a secret D, its lowest bit 1, and rows q_i, their lowest bit 0; the receiver has t_i = q_i ^ b_i D, whose lowest
bit is b_i. From k such rows, the seed, and one noisy row a tree, t trees of 2^depth leaves give t·2^depth new ones: new row i
is leaf i plus ten rows of the seed that a public code names. Their bits are the code applied to the seed's bits, plus the
noise: pseudo-random by the assumption of learning parity with regular noise. The last rows of a round are the next one's seed.

Rows are made a chunk at a time, when they are first needed; the sender tells 16 bytes for each level of the chunk's trees.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
import trio
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.kernels import silent as kernels
from hansa.protocols.mpc.ot.silent.half_trees import HalfTrees
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.session.session import Session

CHUNK_ROWS: Final = 1 << 16
_INDEX_BYTES: Final = 4 * kernels.LOCALITY
_BLOCK: Final = 1 << 12
"""Rows encoded at once, so that their indices stay in the second-level cache."""
_ZEROS: Final = memoryview(bytes(_INDEX_BYTES * _BLOCK))


@dataclass(frozen=True, slots=True)
class LpnParams:
    """A size: ``k`` rows of seed and ``trees`` of ``depth`` levels (docs/protocols.md has what they are worth)."""

    k: int
    trees: int
    depth: int

    @property
    def seeds(self) -> int:
        """Rows that a round is made from."""
        return self.k + self.trees * self.depth

    @property
    def together(self) -> int:
        """Trees that grow side by side, the leaves of a chunk."""
        return CHUNK_ROWS >> self.depth

    @property
    def chunks(self) -> int:
        """Chunks that a round makes."""
        return -(-self.trees // self.together)


FIRST: Final = LpnParams(k=24_576, trees=768, depth=8)
MAIN: Final = LpnParams(k=180_224, trees=1280, depth=11)
RESERVED: Final = -(-MAIN.seeds // CHUNK_ROWS)
"""Chunks at the end of a round that the next one is made from."""
USABLE: Final = MAIN.chunks - RESERVED


class FerretRows(ABC):
    """What both ends have in common. ``seed``: ``FIRST.seeds`` rows from other transfers; ``keys``: of H and of the code."""

    def __init__(self, session: Session, peer: int, seed: Ring, keys: tuple[bytes, bytes]) -> None:
        self._session, self._peer = session, peer
        self._link = session.fork("rows")  # of its own: what is prepared goes ahead of answers
        self._trees = HalfTrees(keys[0], CHUNK_ROWS)
        self._code = Cipher(AES(keys[1]), CTR(bytes(16))).encryptor()
        self._indices = np.empty(kernels.LOCALITY * _BLOCK + 4, dtype=np.uint32)
        self._stock: deque[Ring] = deque()
        self._leaves: deque[tuple[Ring, NDArray[np.int64]]] = deque()
        self._ahead = 0
        self._begin(FIRST, seed)

    def _begin(self, size: LpnParams, seed: Ring) -> None:
        self._size = size
        self._seed = seed[: size.k]
        self._paths = seed[size.k : size.seeds].reshape(size.depth, size.trees, 2)
        self._made = 0

    async def prepare(self, n: int) -> None:
        """See that ``n`` more rows can be taken. Bytes sent: 16·11·32 = 5,632 by the sender for each chunk that is begun.

        A round's end costs as ``RESERVED`` chunks more. Raises ``DesyncError`` for a message of another size, and the session's
        errors.
        """
        self._link.adopt_step(self._session)
        while self._ahead < n:
            await self._prepare_chunk()
        self._ahead -= n

    async def _prepare_chunk(self) -> None:
        if self._size is FIRST:
            await self._next_round(FIRST.chunks)
        elif self._made == USABLE:
            await self._next_round(RESERVED)
        self._leaves.append(await self._grow())
        self._ahead += CHUNK_ROWS

    async def _next_round(self, chunks: int) -> None:
        """Begin the next round with the next ``chunks``; what was made before them and not taken stays in stock."""
        await trio.to_thread.run_sync(self._encode_all)
        before = len(self._stock)
        for _ in range(chunks):
            self._leaves.append(await self._grow())
        await trio.to_thread.run_sync(self._encode_all)
        self._begin(MAIN, np.concatenate([self._stock.pop() for _ in range(len(self._stock) - before)][::-1]))

    async def _grow(self) -> tuple[Ring, NDArray[np.int64]]:
        first = self._made * self._size.together
        paths = np.ascontiguousarray(self._paths[:, first : first + self._size.together])
        self._made += 1
        return await self._leaves_of(paths)

    @abstractmethod
    async def _leaves_of(self, paths: Ring) -> tuple[Ring, NDArray[np.int64]]:
        """The leaves of trees with these rows (depth, trees, 2) for their levels, and which leaves are noisy here."""

    def take(self, n: int) -> Ring:
        """The next ``n`` rows, (n, 2), of those prepared."""
        out = np.empty((n, 2), dtype=np.uint64)
        at = 0
        while at < n:
            if not self._stock:
                self._encode()
            some = self._stock.popleft()
            size = min(len(some), n - at)
            out[at : at + size] = some[:size]
            if size < len(some):
                self._stock.appendleft(some[size:])
            at += size
        return out

    def _encode_all(self) -> None:
        while self._leaves:
            self._encode()

    def _encode(self) -> None:
        rows, noisy = self._leaves.popleft()
        for first in range(0, len(rows), _BLOCK):
            some = rows[first : first + _BLOCK]
            self._code.update_into(_ZEROS[: _INDEX_BYTES * len(some)], self._indices.data.cast("B"))
            kernels.encode(some, self._seed, self._indices)
        rows[noisy, 0] ^= np.uint64(1)
        self._stock.append(rows)


class FerretSender(FerretRows):
    """The end with D, (2,) words, whose lowest bit is 1."""

    def __init__(self, session: Session, peer: int, seed: Ring, keys: tuple[bytes, bytes], delta: Ring) -> None:
        super().__init__(session, peer, seed, keys)
        self._delta = delta
        self._roots = Keystream(os.urandom(32), session.context + b"/silent")

    async def _leaves_of(self, paths: Ring) -> tuple[Ring, NDArray[np.int64]]:
        roots = self._roots.words(paths.shape[1], 2)
        leaves, message = await trio.to_thread.run_sync(self._trees.grow, roots, self._delta, paths)
        await self._link.exchange({self._peer: [message]}, {})
        return leaves, np.empty(0, dtype=np.int64)


class FerretReceiver(FerretRows):
    """The end that has a bit with each row, its lowest."""

    async def _leaves_of(self, paths: Ring) -> tuple[Ring, NDArray[np.int64]]:
        received = await self._link.exchange({}, {self._peer: [paths.shape]})
        return await trio.to_thread.run_sync(self._trees.regrow, paths, received[self._peer][0])
