"""Ferret as a source of random OTs (``sources``): rows become pads.

Row i is q_i = t_i ^ b_i D with a random choice bit b_i, the lowest bit of t_i. A receiver with a choice c of its own sends
c ^ b_i, and the sender adds (c ^ b_i) D to its row. For 1-of-16 OTs four rows become one, Q = q_0 + x q_1 + x^2 q_2 + x^3 q_3 in
GF(2^128), and choice y stands for D_y = (y_0 + x y_1 + x^2 y_2 + x^3 y_3) D: sixteen different multiples of D, one of them zero.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Bytes, Ring
from hansa.protocols.mpc.kernels import ot as ot_kernels
from hansa.protocols.mpc.kernels import ot_code
from hansa.protocols.mpc.kernels import silent as kernels
from hansa.protocols.mpc.ot.extension import CODE_ROWS, ROWS
from hansa.protocols.mpc.ot.hash import Permutation
from hansa.protocols.mpc.ot.silent.ferret import FerretReceiver, FerretSender
from hansa.protocols.mpc.ot.sources import Hashed

_ODD = np.uint64(1)


def random_delta() -> Ring:
    """D: 127 random bits, and a lowest bit of 1."""
    delta = np.frombuffer(bytearray(secrets.token_bytes(16)), dtype=np.uint64)
    delta[0] |= _ODD
    return delta


def offered_seed(keys: Ring, delta: Ring) -> tuple[Ring, Ring]:
    """The sender's first rows (n, 2) and the message (n, 2), from both 128-bit keys (n, 2, 2) of random OTs."""
    rows = keys[:, 0].copy()
    rows[:, 0] &= ~_ODD
    return rows, keys[:, 0] ^ keys[:, 1] ^ delta


def chosen_seed(choices: NDArray[np.bool_], keys: Ring, message: Ring) -> Ring:
    """The receiver's first rows from the keys (n, 2) that ``choices`` selected: the message makes key 1 key 0 ^ D."""
    rows: Ring = keys ^ np.where(choices[:, None], message, np.uint64(0))
    rows[:, 0] = (rows[:, 0] & ~_ODD) | choices
    return rows


class _Inputs:
    """The hash inputs of rows: each has its own tweak, which counts rows."""

    def __init__(self) -> None:
        self._counter = 0

    def of(self, rows: Ring) -> Ring:
        inputs = np.empty_like(rows)
        kernels.hash_rows(rows, self._counter, inputs)
        self._counter += len(rows)
        return inputs


class SilentOneOf2Sender:
    """The sender of 1-of-2 OTs. ``trees``: bits of corrections an OT with a given choice; random OTs take none."""

    trees = 1
    ahead = 2

    def __init__(self, rows: FerretSender, delta: Ring, key: bytes) -> None:
        self._source = rows
        self._inputs = _Inputs()
        self._offsets = _sigma(np.stack([np.zeros_like(delta), delta]))
        self._pi = Permutation(key, ROWS), Permutation(key, ROWS)
        self._shifted = np.empty((ROWS, 2), dtype=np.uint64)

    async def prepare(self, n: int) -> None:
        """Make rows for ``n`` more OTs, with what the receiver needs for them."""
        await self._source.prepare(n)

    def pads(self, n: int, corrections: Ring) -> Iterator[tuple[int, Hashed, Hashed]]:
        """(first row, the pad for choice 0, the pad for choice 1) of the next ``n`` OTs, some rows at a time."""
        inputs = self._inputs.of(self._source.take(n))
        if len(corrections):
            kernels.correct_rows(inputs, corrections, self._offsets)
        for first in range(0, n, ROWS):
            some = inputs[first : first + ROWS]
            shifted = self._shifted[: len(some)]
            ot_kernels.shift_rows(some, self._offsets[1], shifted)
            yield first, (some, self._pi[0](some)), (shifted, self._pi[1](shifted))


