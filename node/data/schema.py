"""A dataset as the daemon knows it: names and kinds of columns, key, label - and the description a worker reads it by.

Light (no numpy). What files hold is read by short-lived children (node.data.inspect) and by workers (node.data.table).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any

from hansa.config.params import Param, label_kind
from hansa.protocols.wire import canonical

_VERSION = 1


def schema_digest(columns: Sequence[tuple[str, str]], key: Sequence[str], label: str | None) -> bytes:
    """32 bytes that name a schema: column names and kinds in file order, key columns, label; no row enters it."""
    body = canonical.encode([_VERSION, [list(column) for column in columns], list(key), label])
    return blake2b(body, digest_size=32, person=b"hansa-schema").digest()


@dataclass(frozen=True, slots=True)
class Use:
    """What a job uses of a table, and how.

    ``columns`` are the features, in the contract's order, ``categorical`` those of them whose values are categories;
    ``label`` and ``weight`` are columns, or None; ``scored``: rows are scored by a model, nothing is learnt from them.
    """

    columns: tuple[str, ...]
    label: str | None
    normalise: str
    max_rows: int
    categorical: tuple[str, ...] = ()
    weight: str | None = None
    algorithm: str = "lr"
    params: Mapping[str, Param] = field(default_factory=dict)
    scored: bool = False

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every column that is read beside the key."""
        return (*self.columns, *(name for name in (self.label, self.weight) if name is not None))

    @property
    def missing(self) -> bool:
        """Whether cells of features may be empty."""
        return self.params.get("missing") is True

    @property
    def label_kind(self) -> str:
        """``binary``, ``classes`` (see ``num_class``), ``real`` or ``count``."""
        return label_kind(self.algorithm, self.params)

    @property
    def num_class(self) -> int:
        """How many classes the label has, where it has classes."""
        return int(self.params.get("num_class", 0))

    @classmethod
    def of(cls, contract: Mapping[str, Any], party: Mapping[str, Any]) -> Use:
        """What a contract, as ``describe()`` gives it, uses of one of its parties' tables."""
        scored = contract["kind"] == "predict"
        return cls(
            columns=tuple(party["columns"]),
            label=None if scored else party["label"],
            normalise=contract["normalise"],
            max_rows=contract["max_rows"],
            categorical=tuple(party["categorical"]),
            weight=None if scored else party["weight"],
            algorithm=contract["algorithm"],
            params=contract["params"],
            scored=scored,
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Use:
        """From ``asdict``'s data after their journey as JSON."""
        lists = {"columns": tuple(data["columns"]), "categorical": tuple(data["categorical"])}
        return cls(**{**data, **lists})


@dataclass(frozen=True, slots=True)
class TableSpec:
    """What a worker needs to read its table: the file, its schema when it was added, what the contract uses of it.

    ``known_columns`` are all columns of the file in order, with their kinds; ``label`` is the dataset's own label (part
    of its schema); ``schema_digest`` is hex.
    """

    path: str
    known_columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    label: str | None
    schema_digest: str
    use: Use

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TableSpec:
        """From JSON-like data with these entries (others are ignored)."""
        return cls(
            path=data["path"],
            known_columns=tuple((name, kind) for name, kind in data["known_columns"]),
            key=tuple(data["key"]),
            label=data["label"],
            schema_digest=data["schema_digest"],
            use=Use.from_dict(data["use"]),
        )


def table_spec(dataset: Mapping[str, Any], use: Use) -> dict[str, Any]:
    """The spec, as JSON-like data, of a stored dataset (node.data.inspect's description and its ``path``) for one job."""
    spec = TableSpec(
        path=dataset["path"],
        known_columns=tuple((column["name"], column["kind"]) for column in dataset["columns"]),
        key=tuple(dataset["key"]),
        label=dataset["label"],
        schema_digest=dataset["schema_digest"],
        use=use,
    )
    return asdict(spec)
