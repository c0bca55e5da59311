"""SoftSpokenOT as a source of random OTs: each side turns corrections into rows, and rows into pads, by itself.

The sender's row of OT i is q_i = t_i ^ (choice_i · D), the receiver's t_i: so H(q_i, i) and H(q_i ^ D, i) are the two
pads, of which the receiver knows the chosen one. For 1-of-16 the rows are 240 bits wide, choice · D is the word of the
choice masked by D, and both sides map their rows to 128 bits first (``code``). Tweaks count OTs and never repeat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.kernels import ot as kernels
from hansa.protocols.mpc.kernels import ot_code
from hansa.protocols.mpc.ot import code
from hansa.protocols.mpc.ot.hash import Permutation
from hansa.protocols.mpc.ot.softspoken import BLOCK, CHUNK, FullTrees, PuncturedTrees
from hansa.protocols.mpc.ot.sources import Hashed
from hansa.protocols.mpc.ot.trees import widths_of

BIT_COLUMNS = 128
ROWS = 1 << 13
"""Rows that are hashed at once for two pads each: inputs and outputs stay in the second-level cache."""
CODE_ROWS = 1 << 10
"""Rows that are hashed at once for sixteen pads each."""


def bit_widths(w: int) -> list[int]:
    """The depths of the trees for 1-of-2 OTs."""
    return widths_of(BIT_COLUMNS, w)


def code_widths(w: int) -> list[int]:
    """The depths of the trees for 1-of-16 OTs; no tree crosses from one position of the code to the next."""
    return widths_of(code.COLUMNS_EACH, w) * code.POSITIONS


class _Rows:
    """Turns planes into rows, each with its tweak: the inputs of the permutation. No tweak is used twice."""

    def __init__(self, rows: int) -> None:
        self._rows = np.empty((rows, 2), dtype=np.uint64)
        self._counter = 0

    def of(self, planes: Ring) -> Iterator[tuple[int, Ring]]:
        """(first row, rows) for all blocks of ``planes``; each valid until the next."""
        step = len(self._rows) // BLOCK
        for block in range(0, len(planes), step):
            some = planes[block : block + step]
            rows = self._rows[: BLOCK * len(some)]
            kernels.hash_inputs(some, self._counter, rows)
            yield BLOCK * block, rows
            self._counter += len(rows)


class _Unprepared:
    """A source whose ends send each other nothing ahead of the OTs."""

    async def prepare(self, n: int) -> None:
        """Nothing to do for ``n`` more OTs."""


class SoftSpokenOneOf2Sender(_Unprepared):
    """The sender, who has D: both pads of each 1-of-2 OT."""

    ahead = 0

    def __init__(self, trees: PuncturedTrees, key: bytes) -> None:
        self.trees = len(trees.widths)
        self._trees = trees
        self._offset = code.offset(trees.delta_bits())
        self._rows = _Rows(ROWS)
        self._shifted = np.empty((ROWS, 2), dtype=np.uint64)
        self._pi = Permutation(key, ROWS), Permutation(key, ROWS)

    def pads(self, n: int, corrections: Ring) -> Iterator[tuple[int, Hashed, Hashed]]:
        """(first row, the pad for choice 0, the pad for choice 1) of the next ``n`` OTs, some rows at a time."""
        for first, rows in self._rows.of(self._trees.expand(n, corrections)):
            shifted = self._shifted[: len(rows)]
            kernels.shift_rows(rows, self._offset, shifted)
            yield first, (rows, self._pi[0](rows)), (shifted, self._pi[1](shifted))


class SoftSpokenOneOf2Receiver(_Unprepared):
    """The receiver: the chosen pad of each 1-of-2 OT."""

    def __init__(self, trees: FullTrees, key: bytes) -> None:
        self.trees = len(trees.widths)
        self._trees = trees
        self._rows = _Rows(ROWS)
        self._pi = Permutation(key, ROWS)

    def expand(self, n: int, choices: Ring | None) -> tuple[Ring, Ring, Ring]:
        """Planes, corrections to send, and the choices, (words,), which are random if none are given."""
        planes, sums = self._trees.expand(n)
        if choices is None:
            chosen = sums[0].copy()
            return planes, sums[1:] ^ chosen, chosen
        return planes, sums ^ choices, choices

    def pads(self, planes: Ring) -> Iterator[tuple[int, Hashed]]:
        """(first row, the chosen pad), some rows at a time."""
        for first, rows in self._rows.of(planes):
            yield first, (rows, self._pi(rows))


class _Combined:
    """Maps 240 planes to 128 (``code.MAP``), in a buffer of its own."""

    def __init__(self) -> None:
        self._planes = np.empty((CHUNK // BLOCK, 8 * BIT_COLUMNS + 8), dtype=np.uint64)

    def of(self, planes: Ring) -> Ring:
        out = self._planes[: len(planes)]
        ot_code.combine(planes, code.MAP, out)
        return out


class SoftSpokenOneOf16Sender(_Unprepared):
    """The sender, who has D: all sixteen pads of each 1-of-16 OT."""

    ahead = 0

    def __init__(self, trees: PuncturedTrees, key: bytes) -> None:
        self.trees = len(trees.widths)
        self._trees = trees
        self._offsets = code.offsets(trees.delta_bits())
        self._combined = _Combined()
        self._rows = _Rows(CODE_ROWS)
        self._inputs = np.empty((16, CODE_ROWS, 2), dtype=np.uint64)
        self._pi = Permutation(key, 16 * CODE_ROWS)

    def pads(self, n: int, corrections: Ring) -> Iterator[tuple[int, Hashed]]:
        """(first row, sixteen pads (16, rows, 2)) of the next ``n`` OTs, some rows at a time."""
        planes = self._combined.of(self._trees.expand(n, corrections))
        for first, rows in self._rows.of(planes):
            inputs = self._inputs.reshape(-1, 2)[: 16 * len(rows)].reshape(16, len(rows), 2)
            ot_code.spread(rows, self._offsets, inputs)
            yield first, (inputs, self._pi(inputs))


class SoftSpokenOneOf16Receiver(_Unprepared):
    """The side that chooses one of sixteen."""

    def __init__(self, trees: FullTrees, key: bytes) -> None:
        self.trees = len(trees.widths)
        self._trees = trees
        self._position = _positions(trees.widths)
        self._combined = _Combined()
        self._rows = _Rows(ROWS)
        self._pi = Permutation(key, ROWS)

    def expand(self, n: int, choices: NDArray[np.uint8]) -> tuple[Ring, Ring]:
        """Planes of rows, 128 of them, and the corrections to send."""
        planes, sums = self._trees.expand(n)
        words = np.empty((16, n // 64), dtype=np.uint64)
        ot_code.codeword_planes(choices, words)
        return self._combined.of(planes), sums ^ words[self._position]

    def pads(self, planes: Ring) -> Iterator[tuple[int, Hashed]]:
        """(first row, the chosen pad), some rows at a time."""
        for first, rows in self._rows.of(planes):
            yield first, (rows, self._pi(rows))


def _positions(widths: Sequence[int]) -> NDArray[np.int64]:
    """The code's position, 1 to 15, that each tree's columns belong to."""
    return (np.cumsum(widths) + code.COLUMNS_EACH - 1) // code.COLUMNS_EACH
