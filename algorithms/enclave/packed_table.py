"""A party's table as bytes for an enclave and back, and the rows that all tables have in common.

    length, 4 bytes | header, canonical | places: rows x 16 | features: rows x columns | label: rows | weights: rows

Numbers are little-endian. Features are float32 for trees, which use no more digits, else float64. Label and weights are
float64. A key stays at its owner; in its stead goes its *place*, the keyed hash by which ``psi.ddh`` orders rows. So MPC and
enclave train on the same rows in the same order.
"""

from __future__ import annotations

from functools import reduce
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.errors import DataError
from hansa.algorithms.gbdt.params import MOST_WEIGHT
from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.terms import Terms
from hansa.config.params import label_kind
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.psi.ddh import PLACE_BYTES, places_in_order
from hansa.protocols.wire import canonical
from hansa.protocols.wire.fields import Fields

Places = NDArray[np.void]
"""The places of rows, (rows,): 16 bytes each, compared as bytes."""
_PLACE: Final = f"V{PLACE_BYTES}"
_HEADER: Final = 1 << 26
_MOST_LEVELS: Final = 1 << 20
_LONGEST_LEVEL: Final = 1 << 12


def most_bytes(terms: Terms, rank: int) -> int:
    """The most bytes that a party's table may have."""
    numbers = 8 * (terms.columns[rank] + 2)
    return 4 + _HEADER + terms.max_rows * (PLACE_BYTES + numbers)


def pack(terms: Terms, table: PartyTable) -> bytes:
    """A table's bytes. Raises ``DataError`` where it has more rows than the contract allows."""
    if table.rows > terms.max_rows:
        raise DataError(
            f"the table has {table.rows} rows, the contract allows {terms.max_rows}",
            remedy="raise limits.max_rows in every party's hansa.toml, or use fewer rows",
            field="rows",
        )
    header = canonical.encode(
        {
            "rows": table.rows,
            "columns": list(table.columns),
            "label": table.label is not None,
            "weights": table.weights is not None,
            "levels": [[name, list(levels)] for name, levels in sorted(table.levels.items())],
        }
    )
    places = b"".join(places_in_order(table.keys, terms.seed))
    parts = [len(header).to_bytes(4, "big"), header, places, table.features.astype(_kind(terms)).tobytes()]
    parts += [each.astype("<f8").tobytes() for each in (table.label, table.weights) if each is not None]
    return b"".join(parts)


def unpack_untrusted(terms: Terms, rank: int, data: bytes | memoryview, *, scored: bool) -> tuple[Places, PartyTable]:
    """The places (rows,), and the table without keys. ``scored``: the rows are to be scored, without label and weights.

    Raises ``PeerMisbehaved`` for what is no table of this party's columns, ``DataError`` for cells that no training takes.
    """
    name = terms.names[rank]
    size = int.from_bytes(data[:4], "big")
    if not 0 < size <= min(_HEADER, len(data) - 4):
        raise _wrong(rank, name, "a table without a header")
    fields = Fields(canonical.decode_untrusted(data[4 : 4 + size], _HEADER), f"the table of {name}")
    rows = fields.number("rows", 0, terms.max_rows)
    columns = fields.value("columns", _names)
    label, weights = fields.flag("label"), fields.flag("weights")
    levels = dict(fields.each("levels", len(columns), _levels))
    fields.end()
    categorical = set(terms.categorical[rank]) if terms.categorical else set[str]()
    owner = rank == terms.label_rank and not scored
    if (columns, label, weights, set(levels)) != (
        terms.column_names[rank],
        owner,
        owner and terms.weighted,
        categorical,
    ):
        raise _wrong(rank, name, "a table of other columns than the contract's")
    kind = _kind(terms)
    shapes: list[tuple[str, tuple[int, ...]]] = [(_PLACE, (rows,)), (kind, (rows, len(columns)))]
    shapes += [("<f8", (rows,))] * (label + weights)
    sizes = [np.dtype(dtype).itemsize * int(np.prod(shape)) for dtype, shape in shapes]
    if 4 + size + sum(sizes) != len(data):
        raise _wrong(rank, name, "a table of another length than its header says")
    arrays, at = [], 4 + size
    for (dtype, shape), length in zip(shapes, sizes, strict=True):
        arrays.append(np.frombuffer(data[at : at + length], dtype=dtype).reshape(shape))
        at += length
    table = PartyTable(
        keys=[],
        features=arrays[1],
        columns=columns,
        label=arrays[2] if label else None,
        levels=levels,
        weights=arrays[3] if weights else None,
    )
    _check_cells(terms, rank, table)
    return arrays[0], table


