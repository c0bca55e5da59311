"""Correlated randomness: the one seam between the additive engine and where its randomness comes from.

Every array is this party's summand: "ring" arrays sum to the value mod 2^64 over the computing parties, "bits" arrays
XOR to it, 64 elements a word. What N - 1 parties hold tells them nothing of the values. All parties draw the same
amounts in the same order. No correlation is drawn twice. Bits behind the last element of a last word are random as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from hansa.protocols.arrays import Ring

STEP: Final = "correlations"
"""The step under which the making of correlations is counted."""
TOP_BITS: Final = 63
"""How many bits below the top bit an exact comparison of ring elements compares."""


def blocks_of(below: int) -> int:
    """How many blocks of four bits the ``below`` bits under the top bit make."""
    return (below + 3) // 4


def planes_of(below: int) -> int:
    """How many planes of bits a mask for comparing ``below`` bits has: 15 products a block, and the top bit."""
    return 15 * blocks_of(below) + 1


def sigmoid_bits(scale_bits: int) -> int:
    """How many bits under the top bit a sigmoid compares: down to 1/16 at its scale, in whole blocks."""
    return min(TOP_BITS, 4 * blocks_of(68 - scale_bits))


@dataclass(frozen=True, slots=True)
class TrigMasks:
    """A mask with what a sigmoid of a number opened under it needs.

    ``r`` (n,) ring, uniform; ``trig`` (2, harmonics, n) ring: sine and cosine of each harmonic's angle of r at the
    scale asked for, in ``fourier.TRIG_BITS``; ``planes`` (planes_of(sigmoid_bits(scale)), words) bits, as for
    ``comparison_masks``, of the highest bits of r.
    """

    r: Ring = field(repr=False)
    trig: Ring = field(repr=False)
    planes: Ring = field(repr=False)


class Pad(Protocol):
    """A random matrix fixed for the job, known to one party and to no other."""

    @property
    def owner(self) -> int:
        """The rank that knows it."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ...

    def rows(self, rows: slice) -> Ring:
        """Some of its rows; only its owner can ask."""
        ...


class Correlations(Protocol):
    """A provider of correlated randomness; its costs are counted under ``Phase.PREPROCESSING``."""

    async def triples(self, n: int) -> tuple[Ring, Ring, Ring]:
        """Beaver triples: a, b, c = a·b, each (n,) ring."""
        ...

    async def matmul_triples(self, n: int, k: int, m: int) -> tuple[Ring, Ring, Ring]:
        """a (n, k), b (k, m), c = a @ b (n, m), all ring; none of the three is zero."""
        ...

    async def bit_triples(self, words: int, width: int) -> tuple[Ring, Ring, Ring]:
        """a (words,), b (width, words), c[k] = a & b[k], all bits; width 1 or 2."""
        ...

    async def dabits(self, n: int) -> tuple[Ring, Ring]:
        """The same random bits as bits (words,) and as ring elements 0 and 1 (n,)."""
        ...

    async def finish(self) -> None:
        """Nothing more will be drawn: compare what was, and let the source go."""
        ...


class MaskCorrelations(Correlations, Protocol):
    """A provider that also makes masks whose parts every party has a summand of, and pads for private matrices."""

    async def truncation_masks(self, n: int, bits: int) -> tuple[Ring, Ring, Ring]:
        """r uniform, t = (r mod 2^63) >> bits, m = the top bit of r, each (n,) ring."""
        ...

    async def comparison_masks(self, n: int) -> tuple[Ring, Ring]:
        """r (n,) ring, uniform, and the products of its bits in blocks of four, (planes_of(63), words) bits.

        Plane 15·k + s - 1 is the product of the bits of block k whose places are set in s; the last plane is the top
        bit. The lowest block lacks its lowest bit: products with it are zero.
        """
        ...

    async def trig_masks(self, n: int, scale_bits: int) -> TrigMasks:
        """Masks for a sigmoid of arguments with ``scale_bits`` fraction bits."""
        ...

    async def pad(self, owner: int, shape: tuple[int, int]) -> Pad:
        """A random matrix for the owner, once a job."""
        ...

    async def pad_products(self, pad: Pad, rows: slice, transposed: bool) -> tuple[Ring, Ring]:
        """b uniform, shared among the parties other than the owner (whose summand is zero), and c = pad[rows] @ b.

        b is (columns,) and c (rows,) ring; ``transposed``: c = pad[rows].T @ b, with b (rows,) and c (columns,).
        """
        ...
