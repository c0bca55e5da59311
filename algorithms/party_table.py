"""One party's table, as algorithms take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PartyTable:
    """One party's rows. Prints nothing of what it holds.

    ``keys``: one byte string a row, all distinct. ``features`` (rows, columns) float64, NaN where empty. ``label`` and
    ``weights`` (rows,): at one party only. ``levels``: by column, the names of its categories; the cells of such a column are
    places in that list.
    """

    keys: list[bytes] = field(repr=False)
    features: NDArray[np.float64] = field(repr=False)
    columns: tuple[str, ...]
    label: NDArray[np.float64] | None = field(default=None, repr=False)
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    weights: NDArray[np.float64] | None = field(default=None, repr=False)

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(self.keys)

    def take(self, rows: NDArray[np.int64]) -> PartyTable:
        """Some rows, in this order."""
        return replace(
            self,
            keys=[self.keys[row] for row in rows.tolist()],
            features=self.features[rows],
            label=None if self.label is None else self.label[rows],
            weights=None if self.weights is None else self.weights[rows],
        )