class SilentOneOf2Receiver:
    """The receiver of 1-of-2 OTs."""

    trees = 1

    def __init__(self, rows: FerretReceiver, key: bytes) -> None:
        self._source = rows
        self._inputs = _Inputs()
        self._pi = Permutation(key, ROWS)

    async def prepare(self, n: int) -> None:
        """Make rows for ``n`` more OTs, with what the sender sends for them."""
        await self._source.prepare(n)

    def expand(self, n: int, choices: Ring | None) -> tuple[Ring, Ring, Ring]:
        """Rows, corrections to send, and the choices, (words,), which are random if none are given."""
        rows = self._source.take(n)
        own = np.empty((1, n // 64), dtype=np.uint64)
        kernels.row_bits(rows, own)
        if choices is None:
            return rows, own[:0], own[0]
        return rows, own ^ choices, choices

    def pads(self, rows: Ring) -> Iterator[tuple[int, Hashed]]:
        """(first row, the chosen pad), some rows at a time."""
        return _chosen_pads(self._inputs.of(rows), self._pi)


class SilentOneOf16Sender:
    """The sender of 1-of-16 OTs."""

    trees = 4
    ahead = 2

    def __init__(self, rows: FerretSender, delta: Ring, key: bytes) -> None:
        self._source = rows
        self._inputs = _Inputs()
        self._offsets = _sigma(multiples(delta))
        self._spread = np.empty((16, CODE_ROWS, 2), dtype=np.uint64)
        self._pi = Permutation(key, 16 * CODE_ROWS)

    async def prepare(self, n: int) -> None:
        """As ``SilentOneOf2Sender.prepare``, for four rows an OT."""
        await self._source.prepare(4 * n)

    def pads(self, n: int, corrections: Ring) -> Iterator[tuple[int, Hashed]]:
        """(first row, sixteen pads (16, rows, 2)) of the next ``n`` OTs, some rows at a time."""
        inputs = self._inputs.of(_combined(self._source.take(4 * n)))
        kernels.correct_rows(inputs, corrections, self._offsets)
        for first in range(0, n, CODE_ROWS):
            some = inputs[first : first + CODE_ROWS]
            spread = self._spread.reshape(-1, 2)[: 16 * len(some)].reshape(16, len(some), 2)
            ot_code.spread(some, self._offsets, spread)
            yield first, (spread, self._pi(spread))


class SilentOneOf16Receiver:
    """The receiver of 1-of-16 OTs."""

    trees = 4

    def __init__(self, rows: FerretReceiver, key: bytes) -> None:
        self._source = rows
        self._inputs = _Inputs()
        self._pi = Permutation(key, ROWS)

    async def prepare(self, n: int) -> None:
        """As ``SilentOneOf2Receiver.prepare``, for four rows an OT."""
        await self._source.prepare(4 * n)

    def expand(self, n: int, choices: Bytes) -> tuple[Ring, Ring]:
        """Rows, and the corrections to send."""
        rows = self._source.take(4 * n)
        own, chosen = (np.empty((4, n // 64), dtype=np.uint64) for _ in range(2))
        kernels.row_bits(rows, own)
        kernels.nibble_planes(choices, chosen)
        return _combined(rows), own ^ chosen

    def pads(self, rows: Ring) -> Iterator[tuple[int, Hashed]]:
        """(first row, the chosen pad), some rows at a time."""
        return _chosen_pads(self._inputs.of(rows), self._pi)


def _chosen_pads(inputs: Ring, pi: Permutation) -> Iterator[tuple[int, Hashed]]:
    for first in range(0, len(inputs), ROWS):
        some = inputs[first : first + ROWS]
        yield first, (some, pi(some))


def _combined(rows: Ring) -> Ring:
    out = np.empty((len(rows) // 4, 2), dtype=np.uint64)
    kernels.combine_rows(rows, out)
    return out


def _sigma(rows: Ring) -> Ring:
    out = np.empty_like(rows)
    kernels.sigma(rows, out)
    return out


def multiples(delta: Ring) -> Ring:
    """D_y for y = 0..15, (16, 2)."""
    bits = (np.arange(16)[:, None] >> np.arange(4)) & 1
    return _combined((bits[:, :, None].astype(np.uint64) * delta).reshape(-1, 2))
