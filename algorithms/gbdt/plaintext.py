"""The same boosting on pooled plaintext bins: the reference that the secret model is measured against."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.gbdt.params import Params
from hansa.algorithms.plaintext import sigmoid

Vector = NDArray[np.float64]
Bins = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class PlainTree:
    """``splits``: (column, bin) of inner nodes, level by level; ``leaves`` (2^depth,)."""

    splits: tuple[tuple[int, int], ...]
    leaves: Vector = field(repr=False)

    def places(self, bins: Bins) -> NDArray[np.int64]:
        """The leaf of every row."""
        at = np.zeros(len(bins), dtype=np.int64)
        depth = len(self.leaves).bit_length() - 1
        first = 0
        for level in range(depth):
            splits = np.array(self.splits[first : first + (1 << level)])
            column, cut = splits[at].T
            at = 2 * at + (bins[np.arange(len(bins)), column] > cut)
            first += 1 << level
        return at


def train(bins: Bins, label: Vector, params: Params) -> tuple[list[PlainTree], Vector]:
    """Trees and margins of all rows; ``bins`` of all columns, (rows, columns)."""
    margins, trees = _start(len(bins), params), []
    for _ in range(params.n_estimators):
        p = sigmoid(margins)
        tree = grow(bins, p - label, p * (1 - p), params)
        margins = margins + tree.leaves[tree.places(bins)]
        trees.append(tree)
    return trees, margins


def predict(trees: list[PlainTree], bins: Bins, params: Params) -> Vector:
    """The margins of rows."""
    return _start(len(bins), params) + sum(tree.leaves[tree.places(bins)] for tree in trees)


def _start(rows: int, params: Params) -> Vector:
    return np.full(rows, math.log(params.base_score / (1 - params.base_score)))


def grow(bins: Bins, gradient: Vector, hessian: Vector, params: Params) -> PlainTree:
    """One complete tree; a node that must not split passes its value on."""
    rows = len(bins)
    at, splits = np.zeros(rows, dtype=np.int64), []
    value, stopped = None, np.zeros(1, dtype=bool)
    for level in range(params.max_depth + 1):
        nodes = 1 << level
        total = np.stack([np.bincount(at, v, nodes).astype(np.float64) for v in (gradient, hessian)])
        own = -total[0] / (total[1] + params.reg_lambda)
        value = own if value is None else np.where(np.repeat(stopped, 2), np.repeat(value, 2), own)
        if level == params.max_depth:
            break
        stopped = np.repeat(stopped, 2) if level else stopped
        found, gains = best_splits(bins, at, gradient, hessian, total, params)
        stopped = stopped | ~(gains > params.gamma)
        splits += found
        column, cut = np.array(found)[at].T
        at = 2 * at + (bins[np.arange(rows), column] > cut)
    assert value is not None
    return PlainTree(tuple(splits), value * params.learning_rate)


def best_splits(
    bins: Bins, at: NDArray[np.int64], gradient: Vector, hessian: Vector, total: Vector, params: Params
) -> tuple[list[tuple[int, int]], Vector]:
    """Each node's best (column, bin), the first of equal ones, and its gain over the node's own score."""
    nodes, columns = total.shape[1], bins.shape[1]
    sums = np.empty((2, nodes, columns, params.max_bin))
    for j in range(columns):
        keys = at * params.max_bin + bins[:, j]
        for k, v in enumerate((gradient, hessian)):
            sums[k, :, j] = np.bincount(keys, v, nodes * params.max_bin).reshape(nodes, -1)
    left = sums.cumsum(3)[..., :-1].reshape(2, nodes, -1)
    right = total[:, :, None] - left
    with np.errstate(divide="ignore", invalid="ignore"):
        score = left[0] ** 2 / (left[1] + params.reg_lambda) + right[0] ** 2 / (right[1] + params.reg_lambda)
    heavy = (left[1] >= params.min_child_weight) & (right[1] >= params.min_child_weight)
    score = np.where(heavy, score, -np.inf)
    best = score.argmax(axis=1)
    own = total[0] ** 2 / (total[1] + params.reg_lambda)
    return [divmod(int(b), params.max_bin - 1) for b in best], score[np.arange(nodes), best] - own
