"""Quantile bins, made by each owner alone: a column's cuts, and where its values lie between them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Bins = NDArray[np.uint8]
MAX_BINS = 255


@dataclass(frozen=True, slots=True)
class Cuts:
    """For each column its cuts, rising, float32: bin b holds the values from cut b - 1 up to, not including, cut b."""

    columns: tuple[NDArray[np.float32], ...] = field(repr=False)
    n_bins: int

    @classmethod
    def fit(cls, values: Matrix, n_bins: int) -> Cuts:
        """At most ``n_bins`` bins a column, of equally many rows as far as ties allow; ``values`` (rows, columns)."""
        assert 2 <= n_bins <= MAX_BINS
        return cls(tuple(_cuts(column, n_bins) for column in values.T), n_bins)

    def apply(self, values: Matrix) -> Bins:
        """The bins of rows, (rows, columns); a value on a cut lies above it, as in XGBoost's ``<``."""
        out = np.empty(values.shape, dtype=np.uint8)
        for j, cuts in enumerate(self.columns):
            out[:, j] = np.searchsorted(cuts, values[:, j].astype(np.float32), side="right")
        return out

    def threshold(self, column: int, cut: int) -> float:
        """What values up to this bin are below; the greatest float32 where no value is above."""
        cuts = self.columns[column]
        return float(cuts[cut]) if cut < cuts.size else float(np.finfo(np.float32).max)


def _cuts(column: Matrix, n_bins: int) -> NDArray[np.float32]:
    """Cuts between distinct values; every bin holds a row."""
    distinct, counts = np.unique(column.astype(np.float32), return_counts=True)
    if distinct.size <= n_bins:
        return distinct[1:]
    below = np.cumsum(counts)[:-1]  # rows under each cut
    wanted = np.arange(1, n_bins) * (column.size / n_bins)
    places = np.unique(np.searchsorted(below, wanted).clip(0, below.size - 1))
    cuts: NDArray[np.float32] = distinct[1:][places]
    return cuts
