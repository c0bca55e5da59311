"""SoftSpokenOT's correlation (Roy, CRYPTO 2022, sections 3 and 5): trees of keys expanded into planes of bits.

A tree has depth w. The grower, who becomes the receiver, expands each leaf x to a row r_x of bits. It has u = sum r_x, and
for each bit b of a leaf's index the plane t_b, the sum of r_x over the leaves x whose bit b is 1. The other party, who becomes
the sender, lacks leaf D. It sums over x ^ D in place of x and has the planes q_b = t_b ^ D_b u without a message. To replace u
by choices (the same for all trees, or a plane of a code word), the grower sends u ^ choice, and the other party adds D_b times
that: q_b = t_b ^ D_b choice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.kernels import ot as kernels

BLOCK = 512
"""OTs in a block, of 8 words a plane: every batch is padded to whole blocks."""
CHUNK = 1 << 16
"""OTs expanded at once: with w = 4 the working set is 3 MB a direction."""
_WORDS = CHUNK // 64
_ZEROS = memoryview(bytes(CHUNK // 8))
_PAD = 8  # words between rows and between blocks, so that they do not fall on one cache set


def padded(n: int) -> int:
    """``n`` rounded up to whole blocks."""
    return -(-n // BLOCK) * BLOCK


class _Trees:
    """The leaves of all trees as AES-CTR streams, and the buffers they are expanded into."""

    def __init__(self, trees: Sequence[Sequence[bytes]], holes: Sequence[int], widths: Sequence[int]) -> None:
        self.widths = tuple(widths)
        self.planes = sum(widths)
        # leaf x goes to row x ^ hole, so that the missing leaf is row 0 and folding yields q; with no leaf missing, hole 0
        self._streams = [
            [_stream(tree[row ^ hole]) for row in range(len(tree))] for tree, hole in zip(trees, holes, strict=True)
        ]
        self._leaves = np.zeros(2 ** max(widths) * (_WORDS + _PAD) + 2, dtype=np.uint64)
        self._planes = np.empty(_WORDS // 8 * (8 * self.planes + _PAD), dtype=np.uint64)
        self._sums = np.empty(len(widths) * _WORDS, dtype=np.uint64)

    def _expand(self, words: int) -> tuple[Ring, Ring]:
        """The next ``words`` words of all planes, (words / 8, stride), and of each tree's sum, (trees, words)."""
        stride = 8 * self.planes + _PAD
        planes = self._planes[: words // 8 * stride].reshape(words // 8, stride)
        sums = self._sums[: len(self.widths) * words].reshape(-1, words)
        first = 0
        for tree, (width, streams) in enumerate(zip(self.widths, self._streams, strict=True)):
            kernels.fold(self._fill(streams, words), planes, first, sums[tree])
            first += width
        return planes, sums

    def _fill(self, streams: Sequence[CipherContext | None], words: int) -> Ring:
        row = words + _PAD
        leaves = self._leaves[: len(streams) * row].reshape(-1, row)
        out, zeros = self._leaves.data.cast("B"), _ZEROS[: 8 * words]
        for index, stream in enumerate(streams):
            if stream is None:
                leaves[index] = 0
            else:
                stream.update_into(zeros, out[8 * row * index :])
        return leaves


class FullTrees(_Trees):
    """The grower's side: it knows all leaves, and is the receiver of the OTs."""

    def __init__(self, trees: Sequence[Sequence[bytes]], widths: Sequence[int]) -> None:
        super().__init__(trees, [0] * len(trees), widths)

    def expand(self, n: int) -> tuple[Ring, Ring]:
        """The next ``n`` (whole blocks, at most ``CHUNK``) columns of t and u, valid until the next call."""
        return self._expand(n // 64)


class PuncturedTrees(_Trees):
    """The side that lacks a leaf of each tree, whose indices are ``delta``: it is the sender of the OTs."""

    def __init__(self, trees: Sequence[Sequence[bytes]], missing: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__(trees, missing, widths)
        self.delta = tuple(missing)

    def expand(self, n: int, corrections: Ring) -> Ring:
        """The next ``n`` columns of q, given u ^ choice for the last trees, (trees or trees - 1, words)."""
        planes, _ = self._expand(n // 64)
        without = len(self.widths) - len(corrections)
        first = sum(self.widths[:without])
        for width, delta, correction in zip(self.widths[without:], self.delta[without:], corrections, strict=True):
            kernels.correct(planes, first, width, delta, correction)
            first += width
        return planes

    def delta_bits(self) -> NDArray[np.bool_]:
        """The missing leaves as bits, one a plane."""
        bits = [(delta >> b) & 1 for delta, width in zip(self.delta, self.widths, strict=True) for b in range(width)]
        return np.array(bits, dtype=np.bool_)


def _stream(leaf: bytes) -> CipherContext | None:
    return Cipher(AES(leaf), CTR(bytes(16))).encryptor() if leaf else None
