"""A dataset as the daemon knows it: names and kinds of columns, key, label - and the description a worker reads it by.

Light (no numpy). What files hold is read by short-lived children (node.data.inspect) and by workers (node.data.table).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

from hansa.protocols.wire import canonical

_VERSION = 1


def schema_digest(columns: Sequence[tuple[str, str]], key: Sequence[str], label: str | None) -> bytes:
    """32 bytes that name a schema: column names and kinds in file order, key columns, label; no row enters it."""
    body = canonical.encode([_VERSION, [list(column) for column in columns], list(key), label])
    return blake2b(body, digest_size=32, person=b"hansa-schema").digest()


@dataclass(frozen=True, slots=True)
class TableSpec:
    """What a worker needs to read its table: the file, its schema when it was added, what of it the contract uses.

    ``known_columns`` are all columns of the file in order, with their kinds; ``label`` is the dataset's own label (part
    of its schema), ``label_column`` the label this job uses, if any; ``columns`` are the features, in the contract's
    order; ``schema_digest`` is hex.
    """

    path: str
    known_columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    label: str | None
    schema_digest: str
    columns: tuple[str, ...]
    label_column: str | None
    normalise: str
    max_rows: int

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TableSpec:
        """From JSON-like data with these entries (others are ignored)."""
        return cls(
            path=data["path"],
            known_columns=tuple((name, kind) for name, kind in data["known_columns"]),
            key=tuple(data["key"]),
            label=data["label"],
            schema_digest=data["schema_digest"],
            columns=tuple(data["columns"]),
            label_column=data["label_column"],
            normalise=data["normalise"],
            max_rows=data["max_rows"],
        )


def table_spec(
    dataset: Mapping[str, Any], columns: Sequence[str], label_column: str | None, normalise: str, max_rows: int
) -> dict[str, Any]:
    """The spec, as JSON-like data, of a stored dataset (node.data.inspect's description and its ``path``) for one job."""
    spec = TableSpec(
        path=dataset["path"],
        known_columns=tuple((column["name"], column["kind"]) for column in dataset["columns"]),
        key=tuple(dataset["key"]),
        label=dataset["label"],
        schema_digest=dataset["schema_digest"],
        columns=tuple(columns),
        label_column=label_column,
        normalise=normalise,
        max_rows=max_rows,
    )
    return asdict(spec)
