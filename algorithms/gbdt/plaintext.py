"""The same boosting on pooled plaintext bins: the reference that the secret model is measured against."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.gbdt.bins import Bins
from hansa.algorithms.gbdt.layout import Candidates, Layout, Split
from hansa.algorithms.gbdt.objectives import Objective, Unit, objective_of, sample_weights
from hansa.algorithms.gbdt.params import TreeParams
from hansa.algorithms.gbdt.training import sampling
from hansa.protocols.arrays import Vector


@dataclass(frozen=True, slots=True)
class PlainTree:
    """``splits`` of inner nodes, level by level; ``leaves`` (2^depth,); ``facts`` (3, nodes) as in ``training.tree.Tree``."""

    splits: tuple[Split, ...]
    leaves: Vector = field(repr=False)
    facts: Vector = field(repr=False)

    def places(self, bins: Bins) -> NDArray[np.int64]:
        """The leaf of every row."""
        at = np.zeros(len(bins), dtype=np.int64)
        first = 0
        for level in range(len(self.leaves).bit_length() - 1):
            at = _below(self.splits[first : first + (1 << level)], bins, at)
            first += 1 << level
        return at


@dataclass(frozen=True, slots=True)
class PlainModel:
    """``trees``: of each round one after another. The unit's ``base`` is the margin before all trees."""

    objective: Objective
    unit: Unit
    trees: list[PlainTree]

    def margins(self, bins: Bins) -> Vector:
        """(groups, rows)."""
        groups = self.objective.groups
        out = np.full((groups, len(bins)), self.unit.base)
        for number, tree in enumerate(self.trees):
            out[number % groups] += tree.leaves[tree.places(bins)]
        return out

    def predict(self, bins: Bins) -> Vector:
        """Probabilities, (rows,) or (rows, classes), means of counts, or numbers in the label's own unit."""
        return self.objective.plain_predictions(self.margins(bins)) * self.unit.scale + self.unit.center


def train(
    bins: Bins,
    label: Vector,
    params: TreeParams,
    *,
    categorical: tuple[bool, ...] | None = None,
    weights: Vector | None = None,
    seed: bytes = bytes(16),
) -> tuple[PlainModel, Vector]:
    """The model, and the margins (groups, rows). ``bins``: of all parties' columns, (rows, columns), as if one party had them."""
    rows, columns = bins.shape
    objective = objective_of(params.objective, params.num_class)
    unit = objective.unit(label, params.base_score)
    layout = Layout.of(params, (categorical or (False,) * columns,))
    targets = objective.targets(label, unit)
    heavy = sample_weights(label, weights, params.scale_pos_weight)
    margins, trees = np.full((objective.groups, rows), unit.base), list[PlainTree]()
    for number in range(params.n_estimators):
        derivatives = objective.plain_derivatives(margins, targets)
        seen = sampling.rows(seed, number, rows, params.subsample)
        factor = (1.0 if seen is None else seen.astype(np.float64)) * (1.0 if heavy is None else heavy)
        c = layout.among(sampling.columns(seed, number, [columns], params.colsample_bytree))
        grown = [
            grow(bins, g * factor, h * factor, c, params, unit, objective.max_step)
            for g, h in zip(*derivatives, strict=True)
        ]
        margins += np.stack([tree.leaves[tree.places(bins)] for tree in grown])
        trees += grown
    return PlainModel(objective, unit, trees), margins


