"""The sender's end of oblivious transfers with one peer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import trio
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.kernels import bits as bit_kernels
from hansa.protocols.mpc.kernels import ot as kernels
from hansa.protocols.mpc.kernels import ot_code
from hansa.protocols.mpc.ot.softspoken import CHUNK, padded
from hansa.protocols.mpc.ot.sources import OneOf2Sender, OneOf16Sender
from hansa.protocols.mpc.session.session import Session

ACK_CHUNKS = 32
"""Chunks of one-way OTs after which the sender acknowledges; the receiver is at most twice as many ahead."""
LAG_CHUNKS = 8
"""Chunks of corrections that a receiver sends before it waits for the answer to the first."""
MAX_TABLES = 32
"""A table takes two bits of the pad's 64."""
NOTHING = np.empty(0, dtype=np.uint64)


def chunks(n: int) -> Iterator[tuple[int, int]]:
    """(first, size) of the pieces in which ``n`` OTs are made."""
    for first in range(0, n, CHUNK):
        yield first, min(CHUNK, n - first)


def turns(n: int, ahead: int) -> Iterator[tuple[int, int, int]]:
    """(OTs to prepare, first, size) of the pieces, each prepared ``ahead`` pieces before its turn; 0 where there is none."""
    pieces = list(chunks(n))
    for turn in range(len(pieces) + ahead):
        first, size = pieces[turn - ahead] if turn >= ahead else (0, 0)
        yield padded(pieces[turn][1]) if turn < len(pieces) else 0, first, size


def acknowledged(chunk: int, n: int) -> bool:
    """Whether the sender acknowledges this chunk of one-way OTs: only where the receiver waits for it."""
    return (chunk + 1) % ACK_CHUNKS == 0 and (chunk + 1 + ACK_CHUNKS) * CHUNK < n


class OtSender:
    """The sender of OTs: the peer gets the messages that it chooses. Made by ``start_pair``. One call at a time.

    ``session`` is a fork of its own, which counts the costs: enter ``session.step`` around a call to name them. T and T16 are
    the numbers of trees (``trees``, ``code_trees``), N is n rounded up to 512. The transcript counts a round for each of the
    c = ceil(n / 65,536) chunks; chunks travel at the same time, so that a call lasts one or two of them.
    """

    def __init__(self, session: Session, peer: int, bits: OneOf2Sender, code: OneOf16Sender) -> None:
        self.session = session
        self.peer = peer
        self.trees, self.code_trees = bits.trees, code.trees
        self._bits, self._code = bits, code

    async def random_bits(self, n: int, width: int) -> tuple[Ring, Ring]:
        """Both random messages of ``n`` OTs, ``width`` <= 64 bits each: two (width, ceil(n / 64)) arrays of planes.

        Bits beyond the n-th are random too. Rounds: c. Bytes sent: 0 (the receiver sends (T - 1)·N / 8). Raises
        ``DesyncError`` for a message of another size, and the session's errors.
        """
        assert 0 < width <= 64
        words = -(-n // 64)
        zero, one = (np.empty((width, words), dtype=np.uint64) for _ in range(2))
        for chunk, (first, size) in enumerate(chunks(n)):
            await self._bits.prepare(padded(size))
            corrections = await self._receive(self.trees - 1, size)

            def work(first: int = first, size: int = size, corrections: Ring = corrections) -> None:
                for row, pad0, pad1 in self._bits.pads(padded(size), corrections):
                    kernels.pad_planes(*pad0, (first + row) // 64, zero)
                    kernels.pad_planes(*pad1, (first + row) // 64, one)

            await trio.to_thread.run_sync(work)
            if self.trees > 1 and acknowledged(chunk, n):
                await self.session.send(self.peer, NOTHING)
        return zero, one

    async def correlated(self, delta: Ring, bits: int = 64) -> Ring:
        """Additive shares of choice · ``delta`` mod 2^bits, (n,) uint64, for the receiver's choice bits.

        Rounds: 2·c. Bytes sent: 8·n for 64 bits, else 8·bits·ceil(n / 64); the receiver sends T·N / 8. Raises as
        ``random_bits``.
        """
        assert 0 < bits <= 64
        share = np.empty(delta.size, dtype=np.uint64)
        for preparing, first, size in turns(delta.size, self._bits.ahead):
            await self._bits.prepare(preparing)
            if not size:
                continue
            corrections = await self._receive(self.trees, size)
            answer = await trio.to_thread.run_sync(
                _correlate, self._bits, corrections, delta[first : first + size], bits, share[first : first + size]
            )
            await self._answer(answer)
        return share

    async def one_of_16(self, tables: NDArray[np.uint32]) -> None:
        """Offer tables (tables, n) uint32 of 16 entries of 2 bits (entry k at bits 2k and 2k + 1), at most 32 for a choice.

        The peer gets, for each of the n, the same entry of every table. Rounds: 2·c. Bytes sent: 4·tables·N; the receiver
        sends T16·N / 8. Raises as ``random_bits``.
        """
        assert 0 < tables.shape[0] <= MAX_TABLES
        for preparing, first, size in turns(tables.shape[1], self._code.ahead):
            await self._code.prepare(preparing)
            if not size:
                continue
            corrections = await self._receive(self.code_trees, size)
            answer = await trio.to_thread.run_sync(_mask, self._code, corrections, tables[:, first : first + size])
            await self._answer(answer)

    async def _receive(self, rows: int, size: int) -> Ring:
        shape = (rows, padded(size) // 64)
        if not rows:
            return np.empty(shape, dtype=np.uint64)
        received = await self.session.exchange({}, {self.peer: [shape]})
        return received[self.peer][0]

    async def _answer(self, answer: NDArray[np.uint64] | NDArray[np.uint32]) -> None:
        await self.session.exchange({self.peer: [answer]}, {})


def sender_keys(sender: OneOf2Sender, n: int, corrections: Ring) -> NDArray[np.uint64]:
    """Both 128-bit messages of ``n`` <= ``CHUNK`` random OTs, (n, 2, 2) words."""
    zero, one = (np.empty((n, 2), dtype=np.uint64) for _ in range(2))
    for row, pad0, pad1 in sender.pads(padded(n), corrections):
        kernels.pad_keys(*pad0, row, zero)
        kernels.pad_keys(*pad1, row, one)
    return np.stack([zero, one], axis=1)


def _correlate(sender: OneOf2Sender, corrections: Ring, delta: Ring, bits: int, share: Ring) -> Ring:
    """The answer pad0 + pad1 + delta; ``share`` becomes -pad0."""
    zero, one = (np.empty(delta.size, dtype=np.uint64) for _ in range(2))
    for row, pad0, pad1 in sender.pads(padded(delta.size), corrections):
        kernels.pad_words(*pad0, row, zero)
        kernels.pad_words(*pad1, row, one)
    np.negative(zero, out=share)
    share &= np.uint64(2**bits - 1)
    answer = zero + one + delta
    return answer if bits == 64 else bit_kernels.slice_bits(answer, 0, bits)


def _mask(sender: OneOf16Sender, corrections: Ring, tables: NDArray[np.uint32]) -> NDArray[np.uint32]:
    tables = np.ascontiguousarray(tables)
    masked = np.empty((tables.shape[0], padded(tables.shape[1])), dtype=np.uint32)
    for row, (before, after) in sender.pads(masked.shape[1], corrections):
        ot_code.mask_tables(before, after, tables, row, masked)
    return masked
