"""A dataset as the daemon knows it: names and kinds of columns, key, label - and the description a worker reads it by.

Light (no numpy): the daemon imports it. What files hold is read by short-lived children (node.data.inspect) and by
workers (node.data.table).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

from hansa.protocols.wire import canonical

KINDS = ("number", "text")
NORMALISATIONS = ("exact", "trim", "trim-casefold")
_VERSION = 1


def schema_digest(columns: Sequence[tuple[str, str]], key: Sequence[str], label: str | None) -> bytes:
    """32 bytes that name a schema: column names and kinds in file order, key columns, label; no row enters it."""
    body = canonical.encode([_VERSION, [list(column) for column in columns], list(key), label])
    return blake2b(body, digest_size=32, person=b"hansa-schema").digest()


@dataclass(frozen=True, slots=True)
class TableSpec:
    """What a worker needs to read its table: the file, its schema when it was added, what of it the contract uses.

    ``names`` are all columns of the file in order, ``columns`` the features to use (in the contract's order), ``label``
    the label to use, if any; ``max_rows`` is the contract's limit.
    """

    path: str
    names: tuple[str, ...]
    key: tuple[str, ...]
    columns: tuple[str, ...]
    label: str | None
    normalise: str
    max_rows: int

    def as_dict(self) -> dict[str, Any]:
        """As JSON-like data, for the worker's Start message."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TableSpec:
        """From ``as_dict`` output (lists for tuples are fine)."""
        return cls(
            path=data["path"],
            names=tuple(data["names"]),
            key=tuple(data["key"]),
            columns=tuple(data["columns"]),
            label=data["label"],
            normalise=data["normalise"],
            max_rows=data["max_rows"],
        )


def table_spec(
    dataset: Mapping[str, Any], columns: Sequence[str], label: str | None, normalise: str, max_rows: int
) -> dict[str, Any]:
    """The spec of a stored dataset description (node.data.inspect's, plus its ``path``) for one contract."""
    names = tuple(column["name"] for column in dataset["columns"])
    spec = TableSpec(dataset["path"], names, tuple(dataset["key"]), tuple(columns), label, normalise, max_rows)
    return spec.as_dict()
