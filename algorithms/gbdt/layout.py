"""Which splits a tree may choose from: public, alike at all parties; only their owner knows what values they part.

A column of numbers has a candidate for each cut; where cells may be empty, two (the empty ones right, or left), and one that
parts the empty from the rest. A column of categories has one for each of them ("one-hot"), or for each prefix of them in the
order of their gradients over hessians, which is secret, so that its set is carried along ("partition").
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
CELLS: Final = 256
"""Bins a byte can name."""


class Split(NamedTuple):
    """A column of its owner's, and the bins that go left as the bits of a number."""

    column: int
    left: int

    def sides(self, bins: Bins) -> Bins:
        """1 for the rows that go left."""
        table = np.array([self.left >> cell & 1 for cell in range(CELLS)], dtype=np.uint8)
        return table[bins[:, self.column]]


@dataclass(frozen=True, slots=True)
class Layout:
    """``categorical``: for each party, of each of its columns, whether it holds categories."""

    categorical: tuple[tuple[bool, ...], ...]
    n_bins: int
    missing: bool = False
    one_hot: bool = True

    @classmethod
    def of(cls, params: TreeParams, categorical: tuple[tuple[bool, ...], ...]) -> Layout:
        """What parameters mean. How many categories a column has is its owner's: so all of a job's are one-hot, or none."""
        return cls(categorical, params.max_bin, params.missing, params.max_bin <= params.max_cat_to_onehot)

    @property
    def cells(self) -> int:
        """Bins of a column, with the one for empty cells."""
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
        """Whether a candidate's place does not say what goes left."""
        return not self.one_hot and any(map(any, self.categorical))

    def among(self, chosen: Sequence[Places] | None = None) -> Candidates:
        """The candidates of a tree, of all columns or of some of each party's."""
        ranks = chosen or [np.arange(count) for count in self.columns]
        kinds = [np.array(kind, dtype=bool)[places] for kind, places in zip(self.categorical, ranks, strict=True)]
        pairs = list(zip(ranks, kinds, strict=True))
        return Candidates(
            self, tuple(places[~kind] for places, kind in pairs), tuple(places[kind] for places, kind in pairs)
        )


@dataclass(frozen=True, slots=True)
class Candidates:
    """All candidates in one line, party by party; of each first its ``numbers``, then its ``classes``: columns of either kind."""

    layout: Layout
    numbers: tuple[Places, ...]
    classes: tuple[Places, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """How many each party has."""
        of_numbers, of_classes = self.layout.cuts, self.layout.subsets
        return tuple(of_numbers * len(a) + of_classes * len(b) for a, b in zip(self.numbers, self.classes, strict=True))

    def split(self, rank: int, place: int, chosen: int = 0) -> Split:
        """The split at a place of a party's own; ``chosen``: the set that a candidate of a partition carried."""
        layout = self.layout
        ordered = layout.cuts * len(self.numbers[rank])
        if place < ordered:
            column, cut = divmod(place, layout.cuts)
            whole = layout.n_bins if layout.missing else layout.n_bins - 1
            left = (2 << cut) - 1 if cut < whole else (2 << (cut - whole)) - 1 | 1 << layout.n_bins
            return Split(int(self.numbers[rank][column]), left)
        column, subset = divmod(place - ordered, layout.subsets)
        return Split(int(self.classes[rank][column]), 1 << subset if layout.one_hot else chosen)
