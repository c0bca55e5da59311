"""Shares as types: what may be added, what may not be printed.

Engines give meaning to ``parts``: for ``replicated`` a Share has two components, a Product one. Linear operations are
local and the same for every engine; adding a public value is the engine's (only one party may add it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring

L = TypeVar("L", bound="Linear")


@dataclass(frozen=True, slots=True)
class Linear:
    """Components that are linear in the secret; every operation here is local and acts on each component."""

    parts: tuple[Ring, ...] = field(repr=False)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of shape {self.shape}>"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the secret array."""
        return self.parts[0].shape

    @property
    def size(self) -> int:
        """How many elements."""
        return int(self.parts[0].size)

    def _of(self: L, parts: Sequence[Ring]) -> L:
        return type(self)(tuple(parts))

    def _same(self, other: Linear) -> None:
        if type(self) is not type(other):
            raise TypeError(f"a {type(self).__name__} and a {type(other).__name__} cannot be combined")

    def __add__(self: L, other: L) -> L:
        self._same(other)
        return self._of([a + b for a, b in zip(self.parts, other.parts, strict=True)])

    def __sub__(self: L, other: L) -> L:
        self._same(other)
        return self._of([a - b for a, b in zip(self.parts, other.parts, strict=True)])

    def __neg__(self: L) -> L:
        return self._of([np.uint64(0) - a for a in self.parts])

    def times(self: L, public: int | Ring) -> L:
        """The product with a public integer (mod 2^64) or integer array."""
        factor = np.uint64(public % (1 << 64)) if isinstance(public, int) else public
        return self._of([a * factor for a in self.parts])

    def __getitem__(self: L, index: Any) -> L:
        return self._of([np.asarray(a[index]) for a in self.parts])

    def reshape(self: L, *shape: int) -> L:
        """The same elements in another shape."""
        return self._of([a.reshape(shape) for a in self.parts])

    def sum(self: L, axis: int | None = None) -> L:
        """The sum over an axis, or of all."""
        return self._of([np.asarray(a.sum(axis=axis, dtype=np.uint64)) for a in self.parts])

    def cumsum(self: L, axis: int = 0) -> L:
        """Prefix sums along an axis, each with its own element."""
        return self._of([np.cumsum(a, axis=axis, dtype=np.uint64) for a in self.parts])

    def moveaxis(self: L, source: int, destination: int) -> L:
        """The same elements with one axis elsewhere."""
        return self._of([np.ascontiguousarray(np.moveaxis(a, source, destination)) for a in self.parts])

    def broadcast(self: L, shape: tuple[int, ...]) -> L:
        """The same elements repeated to a shape, as numpy does."""
        return self._of([np.ascontiguousarray(np.broadcast_to(a, shape)) for a in self.parts])


class Share(Linear):
    """A secret array over Z_2^64."""

    __slots__ = ()


class Product(Linear):
    """An unreduced product: sums of it are free; an engine turns it into a Share (``reshare`` or ``truncate``)."""

    __slots__ = ()


def concatenate(items: Sequence[L]) -> L:
    """Join secrets of one type end to end, along their first axis."""
    first = items[0]
    return type(first)(tuple(np.concatenate(columns) for columns in zip(*(i.parts for i in items), strict=True)))


def words_of(n: int) -> int:
    """Words of 64 bits for n elements."""
    return (n + 63) // 64


@dataclass(frozen=True, slots=True)
class BitShare:
    """Secret bits, XOR-shared and bit-sliced: each part is (planes, words) uint64, 64 elements a word.

    ``length`` elements in each plane; what stands in the last word behind them means nothing.
    """

    parts: tuple[Ring, ...] = field(repr=False)
    length: int

    def __repr__(self) -> str:
        return f"<BitShare of {self.planes} x {self.length} bits>"

    @property
    def planes(self) -> int:
        """How many bits each element has."""
        return int(self.parts[0].shape[0])

    def __xor__(self, other: BitShare) -> BitShare:
        if not isinstance(other, BitShare) or other.length != self.length:
            raise TypeError("only BitShares of one length can be combined")
        return BitShare(tuple(a ^ b for a, b in zip(self.parts, other.parts, strict=True)), self.length)

    def __getitem__(self, planes: slice | NDArray[np.int64]) -> BitShare:
        return BitShare(tuple(a[planes] for a in self.parts), self.length)

    def with_planes(self, planes: slice | NDArray[np.int64], new: BitShare) -> BitShare:
        """The same bits but for some planes."""
        parts = tuple(a.copy() for a in self.parts)
        for part, other in zip(parts, new.parts, strict=True):
            part[planes] = other
        return BitShare(parts, self.length)

    def masked(self, words: Ring) -> BitShare:
        """AND with public bits of the same or one plane."""
        return BitShare(tuple(a & words for a in self.parts), self.length)


def stack_planes(*items: BitShare) -> BitShare:
    """The planes of several BitShares of one length, one after another."""
    first = items[0]
    if any(item.length != first.length for item in items):
        raise TypeError("only BitShares of one length can be combined")
    return BitShare(
        tuple(np.concatenate(columns) for columns in zip(*(i.parts for i in items), strict=True)), first.length
    )
