"""One party's table, as algorithms take it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PartyTable:
    """``keys``: one distinct byte string a row; ``features``: (rows, columns) float64; ``label``: (rows,) of 0 and 1,
    at one party only. Prints nothing of what it holds."""

    keys: list[bytes] = field(repr=False)
    features: NDArray[np.float64] = field(repr=False)
    columns: tuple[str, ...]
    label: NDArray[np.float64] | None = field(default=None, repr=False)

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(self.keys)
