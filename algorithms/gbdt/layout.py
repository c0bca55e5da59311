"""The candidate splits of a tree. How many there are, and of which column, is public; what values they separate only the
column's owner knows.

* A column of numbers has a candidate for each cut. Where cells may be empty it has two for each cut (empty cells go right,
  or left), and one that separates the empty cells from the others.
* A column of categories has, if "one-hot", a candidate for each category against all others.
* If "partition", it has a candidate for each prefix of the categories in the order of their G/(H + lambda). That order is
  secret, so each candidate carries the set of bins that it sends left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.gbdt.bins import Bins, category_bins
from hansa.algorithms.gbdt.params import TreeParams

Places = NDArray[np.int64]
BYTE_VALUES: Final = 256
"""How many bins a byte can name."""


class Split(NamedTuple):
    """A column of the owner's, and the bins that go left: bit b of ``left`` is set if bin b does."""

    column: int
    left: int

    def sides(self, bins: Bins) -> Bins:
        """1 for each row that goes left, (rows,)."""
        table = np.array([self.left >> place & 1 for place in range(BYTE_VALUES)], dtype=np.uint8)
        return table[bins[:, self.column]]


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of all parties. ``categorical``: of each column of each party, whether it holds categories."""

    categorical: tuple[tuple[bool, ...], ...]
    n_bins: int
    missing: bool = False
    one_hot: bool = True

    @classmethod
    def of(cls, params: TreeParams, categorical: tuple[tuple[bool, ...], ...]) -> Layout:
        """By the job's parameters. How many categories a column has stays with its owner, so either all columns are one-hot or
        none."""
        return cls(categorical, params.max_bin, params.missing, params.max_bin <= params.max_cat_to_onehot)

    @property
    def bins_of_column(self) -> int:
        """Bins of a column, the one for empty cells included."""
        return self.n_bins + self.missing

    @property
    def categories(self) -> int:
        """Bins of a column of categories."""
        return category_bins(self.n_bins)

    @property
    def cuts(self) -> int:
        """Candidates of a column of numbers."""
        return 2 * self.n_bins - 1 if self.missing else self.n_bins - 1

    @property
    def subsets(self) -> int:
        """Candidates of a column of categories."""
        return self.categories if self.one_hot else self.categories - 1

    @property
    def columns(self) -> tuple[int, ...]:
        """How many columns each party has."""
        return tuple(map(len, self.categorical))

    @property
    def carries_sets(self) -> bool:
        """Whether candidates carry sets, as their place in the line does not say what goes left."""
        return not self.one_hot and any(map(any, self.categorical))

    def among(self, chosen: Sequence[Places] | None = None) -> Candidates:
        """The candidates of a tree: of all columns, or of the ``chosen`` ones of each party."""
        columns = chosen or [np.arange(count) for count in self.columns]
        kinds = [np.array(kind, dtype=bool)[places] for kind, places in zip(self.categorical, columns, strict=True)]
        pairs = list(zip(columns, kinds, strict=True))
        return Candidates(
            self, tuple(places[~kind] for places, kind in pairs), tuple(places[kind] for places, kind in pairs)
        )


@dataclass(frozen=True, slots=True)
class Candidates:
    """All candidates in one line, party by party; of each party first those of ``numbers``, then those of
    ``categorical``: its columns of either kind."""

    layout: Layout
    numbers: tuple[Places, ...]
    categorical: tuple[Places, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """How many each party has."""
        cuts, subsets = self.layout.cuts, self.layout.subsets
        return tuple(cuts * len(a) + subsets * len(b) for a, b in zip(self.numbers, self.categorical, strict=True))

    def split(self, rank: int, place: int, chosen: int = 0) -> Split:
        """The split that a candidate of a party is. ``place``: counted from the party's first; ``chosen``: the set it carried."""
        layout = self.layout
        ordered = layout.cuts * len(self.numbers[rank])
        if place < ordered:
            column, cut = divmod(place, layout.cuts)
            whole = layout.n_bins if layout.missing else layout.n_bins - 1
            left = (2 << cut) - 1 if cut < whole else (2 << (cut - whole)) - 1 | 1 << layout.n_bins
            return Split(int(self.numbers[rank][column]), left)
        column, subset = divmod(place - ordered, layout.subsets)
        return Split(int(self.categorical[rank][column]), 1 << subset if layout.one_hot else chosen)
