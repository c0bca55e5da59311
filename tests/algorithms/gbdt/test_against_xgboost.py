"""Our trees in plain against XGBoost's on the same bins: a parameter has XGBoost's meaning if the margins are XGBoost's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hansa.algorithms import by_xgboost
from hansa.algorithms.gbdt import plaintext
from hansa.algorithms.gbdt.params import Params

pytest.importorskip("xgboost", reason="xgboost is not installed: our trees are NOT compared with XGBoost's")

BINS = 12
USUAL = Params(n_estimators=5, max_depth=3, max_bin=BINS)
CHANGED = [
    {"max_depth": 1},
    {"max_depth": 2},
    {"max_depth": 4},
    {"reg_lambda": 0.0},
    {"reg_lambda": 30.0},
    {"gamma": 4.0},
    {"gamma": 25.0, "max_depth": 4},
    {"min_child_weight": 40.0},
    {"min_child_weight": 0.0, "reg_lambda": 0.5},
    {"min_child_weight": 30.0, "gamma": 6.0, "max_depth": 4},
    {"learning_rate": 0.05},
    {"learning_rate": 1.0},
    {"base_score": 0.2},
    {"base_score": 0.9, "max_depth": 4, "reg_lambda": 3.0},
    {"n_estimators": 1},
    {"n_estimators": 20, "max_depth": 4, "learning_rate": 0.2},
]


def problem(rows: int) -> tuple[Any, Any]:
    """Bins and labels; so many rows that no two candidates of a node have the same gain."""
    rng = np.random.default_rng(11)
    bins = rng.integers(0, BINS, (rows, 6), dtype=np.uint8)
    x = bins / BINS - 0.5
    margin = 3 * x[:, 0] - 6 * x[:, 1] * x[:, 2] + np.sin(9 * x[:, 3]) - 0.8
    return bins, (rng.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.float64)


def both(params: Params, told: Params) -> tuple[Any, Any]:
    """Our margins and XGBoost's, of the 5,000 rows trained on and of 1,000 others.

    XGBoost is ``told`` other parameters if asked, and may make 256 bins: every bin's number is a cut of its own.
    """
    bins, label = problem(6000)
    trees, _ = plaintext.train(bins[:5000], label[:5000], params)
    numbers = bins.astype(np.float64)
    booster = by_xgboost.train(numbers[:5000], label[:5000], replace(told, max_bin=256))
    return plaintext.predict(trees, bins, params), by_xgboost.margins(booster, numbers)


@pytest.mark.parametrize("changed", CHANGED, ids=str)
def test_margins_are_xgboosts(changed: dict[str, Any]) -> None:
    params = replace(USUAL, **changed)
    ours, theirs = both(params, params)
    assert np.max(np.abs(ours - theirs)) < 1e-4


@pytest.mark.parametrize("name", sorted({name for changed in CHANGED for name in changed}))
def test_every_parameter_is_told_to_xgboost_and_matters(name: str) -> None:
    """So that the test above would notice one that either side leaves out."""
    other = next(changed[name] for changed in CHANGED if name in changed)
    ours, theirs = both(USUAL, replace(USUAL, **{name: other}))
    assert np.max(np.abs(ours - theirs)) > 1e-2
