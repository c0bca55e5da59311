"""A party's part of boosted trees, and trees released to all as an XGBoost model.

State is canonical msgpack (no code can hide in it); arrays are their little-endian bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.errors import DataError
from hansa.algorithms.gbdt.bins import Cuts
from hansa.protocols.wire import canonical

_VERSION = 1
_MAX_STATE = 1 << 28


@dataclass(frozen=True, slots=True)
class SavedTree:
    """A tree as it lies on disk: all nodes' owners, own splits by node, and an engine's state of the leaves' share."""

    owners: tuple[int, ...]
    splits: dict[int, tuple[int, int]] = field(repr=False)
    leaves: bytes = field(repr=False)

    def to_plain(self) -> list[Any]:
        """For canonical msgpack."""
        return [list(self.owners), [[node, *split] for node, split in sorted(self.splits.items())], self.leaves]

    @classmethod
    def from_plain(cls, plain: Any) -> SavedTree:
        """The tree again."""
        owners, splits, leaves = plain
        return cls(tuple(owners), {node: (column, cut) for node, column, cut in splits}, leaves)


@dataclass(frozen=True, slots=True)
class TreeModel:
    """``cuts`` of this party's own columns; ``trees`` with its own splits and its shares of the leaves."""

    engine: str
    columns: tuple[str, ...]
    cuts: Cuts = field(repr=False)
    base_score: float
    trees: tuple[SavedTree, ...] = field(repr=False)

    @property
    def opened(self) -> dict[str, float]:
        """How often each own column splits, which its owner knows from its splits."""
        counts = Counter(column for tree in self.trees for column, _ in tree.splits.values())
        return {self.columns[column]: float(count) for column, count in sorted(counts.items())}

    def to_state(self) -> bytes:
        """Bytes to be sealed."""
        return canonical.encode(
            {
                "version": _VERSION,
                "algorithm": "gbdt",
                "engine": self.engine,
                "columns": list(self.columns),
                "n_bins": self.cuts.n_bins,
                "cuts": [cuts.astype("<f4").tobytes() for cuts in self.cuts.columns],
                "base_score": self.base_score,
                "trees": [tree.to_plain() for tree in self.trees],
            }
        )

    @classmethod
    def from_state(cls, state: bytes) -> TreeModel:
        """The model of a state that this node sealed."""
        data: dict[str, Any] = canonical.decode_untrusted(state, _MAX_STATE)
        if data.get("version") != _VERSION or data.get("algorithm") != "gbdt":
            raise DataError("the model was saved by another version of hansa", remedy="train the model anew")
        cuts = tuple(np.frombuffer(each, dtype="<f4").copy() for each in data["cuts"])
        return cls(
            data["engine"],
            tuple(data["columns"]),
            Cuts(cuts, data["n_bins"]),
            data["base_score"],
            tuple(SavedTree.from_plain(tree) for tree in data["trees"]),
        )


@dataclass(frozen=True, slots=True)
class ReleasedTrees:
    """Trees in plain: of every inner node, level by level, the feature (counted over all parties) and the float32 cut that
    values of the left side are below; leaves (2^depth,) with the learning rate in them."""

    parties: tuple[tuple[str, tuple[str, ...]], ...]
    base_score: float
    splits: tuple[tuple[tuple[int, float], ...], ...]
    leaves: tuple[NDArray[np.float64], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; ``xgboost`` is what ``xgboost.Booster.load_model`` takes, as JSON."""
        return {"format": "hansa-gbdt", "version": _VERSION, "xgboost": self.xgboost()}

    def xgboost(self) -> dict[str, Any]:
        """The model in XGBoost's JSON format (schema of versions 1.7 to 3)."""
        features = [f"{name}.{column}" for name, columns in self.parties for column in columns]
        trees = [
            _xgboost_tree(number, splits, leaves, len(features))
            for number, (splits, leaves) in enumerate(zip(self.splits, self.leaves, strict=True))
        ]
        return {
            "version": [2, 0, 3],
            "learner": {
                "attributes": {},
                "feature_names": features,
                "feature_types": ["float"] * len(features),
                "gradient_booster": {
                    "name": "gbtree",
                    "model": {
                        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
                        "iteration_indptr": list(range(len(trees) + 1)),
                        "tree_info": [0] * len(trees),
                        "trees": trees,
                    },
                },
                "learner_model_param": {
                    "base_score": repr(self.base_score),
                    "boost_from_average": "1",
                    "num_class": "0",
                    "num_feature": str(len(features)),
                    "num_target": "1",
                },
                "objective": {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}},
            },
        }


def _xgboost_tree(
    number: int, splits: Sequence[tuple[int, float]], leaves: NDArray[np.float64], features: int
) -> dict[str, Any]:
    """A complete tree, its nodes level by level; a leaf's value stands where an inner node has its cut."""
    inner, nodes = len(splits), len(splits) + len(leaves)
    nothing = [0.0] * nodes
    return {
        "id": number,
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(features),
            "num_nodes": str(nodes),
            "size_leaf_vector": "1",
        },
        "base_weights": [0.0] * inner + leaves.tolist(),
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": [0] * nodes,
        "left_children": [2 * node + 1 for node in range(inner)] + [-1] * len(leaves),
        "right_children": [2 * node + 2 for node in range(inner)] + [-1] * len(leaves),
        "loss_changes": nothing,
        "parents": [2147483647, *((node - 1) // 2 for node in range(1, nodes))],
        "split_conditions": [cut for _, cut in splits] + leaves.tolist(),
        "split_indices": [feature for feature, _ in splits] + [0] * len(leaves),
        "split_type": [0] * nodes,
        "sum_hessian": nothing,
    }
