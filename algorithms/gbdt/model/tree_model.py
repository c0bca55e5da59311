"""A party's part of a model of boosted trees, and its bytes.

They are canonical msgpack, in which no code can hide; arrays are their little-endian bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hansa.algorithms.errors import DataError
from hansa.algorithms.gbdt.bins import Cuts, Numbers
from hansa.algorithms.gbdt.layout import BYTE_VALUES, Split
from hansa.algorithms.gbdt.objectives import Unit
from hansa.protocols.wire import canonical

_VERSION = 2
_MAX_STATE = 1 << 28


@dataclass(frozen=True, slots=True)
class SavedTree:
    """A tree as it is stored. ``owners``: of all inner nodes; ``splits``: of this party's own; ``leaves`` and ``facts``: the
    engine's state of the shares."""

    owners: tuple[int, ...]
    splits: dict[int, Split] = field(repr=False)
    leaves: bytes = field(repr=False)
    facts: bytes = field(default=b"", repr=False)

    def to_plain(self) -> list[Any]:
        """For canonical msgpack."""
        splits = [
            [node, split.column, split.left.to_bytes(BYTE_VALUES // 8, "little")]
            for node, split in sorted(self.splits.items())
        ]
        return [list(self.owners), splits, self.leaves, self.facts]

    @classmethod
    def from_plain(cls, plain: Any) -> SavedTree:
        """The tree again."""
        owners, splits, leaves, facts = plain
        own = {node: Split(column, int.from_bytes(left, "little")) for node, column, left in splits}
        return cls(tuple(owners), own, leaves, facts)


@dataclass(frozen=True, slots=True)
class Importance:
    """Of a column: how many splits are on it, the sum of their gains, and the sum of their hessians ("cover")."""

    splits: int
    gain: float
    cover: float


@dataclass(frozen=True, slots=True)
class TreeModel:
    """``cuts``: of this party's own columns. ``trees``: with its own splits and its shares of the leaves. ``base``: its share of
    the margins before all trees. ``unit``: the label's, at its owner only.

    Opened to this party, if anything was: ``importance`` by party and column, ``history`` the training metric by round.
    """

    engine: str
    columns: tuple[str, ...]
    cuts: Cuts = field(repr=False)
    base: bytes = field(repr=False)
    unit: Unit | None = field(repr=False)
    trees: tuple[SavedTree, ...] = field(repr=False)
    importance: dict[str, dict[str, Importance]] = field(default_factory=dict, repr=False)
    history: tuple[float, ...] = field(default=(), repr=False)

    def to_state(self) -> bytes:
        """Bytes to be sealed."""
        return canonical.encode(
            {
                "version": _VERSION,
                "algorithm": "gbdt",
                "engine": self.engine,
                "columns": list(self.columns),
                "n_bins": self.cuts.n_bins,
                "cuts": [
                    list(cuts) if isinstance(cuts, tuple) else cuts.astype("<f4").tobytes()
                    for cuts in self.cuts.columns
                ],
                "base": self.base,
                "unit": None if self.unit is None else list(self.unit),
                "trees": [tree.to_plain() for tree in self.trees],
            }
        )

    @classmethod
    def from_state(cls, state: bytes) -> TreeModel:
        """The model of a state that this node sealed."""
        data: dict[str, Any] = canonical.decode_untrusted(state, _MAX_STATE)
        if data.get("version") != _VERSION or data.get("algorithm") != "gbdt":
            raise DataError("the model was saved by another version of hansa", remedy="train the model anew")
        return cls(
            data["engine"],
            tuple(data["columns"]),
            Cuts(tuple(map(_cuts, data["cuts"])), data["n_bins"]),
            data["base"],
            None if data["unit"] is None else Unit(*data["unit"]),
            tuple(SavedTree.from_plain(tree) for tree in data["trees"]),
        )


def _cuts(plain: Any) -> Numbers | tuple[str, ...]:
    return np.frombuffer(plain, dtype="<f4").copy() if isinstance(plain, bytes) else tuple(plain)
