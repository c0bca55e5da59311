"""Released trees: what all learn, that XGBoost scores as we do, and what a peer may not tell."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from support.engines import additive_dealt
from support.gbdt_cases import NAMES, Case, F, make, train
from support.job_ends import Quiet
from support.slow import slow

from hansa.algorithms.gbdt import learner
from hansa.algorithms.gbdt.bins import levels_of
from hansa.algorithms.gbdt.model.release import _read, release
from hansa.algorithms.gbdt.model.tree_model import TreeModel
from hansa.algorithms.gbdt.model.xgboost_format import ReleasedTrees
from hansa.algorithms.gbdt.params import params_of
from hansa.algorithms.gbdt.training import boost
from hansa.algorithms.learner import Step
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import decode


async def trained_and_released(case: Case) -> tuple[list[ReleasedTrees], Any, Any]:
    """The released model at each party; margins of all rows, and scores as their receiver has them, under MPC."""

    async def party(e: Engine) -> Any:
        found = await train(e, case)
        rank, terms = e.session.rank, case.terms_of(2)
        model = TreeModel.from_state(found.model.to_state())
        table = case.table(rank, 2)
        bins = model.cuts.apply(table.features, levels_of(table.columns, table.levels))
        trees = [learner.loaded(e, tree) for tree in model.trees]
        margins = await boost.predict(e, trees, bins, e.share_from_state(model.base))
        (opened,) = await e.open(margins, what="margins")
        scores = await learner.scores(e, terms, model, table)
        (seen,) = await e.open(scores.values, what="scores")
        plain = await release(e, terms, params_of(terms), model, Step(e, Quiet()))
        return plain, decode(opened, F), scores.finish(decode(seen, F))

    results = await additive_dealt(2)(party)
    return [result[0] for result in results], results[0][1], results[1][2]


def codes(case: Case, model: ReleasedTrees) -> Any:
    """Features as XGBoost takes them: categories by their codes."""
    x = case.x.copy()
    for place, kind in enumerate(case.categorical):
        if kind:
            kept = model.categories[model.features[place]]
            table = [kept.index(letter) if letter in kept else len(kept) for letter in "abcdefghij"] + [len(kept)]
            x[:, place] = np.array(table)[np.where(np.isnan(x[:, place]), 10, x[:, place]).astype(int)]
    return x


def walk(model: ReleasedTrees, x: Any) -> Any:
    """Margins of the released model, (rows, groups), by its own fields, in plain."""
    out = np.zeros((len(x), model.groups))
    for number, (splits, leaves) in enumerate(zip(model.splits, model.leaves, strict=True)):
        at = np.zeros(len(x), dtype=np.int64)
        for row, values in enumerate(x.astype(np.float32)):
            while at[row] < len(splits):
                split = splits[at[row]]
                value = values[split.feature]
                if np.isnan(value):
                    left = split.empty_left
                elif split.right is not None:
                    left = int(value) not in split.right
                else:
                    left = value < np.float32(split.cut)
                at[row] = 2 * at[row] + (1 if left else 2)
        out[:, number % model.groups] += leaves[at - len(splits)]
    return out


LIKE_LOGISTIC = ("alpha", "samples", "weights")
"""A release shows no difference between these and ``logistic``."""


@pytest.mark.parametrize("name", [slow(name) if name in LIKE_LOGISTIC else name for name in NAMES])
async def test_xgboost_scores_as_we_do(name: str) -> None:
    xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed: its reading of our models is not tested")
    case = make(name, rows=250)
    released, margins, scores = await trained_and_released(case)
    model = released[0]
    assert json.dumps(model.to_json()) == json.dumps(released[1].to_json())
    x = codes(case, model)
    scale = float(np.ptp(case.y)) if name == "squared error" else 1.0
    base = {"squared error": model.base_score, "poisson": np.log(model.base_score), "softmax": 0.5}
    begin = base.get(name, np.log(model.base_score / (1 - model.base_score)) if name not in base else 0.0)
    plain = walk(model, x) + begin
    opened, unit = margins.T, 1.0
    if name == "squared error":
        unit = 2.0 ** np.ceil(np.log2(2 * np.abs(case.y - case.y.mean()).max()))
        opened = opened * unit + case.y.mean()
    assert np.abs(opened - plain).max() < len(model.splits) * 2.0**-17 * unit
    booster = xgboost.Booster()
    booster.load_model(bytearray(json.dumps(model.to_json()["xgboost"]).encode()))
    kinds = model.xgboost()["learner"]["feature_types"]
    data = xgboost.DMatrix(x, feature_names=model.features, feature_types=kinds, enable_categorical=True)
    theirs = booster.predict(data, output_margin=True).reshape(len(x), -1)
    assert np.abs(theirs - plain).max() < 1e-6 * max(1.0, scale)
    assert np.abs(booster.predict(data) - scores).max() < 1e-3 * scale


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        [[], []],
        [[[0, 1.0, False, None]] * 2, []],
        [[[2, 1.0, False, None]], []],
        [[[-1, 1.0, False, None]], []],
        [[[True, 1.0, False, None]], []],
        [[[0, float("nan"), False, None]], []],
        [[[0, "1", False, None]], []],
        [[[0, 1.0, 0, None]], []],
        [[[0, 1.0, False, [1]]], []],
        [[[0, 0.0, False, [3]]], [[0, ["a", "b"]]]],
        [[[0, 0.0, False, [True]]], [[0, ["a", "b"]]]],
        [[[0, 1.0, False, None]], [[0, ["a"]]]],
        [[[0, 1.0, False, None]], [[5, ["a"]]]],
        [[[0, 1.0, False, None]], [[1, [7]]]],
        [[[0, 1.0, False, None]], [[1, ["a"] * 64]]],
        [[[0, 1.0, False, None]], [[1, ["a" * 2000]]]],
        [[[0, 1.0, False, None]], [1]],
    ],
)
def test_what_a_peer_tells_of_its_splits_is_checked(told: Any) -> None:
    with pytest.raises(PeerMisbehaved, match="party-1 sent"):
        _read(make("logistic").terms_of(2), 1, told, 1)
