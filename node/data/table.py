"""Read a party's table for a job: every used cell checked, every refusal naming file, column and row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hansa.algorithms.errors import DataError
from hansa.algorithms.party_table import PartyTable
from hansa.node.data import keys
from hansa.node.data.columns import Categories, Numbers, check_not_empty
from hansa.node.data.labels import check_label, check_weights
from hansa.node.data.schema import TableSpec, Use, schema_digest
from hansa.node.data.sources import TableSource, bounded, open_source


def load_table(spec: Mapping[str, Any]) -> PartyTable:
    """The table that a ``TableSpec``, as JSON-like data, describes.

    Raises DataError for a missing or unreadable file, columns other than when it was added, ragged rows, too many or
    no rows, missing, non-numeric or infinite cells, missing or double keys, a column without values or with too many
    categories, a label that does not fit the objective or is constant, weights out of bounds.
    """
    wanted = TableSpec.from_dict(spec)
    source, use = open_source(wanted.path), wanted.use
    _check_schema(source, wanted)
    columns = {name: _column(source, use, name) for name in use.wanted}
    all_keys: list[bytes] = []
    for piece in bounded(source, [*wanted.key, *use.wanted], use.max_rows):
        all_keys += keys.piece_keys(source, piece, wanted.key, use.normalise)
        for column in columns.values():
            column.add(piece)
    if not all_keys:
        raise DataError(f"the file {wanted.path} has no rows", remedy="put the rows back", file=wanted.path)
    keys.check_distinct(source, all_keys, wanted.key)
    features = np.empty((len(all_keys), len(use.columns)), dtype=np.float64)
    for place, name in enumerate(use.columns):
        features[:, place] = columns[name].values()
        if not use.scored:
            check_not_empty(source, name, features[:, place])
    label = None if use.label is None else columns[use.label].values()
    if label is not None:
        check_label(source, use, label)
    weights = None if use.weight is None else columns[use.weight].values()
    if use.weight is not None and weights is not None:
        check_weights(source, use.weight, weights)
    levels = {name: column.levels for name, column in columns.items() if isinstance(column, Categories)}
    return PartyTable(all_keys, features, use.columns, label, levels, weights)


def _column(source: TableSource, use: Use, name: str) -> Numbers | Categories:
    if name not in use.columns:
        return Numbers(source, name)
    hint = ", or write missing = true in [gbdt]" if use.algorithm == "gbdt" else ""
    kind = Categories if name in use.categorical else Numbers
    return kind(source, name, empty=use.missing, hint=hint)


def _check_schema(source: TableSource, spec: TableSpec) -> None:
    """That the file has the columns it was added with, and that those are what the job was agreed on."""
    known = [name for name, _ in spec.known_columns]
    gone = [name for name in known if name not in source.names]
    new = [name for name in source.names if name not in known]
    if gone or new or source.names != tuple(known):
        changes = [f"'{name}' is gone" for name in gone[:5]] + [f"'{name}' is new" for name in new[:5]]
        raise _changed(spec, ", ".join(changes) or "their order is another", (gone or new or [""])[0])
    for name in spec.use.wanted:
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
