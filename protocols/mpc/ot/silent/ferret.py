"""COT from the LPN assumption: Ferret (Yang, Weng, Lan, Zhang and Wang, CCS 2020) among semi-honest parties.

A row is one COT. The sender has a secret D, whose lowest bit is 1, and rows q_i, whose lowest bit is 0. The receiver has
t_i = q_i ^ b_i D, whose lowest bit is b_i. An iteration makes t·2^depth new rows from k seed rows and t trees of 2^depth
leaves, each with one noisy leaf: new row i is leaf i plus ten seed rows, which a public code names. So the new bits are the
code applied to the seed's bits, plus the noise: they are pseudo-random under LPN with regular noise. The last rows of an
iteration are the seed of the next one.

Rows are made a chunk at a time, when they are first needed. The sender sends 16 bytes for each level of the chunk's trees.
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
    """An iteration: ``k`` seed rows, and ``trees`` of ``depth`` levels (docs/protocols.md estimates the security)."""

    k: int
    trees: int
    depth: int

    @property
    def seeds(self) -> int:
        """Rows that an iteration is made from."""
        return self.k + self.trees * self.depth

    @property
    def together(self) -> int:
        """Trees of a chunk, which grow side by side."""
        return CHUNK_ROWS >> self.depth

    @property
    def chunks(self) -> int:
        """Chunks that an iteration makes."""
        return -(-self.trees // self.together)


FIRST: Final = LpnParams(k=24_576, trees=768, depth=8)
MAIN: Final = LpnParams(k=180_224, trees=1280, depth=11)
RESERVED: Final = -(-MAIN.seeds // CHUNK_ROWS)
"""Chunks at the end of an iteration that the next one is made from."""
USABLE: Final = MAIN.chunks - RESERVED


class FerretRows(ABC):
    """Both ends. ``seed``: ``FIRST.seeds`` rows from other OTs; ``keys``: the public keys of H and of the code."""

    def __init__(self, session: Session, peer: int, seed: Ring, keys: tuple[bytes, bytes]) -> None:
        self._session, self._peer = session, peer
        self._link = session.fork("rows")  # a channel of its own: preparation runs ahead of the answers
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
        """Make ``n`` more rows available to ``take``. Bytes sent: 16·11·32 = 5,632 by the sender for each new chunk.

        The end of an iteration costs ``RESERVED`` chunks more. Raises ``DesyncError`` for a message of another size, and the
        session's errors.
        """
        self._link.adopt_step(self._session)
        while self._ahead < n:
            await self._prepare_chunk()
        self._ahead -= n

    async def _prepare_chunk(self) -> None:
        if self._size is FIRST:
            await self._next_iteration(FIRST.chunks)
        elif self._made == USABLE:
            await self._next_iteration(RESERVED)
        self._leaves.append(await self._grow())
        self._ahead += CHUNK_ROWS

    async def _next_iteration(self, chunks: int) -> None:
        """Begin the next iteration with the next ``chunks``; rows made before them and not yet taken stay in stock."""
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
        """The leaves of trees whose levels use these rows, (depth, trees, 2), and which of the leaves are noisy at this party."""

    def take(self, n: int) -> Ring:
        """The next ``n`` rows, (n, 2), which were prepared."""
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
    """The sender, who has D, (2,) words, whose lowest bit is 1."""

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
    """The receiver, whose choice bit is the lowest bit of each row."""

    async def _leaves_of(self, paths: Ring) -> tuple[Ring, NDArray[np.int64]]:
        received = await self._link.exchange({}, {self._peer: [paths.shape]})
        return await trio.to_thread.run_sync(self._trees.regrow, paths, received[self._peer][0])
