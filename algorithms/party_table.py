"""One party's table, as algorithms take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PartyTable:
    """``keys``: one distinct byte string a row; ``features``: (rows, columns) float64; ``label``: (rows,) float64, at one
    party only, as are ``weights``: (rows,) float64, of rows.

    ``levels``: of each categorical column its distinct values as text, sorted; its features are places in there. NaN in
    a feature is a missing value. Prints nothing of what it holds.
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
