"""Bins, which each owner makes alone: of numbers by quantiles, of categories by frequency.

A column of numbers has ``n_bins`` bins and, where cells may be empty, one more for these. A column of categories has a bin for
each of the most frequent ones; its last bin takes all others, those never seen before, and empty cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Matrix

Bins = NDArray[np.uint8]
Numbers = NDArray[np.float32]
MAX_BINS: Final = 255
MAX_CATEGORIES: Final = 64
"""A set of bins of categories is the bits of one ring element."""


def category_bins(n_bins: int) -> int:
    """Bins of a column of categories."""
    return min(n_bins, MAX_CATEGORIES)


@dataclass(frozen=True, slots=True)
class Cuts:
    """How each column is cut. Of numbers: rising float32 cuts; bin b holds cut b - 1 <= value < cut b. Of categories: the names
    that have bins of their own, in the order of the bins."""

    columns: tuple[Numbers | tuple[str, ...], ...] = field(repr=False)
    n_bins: int

    @classmethod
    def fit(cls, values: Matrix, n_bins: int, levels: Sequence[tuple[str, ...] | None] | None = None) -> Cuts:
        """At most ``n_bins`` bins a column, of equally many rows as far as ties allow; ``values`` (rows, columns), NaN for empty.

        ``levels`` are the names that a column of categories gives by their places, None for a column of numbers.
        """
        assert 2 <= n_bins <= MAX_BINS
        names = levels or [None] * values.shape[1]
        columns = (
            _cuts(column[~np.isnan(column)], n_bins) if name is None else _frequent(column, name, n_bins)
            for column, name in zip(values.T, names, strict=True)
        )
        return cls(tuple(columns), n_bins)

    def apply(self, values: Matrix, levels: Sequence[tuple[str, ...] | None] | None = None) -> Bins:
        """The bins of rows, (rows, columns); a value on a cut lies above it, as in XGBoost's ``<``; ``n_bins`` where empty."""
        out = np.empty(values.shape, dtype=np.uint8)
        for j, cuts in enumerate(self.columns):
            column = values[:, j]
            if isinstance(cuts, tuple):
                out[:, j] = _places(column, (levels or [()] * len(self.columns))[j] or (), cuts, self.n_bins)
            else:
                found = np.searchsorted(cuts, column.astype(np.float32), side="right")
                out[:, j] = np.where(np.isnan(column), self.n_bins, found)
        return out

    def threshold(self, column: int, cut: int) -> float:
        """The cut that the values of this bin and of those before it are below; of the last bin the greatest float32."""
        cuts = self.columns[column]
        assert not isinstance(cuts, tuple)
        return float(cuts[cut]) if cut < cuts.size else float(np.finfo(np.float32).max)


def levels_of(columns: Sequence[str], levels: Mapping[str, tuple[str, ...]]) -> list[tuple[str, ...] | None]:
    """The names of each column's categories, None for numbers."""
    return [levels.get(name) for name in columns]


def _cuts(column: Matrix, n_bins: int) -> Numbers:
    """Cuts between distinct values; every bin holds a row."""
    distinct, counts = np.unique(column.astype(np.float32), return_counts=True)
    if distinct.size <= n_bins:
        return distinct[1:]
    below = np.cumsum(counts)[:-1]  # rows under each cut
    wanted = np.arange(1, n_bins) * (column.size / n_bins)
    places = np.unique(np.searchsorted(below, wanted).clip(0, below.size - 1))
    cuts: Numbers = distinct[1:][places]
    return cuts


def _frequent(column: Matrix, names: tuple[str, ...], n_bins: int) -> tuple[str, ...]:
    """The most frequent categories, of equally frequent ones the first by name."""
    counts = np.bincount(column[~np.isnan(column)].astype(np.int64), minlength=len(names))
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda place: (-counts[place], names[place]))
    return tuple(names[place] for place in order[: category_bins(n_bins) - 1])


def _places(column: Matrix, names: tuple[str, ...], kept: tuple[str, ...], n_bins: int) -> Bins:
    """A category's bin; the last for what has none of its own."""
    last = category_bins(n_bins) - 1
    own = {name: place for place, name in enumerate(kept)}
    table = np.array([*(own.get(name, last) for name in names), last], dtype=np.uint8)
    bins: Bins = table[np.where(np.isnan(column), len(names), column).astype(np.int64)]
    return bins
