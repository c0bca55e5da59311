"""The receiver's end of oblivious transfers with one peer."""

from __future__ import annotations

from typing import Any

import numpy as np
import trio
from numpy.typing import NDArray

from hansa.protocols.arrays import Bytes, Ring, Words
from hansa.protocols.mpc.kernels import ot as kernels
from hansa.protocols.mpc.kernels import ot_code
from hansa.protocols.mpc.ot.sender import ACK_CHUNKS, LAG_CHUNKS, chunks
from hansa.protocols.mpc.ot.softspoken import padded
from hansa.protocols.mpc.ot.sources import OneOf2Receiver, OneOf16Receiver
from hansa.protocols.mpc.session.session import Session


class OtReceiver:
    """The receiver of OTs: the peer does not learn what it chooses. Made by ``start_pair``. One call at a time.

    For ``session``, ``trees``, ``code_trees`` and the letters of the costs see ``OtSender``.
    """

    def __init__(self, session: Session, peer: int, bits: OneOf2Receiver, code: OneOf16Receiver) -> None:
        self.session = session
        self.peer = peer
        self.trees, self.code_trees = bits.trees, code.trees
        self._bits, self._code = bits, code

    async def random_bits(self, n: int, width: int) -> tuple[Ring, Ring]:
        """Random choice bits, (ceil(n / 64),) packed, and the ``width``-bit messages they select, (width, ceil(n / 64)).

        Bits beyond the n-th are random too. Rounds: c. Bytes sent: (T - 1)·N / 8. Raises the session's errors.
        """
        assert 0 < width <= 64
        words = -(-n // 64)
        choices, messages = np.empty(words, dtype=np.uint64), np.empty((width, words), dtype=np.uint64)
        for chunk, (first, size) in enumerate(chunks(n)):
            if self.trees > 1 and chunk >= 2 * ACK_CHUNKS and chunk % ACK_CHUNKS == 0:
                await self.session.recv(self.peer, np.uint64, 0)
            await self._bits.prepare(padded(size))

            def work(first: int = first, size: int = size) -> Ring:
                planes, corrections, chosen = self._bits.expand(padded(size), None)
                for row, pad in self._bits.pads(planes):
                    kernels.pad_planes(*pad, (first + row) // 64, messages)
                place = choices[first // 64 : (first + size + 63) // 64]
                place[:] = chosen[: place.size]
                return corrections

            await self._send(await trio.to_thread.run_sync(work))
        return choices, messages

    async def correlated(self, choices: Ring, n: int, bits: int = 64) -> Ring:
        """Additive shares of choice · delta mod 2^bits, (n,) uint64; ``choices`` are packed, (ceil(n / 64),).

        Rounds: 2·c. Bytes sent: T·N / 8. Raises ``DesyncError`` for an answer of another size, and the session's errors.
        """
        assert 0 < bits <= 64
        assert choices.size == -(-n // 64)
        share = np.empty(n, dtype=np.uint64)
        pieces = list(chunks(n))
        for turn in range(len(pieces) + LAG_CHUNKS):
            if turn < len(pieces):
                first, size = pieces[turn]
                chosen = choices[first // 64 : (first + size + 63) // 64]
                await self._bits.prepare(padded(size))
                await self._send(
                    await trio.to_thread.run_sync(_choose_bits, self._bits, chosen, share[first : first + size])
                )
            if 0 <= turn - LAG_CHUNKS < len(pieces):
                first, size = pieces[turn - LAG_CHUNKS]
                answer: Ring = await self._receive(size if bits == 64 else (bits, -(-size // 64)), np.uint64)
                chosen = choices[first // 64 : (first + size + 63) // 64]
                await trio.to_thread.run_sync(_correct_shares, share[first : first + size], chosen, answer, bits)
        return share

    async def one_of_16(self, choices: Bytes, tables: int = 1) -> Bytes:
        """The entries that ``choices`` (n,) uint8, each below 16, select from the sender's tables: (tables, n) uint8, below 4.

        Rounds: 2·c. Bytes sent: T16·N / 8. Raises as ``correlated``.
        """
        assert choices.size == 0 or int(choices.max()) < 16
        entries = np.empty((tables, choices.size), dtype=np.uint8)
        pieces = list(chunks(choices.size))
        for turn in range(len(pieces) + LAG_CHUNKS):
            if turn < len(pieces):
                first, size = pieces[turn]
                part = slice(first, first + size)
                await self._code.prepare(padded(size))
                await self._send(
                    await trio.to_thread.run_sync(_choose_entries, self._code, choices[part], entries[:, part])
                )
            if 0 <= turn - LAG_CHUNKS < len(pieces):
                first, size = pieces[turn - LAG_CHUNKS]
                part = slice(first, first + size)
                masked: Words = await self._receive((tables, padded(size)), np.uint32)
                await trio.to_thread.run_sync(ot_code.choose_entries, masked, choices[part], entries[:, part])
        return entries

    async def _send(self, corrections: Ring) -> None:
        if len(corrections):
            await self.session.exchange({self.peer: [corrections]}, {})

    async def _receive(self, shape: int | tuple[int, int], dtype: type[np.generic]) -> NDArray[Any]:
        received = await self.session.exchange({}, {self.peer: [shape]}, dtype)
        return received[self.peer][0]


def receiver_keys(receiver: OneOf2Receiver, n: int) -> tuple[NDArray[np.bool_], Ring, Ring]:
    """Random choices (n,), their 128-bit messages (n, 2), and the corrections to send, for ``n`` <= ``CHUNK`` OTs."""
    planes, corrections, chosen = receiver.expand(padded(n), None)
    keys = np.empty((n, 2), dtype=np.uint64)
    for row, pad in receiver.pads(planes):
        kernels.pad_keys(*pad, row, keys)
    choices = np.unpackbits(chosen.view(np.uint8), bitorder="little")[:n].astype(np.bool_)
    return choices, keys, corrections


def _choose_bits(receiver: OneOf2Receiver, choices: Ring, share: Ring) -> Ring:
    """Corrections for these choices; ``share`` becomes the chosen pads."""
    size = padded(share.size)
    whole = np.zeros(size // 64, dtype=np.uint64)
    whole[: choices.size] = choices
    planes, corrections, _ = receiver.expand(size, whole)
    for row, pad in receiver.pads(planes):
        kernels.pad_words(*pad, row, share)
    return corrections


def _correct_shares(share: Ring, choices: Ring, answer: Ring, bits: int) -> None:
    message = answer if bits == 64 else kernels.join_bits(answer, share.size)
    kernels.add_chosen(share, choices, message)
    share &= np.uint64(2**bits - 1)


def _choose_entries(receiver: OneOf16Receiver, choices: Bytes, entries: Bytes) -> Ring:
    """Corrections for these choices; ``entries`` become the chosen pads."""
    planes, corrections = receiver.expand(padded(choices.size), choices)
    for row, pad in receiver.pads(planes):
        ot_code.entry_pads(*pad, row, entries)
    return corrections
