"""Read a party's table for a job: every used cell checked, every refusal naming file, column and row."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.errors import DataError
from hansa.algorithms.party_table import PartyTable
from hansa.node.data import keys
from hansa.node.data.cells import LARGEST, what_is_wrong
from hansa.node.data.schema import TableSpec, schema_digest
from hansa.node.data.sources import Piece, Source, bounded, open_source


def load_table(spec: Mapping[str, Any]) -> PartyTable:
    """The table that a ``TableSpec``, as JSON-like data, describes.

    Raises DataError for a missing or unreadable file, columns other than when it was added, ragged rows, too many or
    no rows, missing, non-numeric or infinite cells, missing or double keys, a label that is not 0 and 1 or constant.
    """
    wanted = TableSpec.from_dict(spec)
    source = open_source(wanted.path)
    _check_schema(source, wanted)
    used = list(wanted.columns) + ([] if wanted.label_column is None else [wanted.label_column])
    numbers = {name: array("d") for name in used}
    all_keys: list[bytes] = []
    for piece in bounded(source, [*wanted.key, *used], wanted.max_rows):
        all_keys += keys.piece_keys(source, piece, wanted.key, wanted.normalise)
        for name in used:
            _append(numbers[name], source, piece, name)
    if not all_keys:
        raise DataError(f"the file {wanted.path} has no rows", remedy="put the rows back", file=wanted.path)
    keys.check_distinct(source, all_keys, wanted.key)
    features = np.empty((len(all_keys), len(wanted.columns)), dtype=np.float64)
    for place, name in enumerate(wanted.columns):
        features[:, place] = numbers[name]
    label = wanted.label_column
    values = None if label is None else _label(source, label, np.array(numbers[label]))
    return PartyTable(all_keys, features, wanted.columns, values)


def _check_schema(source: Source, spec: TableSpec) -> None:
    """That the file has the columns it was added with, and that those are what the job was agreed on."""
    known = [name for name, _ in spec.known_columns]
    gone = [name for name in known if name not in source.names]
    new = [name for name in source.names if name not in known]
    if gone or new or source.names != tuple(known):
        changes = [f"'{name}' is gone" for name in gone[:5]] + [f"'{name}' is new" for name in new[:5]]
        raise _changed(spec, ", ".join(changes) or "their order is another", (gone or new or [""])[0])
    for name in (*spec.columns, *([] if spec.label_column is None else [spec.label_column])):
        if name not in known:
            raise _changed(spec, f"'{name}' is gone", name)
    if schema_digest(spec.known_columns, spec.key, spec.label).hex() != spec.schema_digest:
        raise _changed(spec, "it was added anew with another schema", "")


def _changed(spec: TableSpec, what: str, column: str) -> DataError:
    return DataError(
        f"the columns of {spec.path} have changed since it was added: {what}",
        remedy="restore the file, or `hansa data remove` and `hansa data add` it and submit a new job",
        file=spec.path,
        column=column,
    )


def _append(column: array[float], source: Source, piece: Piece, name: str) -> None:
    """The fast way for a clean piece; a cell at a time to find what is wrong in another."""
    cells, before = piece.cells[name], len(column)
    try:
        column.extend(map(float, cells))
        clean = _all_plain(np.frombuffer(column, dtype=np.float64, offset=8 * before) if cells else np.empty(0), cells)
    except (TypeError, ValueError, OverflowError):
        clean = False
    if clean:
        return
    for row, cell in enumerate(cells, piece.first_row):
        why = what_is_wrong(cell)
        if why is not None:
            raise DataError(
                f"the column '{name}' {why} in row {row} of {source.path}",
                remedy="correct the cell, fill it, or leave the column out (rows are counted from 1, without the header)",
                file=source.path,
                column=name,
                row=row,
            )
    del column[before:]
    column.extend(map(float, cells))


def _all_plain(values: NDArray[np.float64], cells: Sequence[Any]) -> bool:
    written_plainly = not isinstance(cells[0], str) or "_" not in "".join(cells)
    return written_plainly and math.isfinite(float(np.abs(values).max())) and float(np.abs(values).max()) < LARGEST


def _label(source: Source, name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    other = np.flatnonzero((values != 0) & (values != 1))
    if other.size:
        row = int(other[0]) + 1
        raise DataError(
            f"the label '{name}' is neither 0 nor 1 in row {row} of {source.path}",
            remedy="write the label as 0 and 1 (rows are counted from 1, without the header)",
            file=source.path,
            column=name,
            row=row,
        )
    if values.min() == values.max():
        raise DataError(
            f"the label '{name}' of {source.path} is the same in every row, so there is nothing to learn",
            remedy="name another label, or add rows of the other class",
            file=source.path,
            column=name,
        )
    return values