def common(places: list[Places], names: tuple[str, ...]) -> list[NDArray[np.int64]]:
    """The rows of each party that all parties have, in the common order. Raises ``PeerMisbehaved`` for a place that occurs twice.

    Places are compared by their first 8 bytes, then by the others. Where a party has two places with the same first 8
    bytes, ``_by_all_bytes`` does it.
    """
    halves = [np.frombuffer(each.tobytes(), dtype=">u8").astype(np.uint64).reshape(-1, 2) for each in places]
    orders = [np.argsort(each[:, 0], kind="stable") for each in halves]
    firsts = [each[order, 0] for each, order in zip(halves, orders, strict=True)]
    if any(np.any(first[1:] == first[:-1]) for first in firsts):
        return _by_all_bytes(places, names)
    everywhere = reduce(lambda some, others: some[_among(some, others)], firsts)
    rows = [order[_among(first, everywhere)] for first, order in zip(firsts, orders, strict=True)]
    seconds = [each[some, 1] for each, some in zip(halves, rows, strict=True)]
    same = np.logical_and.reduce([each == seconds[0] for each in seconds])
    return [some[same] for some in rows]


def _by_all_bytes(places: list[Places], names: tuple[str, ...]) -> list[NDArray[np.int64]]:
    """The same by all 16 bytes at once; five times slower."""
    orders = [np.argsort(each) for each in places]
    ordered = [each[order] for each, order in zip(places, orders, strict=True)]
    for rank, each in enumerate(ordered):
        if np.any(each[1:] == each[:-1]):
            raise _wrong(rank, names[rank], "a key twice")
    everywhere = reduce(lambda some, others: some[_among(some, others)], ordered)
    return [order[_among(each, everywhere)] for each, order in zip(ordered, orders, strict=True)]


def _among(some: NDArray[Any], others: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of the sorted ``some`` are among the sorted ``others``."""
    if not len(others):
        return np.zeros(len(some), dtype=np.bool_)
    found = np.searchsorted(others, some).clip(max=len(others) - 1)
    same: NDArray[np.bool_] = others[found] == some
    return same


def _check_cells(terms: Terms, rank: int, table: PartyTable) -> None:
    """Check the cells as their owner should have; the enclave does not take its word."""
    name = terms.names[rank]
    may_be_empty = terms.algorithm == "gbdt" and bool(terms.params.get("missing", False))
    for place, column in enumerate(table.columns):
        cells = table.features[:, place]
        kinds = table.levels.get(column)
        present = cells[~np.isnan(cells)]
        if kinds is not None:
            if np.any((present < 0) | (present >= len(kinds)) | (present != np.floor(present))):
                raise _wrong(rank, name, f"categories in '{column}' that it did not name")
        elif np.any(np.isinf(present)) or (len(present) < len(cells) and not may_be_empty):
            raise DataError(
                f"the column '{column}' of {name} has cells that are no finite numbers",
                remedy="fill or drop them; boosted trees take empty cells with missing = true",
                party=name,
                column=column,
            )
    if table.label is not None and not _fits(terms, table.label):
        raise _wrong(rank, name, "labels that the contract's objective does not take")
    weights = table.weights
    if weights is not None and not np.all((weights >= 0) & (weights <= MOST_WEIGHT)):
        raise _wrong(rank, name, f"weights that are not from 0 to {MOST_WEIGHT:g}")


def _fits(terms: Terms, label: NDArray[np.float64]) -> bool:
    """Whether the objective takes every label; NaN is none."""
    task = label_kind(terms.algorithm, terms.params)
    if task == "real":
        return bool(np.all(np.isfinite(label)))
    if task == "count":
        return bool(np.all((label >= 0) & np.isfinite(label)))
    classes = 2 if task == "binary" else int(terms.params["num_class"] or 0)
    return bool(np.all((label >= 0) & (label < classes) & (label == np.floor(label))))


def _kind(terms: Terms) -> str:
    return "<f4" if terms.algorithm == "gbdt" else "<f8"


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise PeerMisbehaved("a table's columns are no names", remedy="update both nodes to the same version")
    return tuple(value)


def _levels(value: Any) -> tuple[str, tuple[str, ...]]:
    match value:
        case [str(column), list(levels)] if len(levels) <= _MOST_LEVELS and all(
            isinstance(level, str) and len(level) <= _LONGEST_LEVEL for level in levels
        ):
            return column, tuple(levels)
        case _:
            raise PeerMisbehaved("a table's categories are no names", remedy="update both nodes to the same version")


def _wrong(rank: int, name: str, what: str) -> PeerMisbehaved:
    return PeerMisbehaved(
        f"{name} sent {what}",
        remedy="check that all parties run the same version of hansa (`hansa --version`)",
        peer=rank,
        step="send",
    )