def grow(
    bins: Bins, gradient: Vector, hessian: Vector, c: Candidates, params: TreeParams, unit: Unit, max_step: float
) -> PlainTree:
    """One complete tree. All leaves below a stopped node have the node's own weight."""
    rows = len(bins)
    alpha, gamma = params.reg_alpha / unit.scale, params.gamma / unit.scale**2
    at, splits = np.zeros(rows, dtype=np.int64), list[Split]()
    value, going, facts = None, np.ones(1, dtype=bool), []
    for level in range(params.max_depth + 1):
        nodes = 1 << level
        total = np.stack([np.bincount(at, v, nodes).astype(np.float64) for v in (gradient, hessian)])
        own = -_thresholded(total[0], alpha) / (total[1] + params.reg_lambda)
        own = np.clip(own, -max_step, max_step) if max_step else own
        value = own if value is None else np.where(going, own, np.repeat(value, 2))
        if level == params.max_depth:
            break
        found, gains = best_splits(bins, at, np.stack((gradient, hessian)), total, c, params, alpha)
        splits += found
        going = going & (gains > gamma)
        facts.append(np.where(going, np.stack((going, gains, total[1])), 0.0))
        at = _below(found, bins, at)
        going = np.repeat(going, 2)
    assert value is not None
    return PlainTree(tuple(splits), value * params.learning_rate, np.concatenate(facts, axis=1))


def best_splits(
    bins: Bins, at: NDArray[np.int64], vectors: Vector, total: Vector, c: Candidates, params: TreeParams, alpha: float
) -> tuple[list[Split], Vector]:
    """Each node's best split, the first of equally good ones, and its gain."""
    nodes, width = total.shape[1], c.layout.bins_of_column
    sums = np.empty((2, nodes, bins.shape[1], width))
    for j in range(bins.shape[1]):
        keys = at * width + bins[:, j]
        for k, v in enumerate(vectors):
            sums[k, :, j] = np.bincount(keys, v, nodes * width).reshape(nodes, -1)
    left, sets = left_sums(sums, c, params.reg_lambda)
    right = total[:, :, None] - left
    with np.errstate(divide="ignore", invalid="ignore"):
        score = sum(_thresholded(g, alpha) ** 2 / (h + params.reg_lambda) for g, h in (left, right))
    heavy = (left[1] >= params.min_child_weight) & (right[1] >= params.min_child_weight)
    score = np.where(heavy, score, -np.inf)
    best = score.argmax(axis=1)
    own = _thresholded(total[0], alpha) ** 2 / (total[1] + params.reg_lambda)
    splits = [c.split(0, int(place), int(sets[node, place])) for node, place in enumerate(best)]
    return splits, score[np.arange(nodes), best] - own


def left_sums(sums: Vector, c: Candidates, smoothing: float) -> tuple[Vector, NDArray[np.uint64]]:
    """From histograms (2, nodes, columns, bins) the left sums (2, nodes, candidates), and the sets that candidates carry."""
    layout = c.layout
    nodes = sums.shape[1]
    prefixes = sums[:, :, c.numbers[0], : layout.n_bins].cumsum(3)
    ordered = prefixes if layout.missing else prefixes[..., :-1]
    if layout.missing:
        ordered = np.concatenate((ordered, prefixes[..., :-1] + sums[:, :, c.numbers[0], layout.n_bins :]), axis=3)
    categories = sums[:, :, c.categorical[0], : layout.categories]
    sets = np.zeros((*categories.shape[1:3], layout.subsets), dtype=np.uint64)
    if not layout.one_hot and categories.size:
        order = np.argsort(categories[0] / (categories[1] + smoothing), axis=2, kind="stable")
        categories = np.take_along_axis(categories, order[None], axis=3).cumsum(3)[..., :-1]
        sets = (np.uint64(1) << order.astype(np.uint64)).cumsum(2, dtype=np.uint64)[..., :-1]
    line = np.concatenate([part.reshape(2, nodes, -1) for part in (ordered, categories)], axis=2)
    none = np.zeros((nodes, line.shape[2] - sets[0].size), dtype=np.uint64)
    return line, np.concatenate((none, sets.reshape(nodes, -1)), axis=1)


def _below(splits: tuple[Split, ...] | list[Split], bins: Bins, at: NDArray[np.int64]) -> NDArray[np.int64]:
    """The node of the next level that each row goes to."""
    right = np.stack([1 - split.sides(bins) for split in splits])
    return 2 * at + right[at, np.arange(len(bins))]


def _thresholded(gradient: Vector, alpha: float) -> Vector:
    return np.sign(gradient) * np.maximum(np.abs(gradient) - alpha, 0.0)
