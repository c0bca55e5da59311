"""Released trees, and the same in XGBoost's JSON format (schema of versions 1.7 to 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_VERSION = 2
_OBJECTIVES: dict[str, dict[str, Any]] = {
    "binary:logistic": {"reg_loss_param": {"scale_pos_weight": "1"}},
    "reg:squarederror": {"reg_loss_param": {"scale_pos_weight": "1"}},
    "multi:softprob": {"softmax_multiclass_param": {"num_class": "0"}},
    "count:poisson": {"poisson_regression_param": {"max_delta_step": "0.7"}},
}


class PlainSplit(NamedTuple):
    """A node's split in plain. ``feature``: counted over all parties. Values below the float32 ``cut`` go left, and empty cells
    if ``empty_left``. ``right``: the codes of categories that go right, None for numbers."""

    feature: int
    cut: float
    empty_left: bool
    right: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class ReleasedTrees:
    """Trees in plain. ``splits``: of every inner node, level by level. ``leaves`` (2^depth,): times the learning rate, in the
    label's own unit. ``base_score``: XGBoost's. ``categories``: by feature, those with the codes 0, 1, ...; all others, new
    ones, and empty cells have the code after the last.
    """

    parties: tuple[tuple[str, tuple[str, ...]], ...]
    objective: str
    groups: int
    base_score: float
    splits: tuple[tuple[PlainSplit, ...], ...]
    leaves: tuple[NDArray[np.float64], ...]
    categories: dict[str, tuple[str, ...]]

    @property
    def features(self) -> list[str]:
        """All parties' columns, PARTY.COLUMN."""
        return [f"{name}.{column}" for name, columns in self.parties for column in columns]

    def to_json(self) -> dict[str, Any]:
        """Plain data; ``xgboost`` is what ``xgboost.Booster.load_model`` takes, as JSON."""
        categories = {name: list(codes) for name, codes in self.categories.items()}
        return {"format": "hansa-gbdt", "version": _VERSION, "categories": categories, "xgboost": self.xgboost()}

    def xgboost(self) -> dict[str, Any]:
        """The model in XGBoost's JSON format."""
        features = self.features
        trees = [
            _tree(number, splits, leaves, len(features))
            for number, (splits, leaves) in enumerate(zip(self.splits, self.leaves, strict=True))
        ]
        classes = str(self.groups if self.groups > 1 else 0)
        objective = {"name": self.objective, **_OBJECTIVES[self.objective]}
        if self.groups > 1:
            objective["softmax_multiclass_param"] = {"num_class": classes}
        return {
            "version": [2, 0, 3],
            "learner": {
                "attributes": {},
                "feature_names": features,
                "feature_types": ["c" if name in self.categories else "float" for name in features],
                "gradient_booster": {
                    "name": "gbtree",
                    "model": {
                        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
                        "iteration_indptr": list(range(0, len(trees) + 1, self.groups)),
                        "tree_info": [number % self.groups for number in range(len(trees))],
                        "trees": trees,
                    },
                },
                "learner_model_param": {
                    "base_score": repr(self.base_score),
                    "boost_from_average": "1",
                    "num_class": classes,
                    "num_feature": str(len(features)),
                    "num_target": "1",
                },
                "objective": objective,
            },
        }


def _tree(number: int, splits: Sequence[PlainSplit], leaves: NDArray[np.float64], features: int) -> dict[str, Any]:
    """A complete tree, its nodes level by level. A leaf's weight stands where an inner node has its cut."""
    inner, nodes = len(splits), len(splits) + len(leaves)
    nothing = [0.0] * nodes
    of_classes = [(node, split.right) for node, split in enumerate(splits) if split.right is not None]
    sizes = [len(right) for _, right in of_classes]
    return {
        "id": number,
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(features),
            "num_nodes": str(nodes),
            "size_leaf_vector": "1",
        },
        "base_weights": [0.0] * inner + leaves.tolist(),
        "categories": [code for _, right in of_classes for code in right],
        "categories_nodes": [node for node, _ in of_classes],
        "categories_segments": [sum(sizes[:place]) for place in range(len(sizes))],
        "categories_sizes": sizes,
        "default_left": [int(split.empty_left) for split in splits] + [0] * len(leaves),
        "left_children": [2 * node + 1 for node in range(inner)] + [-1] * len(leaves),
        "right_children": [2 * node + 2 for node in range(inner)] + [-1] * len(leaves),
        "loss_changes": nothing,
        "parents": [2147483647, *((node - 1) // 2 for node in range(1, nodes))],
        "split_conditions": [split.cut for split in splits] + leaves.tolist(),
        "split_indices": [split.feature for split in splits] + [0] * len(leaves),
        "split_type": [int(split.right is not None) for split in splits] + [0] * len(leaves),
        "sum_hessian": nothing,
    }
