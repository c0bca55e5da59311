"""One column as it is read, piece by piece: numbers, or categories. Errors name file, column and row, never a value."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.errors import DataError
from hansa.node.data.cells import LARGEST, LONGEST, category, is_missing, what_is_wrong
from hansa.node.data.sources import Piece, TableSource

Values = NDArray[np.float64]
MOST_LEVELS = 65_536
"""Categories of one column."""
COUNTED = "(rows are counted from 1, without the header)"
NAN = float("nan")


class Column(Protocol):
    """What one column's cells become."""

    def add(self, piece: Piece) -> None:
        """Take a piece's cells. Raises DataError naming file, column and row."""
        ...

    def values(self) -> Values:
        """(rows,) float64, NaN where a cell is missing."""
        ...


class Numbers:
    """Numbers; missing ones only where ``empty`` is. ``hint`` is a further remedy for them."""

    def __init__(self, source: TableSource, name: str, *, empty: bool = False, hint: str = "") -> None:
        self._source, self._name, self._empty, self._hint = source, name, empty, hint
        self._values = array("d")

    def add(self, piece: Piece) -> None:
        """See ``Column``: the fast way for a clean piece, a cell at a time to find what is wrong in another."""
        cells = piece.cells[self._name]
        added = _plain(cells, self._empty)
        if added is not None:
            self._values.frombytes(added.tobytes())
            return
        for row, cell in enumerate(cells, piece.first_row):
            missing = is_missing(cell)
            why = None if missing and self._empty else what_is_wrong(cell)
            if why is not None:
                raise _bad_cell(self._source, self._name, row, why, self._hint if missing else "")
            self._values.append(NAN if missing else float(cell))

    def values(self) -> Values:
        """See ``Column``."""
        return np.array(self._values)


class Categories:
    """Categories; missing ones only where ``empty`` is, for which ``hint`` is a further remedy."""

    def __init__(self, source: TableSource, name: str, *, empty: bool = False, hint: str = "") -> None:
        self._source, self._name, self._empty, self._hint = source, name, empty, hint
        self._places: dict[str, int] = {}
        self._seen: dict[Any, float] = {}  # by the cell as it is written
        self._values = array("d")

    def add(self, piece: Piece) -> None:
        """See ``Column``."""
        for row, cell in enumerate(piece.cells[self._name], piece.first_row):
            place = self._seen.get(cell) if isinstance(cell, str) else None
            self._values.append(self._place(cell, row) if place is None else place)

    def values(self) -> Values:
        """See ``Column``: places in ``levels``."""
        order = np.empty(len(self._places) + 1)
        for place, level in enumerate(self.levels):
            order[self._places[level]] = place
        order[-1] = np.nan
        found = np.array(self._values)
        return order[np.where(np.isnan(found), len(self._places), found).astype(np.int64)]

    @property
    def levels(self) -> tuple[str, ...]:
        """The distinct categories, sorted."""
        return tuple(sorted(self._places))

    def _place(self, cell: Any, row: int) -> float:
        if is_missing(cell):
            if not self._empty:
                raise _bad_cell(self._source, self._name, row, "is missing", self._hint)
            return NAN
        text = category(cell)
        if text is None or len(text) > LONGEST:
            why = "is no text, number or date" if text is None else f"has more than {LONGEST} characters"
            raise _bad_cell(self._source, self._name, row, why, "")
        place = self._places.setdefault(text, len(self._places))
        if place >= MOST_LEVELS:
            raise DataError(
                f"the column '{self._name}' of {self._source.path} has more than {MOST_LEVELS} categories",
                remedy="leave the column out, or join rare categories into one",
                file=self._source.path,
                column=self._name,
                row=row,
            )
        if isinstance(cell, str):
            self._seen[cell] = place
        return place


def check_not_empty(source: TableSource, name: str, values: Values) -> None:
    """Raise DataError where a column has no value at all: nothing can be learnt from it."""
    if values.size and np.isnan(values).all():
        raise DataError(
            f"the column '{name}' of {source.path} is empty in every row",
            remedy="fill it, or leave the column out",
            file=source.path,
            column=name,
        )


def _bad_cell(source: TableSource, name: str, row: int, why: str, hint: str) -> DataError:
    return DataError(
        f"the column '{name}' {why} in row {row} of {source.path}",
        remedy=f"correct the cell, fill it, or leave the column out{hint} {COUNTED}",
        file=source.path,
        column=name,
        row=row,
    )


def _plain(cells: Sequence[Any], empty: bool) -> Values | None:
    """The cells' numbers at once, NaN for the missing if these may be ``empty``; None where one looks wrong."""
    try:
        tried = [NAN if is_missing(cell) else cell for cell in cells] if empty else cells
        values = np.fromiter(map(float, tried), dtype=np.float64, count=len(cells))
        written_plainly = not isinstance(cells[0], str) or "_" not in "".join(cells)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    fine = np.abs(values) < LARGEST
    return values if written_plainly and bool((fine | np.isnan(values) if empty else fine).all()) else None
