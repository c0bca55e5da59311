"""Our trees in plain against XGBoost's on the same bins: a parameter has XGBoost's meaning if the margins are XGBoost's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hansa.algorithms.gbdt import plaintext, xgboost_adapter
from hansa.algorithms.gbdt.params import TreeParams

pytest.importorskip("xgboost", reason="xgboost is not installed: our trees are NOT compared with XGBoost's")

BINS = 12
USUAL = TreeParams(n_estimators=5, max_depth=3, max_bin=BINS)
CHANGED = [
    {"max_depth": 1},
    {"max_depth": 2},
    {"max_depth": 4},
    {"reg_lambda": 0.0},
    {"reg_lambda": 30.0},
    {"reg_alpha": 20.0},
    {"reg_alpha": 60.0, "max_depth": 4, "gamma": 3.0},
    {"gamma": 4.0},
    {"gamma": 25.0, "max_depth": 4},
    {"min_child_weight": 40.0},
    {"min_child_weight": 0.0, "reg_lambda": 0.5},
    {"min_child_weight": 30.0, "gamma": 6.0, "max_depth": 4},
    {"learning_rate": 0.05},
    {"learning_rate": 1.0},
    {"base_score": 0.2},
    {"base_score": 0.9, "max_depth": 4, "reg_lambda": 3.0},
    {"scale_pos_weight": 5.0},
    {"n_estimators": 1},
    {"n_estimators": 20, "max_depth": 4, "learning_rate": 0.2},
    {"missing": True},
    {"missing": True, "max_depth": 2, "reg_alpha": 5.0},
    {"max_cat_to_onehot": 20},
    {"max_cat_to_onehot": 20, "missing": True},
]
OTHERS = [
    {"objective": "reg:squarederror"},
    {"objective": "reg:squarederror", "base_score": 3.0, "gamma": 40.0, "reg_alpha": 30.0},
    {"objective": "multi:softprob", "num_class": 4},
    {"objective": "multi:softprob", "num_class": 4, "reg_alpha": 9.0, "max_depth": 2},
    {"objective": "count:poisson"},
    {"objective": "count:poisson", "base_score": 2.0, "learning_rate": 1.0},
]
ROWS, TRAINED = 6000, slice(0, 5000)


def problem(params: TreeParams) -> tuple[Any, Any, Any, tuple[bool, ...]]:
    """Bins, labels, weights and which columns hold categories; so that no two candidates of a node have the same gain."""
    rng = np.random.default_rng(11)
    bins = rng.integers(0, BINS, (ROWS, 6), dtype=np.uint8)
    x = bins / BINS - 0.5
    margin = 3 * x[:, 0] - 6 * x[:, 1] * x[:, 2] + np.sin(9 * x[:, 3]) - 0.8
    with_classes = params.missing or params.max_cat_to_onehot > BINS
    categorical = (False, False, False, with_classes, with_classes, False)
    if params.missing:
        numbers = [not kind for kind in categorical]
        bins[(rng.random(bins.shape) < 0.1) & numbers] = BINS
    match params.objective:
        case "reg:squarederror":
            label = 10 * margin + rng.standard_normal(ROWS)
        case "multi:softprob":
            label = np.digitize(margin + rng.standard_normal(ROWS), [-1.5, -0.5, 0.8]).astype(np.float64)
        case "count:poisson":
            label = rng.poisson(np.exp(margin / 2)).astype(np.float64)
        case _:
            label = (rng.random(ROWS) < 1 / (1 + np.exp(-margin))).astype(np.float64)
    weights = 0.5 + rng.random(ROWS) if params.missing or params.objective != USUAL.objective else None
    return bins, label, weights, categorical


def both(params: TreeParams, told: TreeParams) -> tuple[Any, Any]:
    """Our margins and XGBoost's, (rows, groups), of the 5,000 rows trained on and of 1,000 others.

    XGBoost is ``told`` other parameters if asked, and may make 256 bins: every bin's number is a cut of its own.
    """
    bins, label, weights, categorical = problem(params)
    of_trained = None if weights is None else weights[TRAINED]
    model, _ = plaintext.train(bins[TRAINED], label[TRAINED], params, categorical=categorical, weights=of_trained)
    numbers = np.where(bins == BINS, np.nan, bins.astype(np.float64))
    booster = xgboost_adapter.train(
        numbers[TRAINED], label[TRAINED], replace(told, max_bin=256), weights=of_trained, categorical=categorical
    )
    ours = model.margins(bins).T * model.unit.scale + model.unit.center
    return ours, xgboost_adapter.margins(booster, numbers, categorical).reshape(ours.shape)


@pytest.mark.parametrize("changed", CHANGED + OTHERS, ids=str)
def test_margins_are_xgboosts(changed: dict[str, Any]) -> None:
    params = replace(USUAL, **changed)
    ours, theirs = both(params, params)
    assert np.max(np.abs(ours - theirs)) < 1e-4 * max(1.0, float(ours.std()))


@pytest.mark.parametrize(
    "name", sorted({name for changed in CHANGED for name in changed} - {"missing", "max_cat_to_onehot"})
)
def test_every_parameter_is_told_to_xgboost_and_matters(name: str) -> None:
    """So that the test above would notice one that either side leaves out."""
    other = next(changed[name] for changed in CHANGED if name in changed)
    ours, theirs = both(USUAL, replace(USUAL, **{name: other}))
    assert np.max(np.abs(ours - theirs)) > 1e-2
