"""Whole jobs of owners and an enclave, against the libraries on pooled rows, and what is opened to whom."""

import json
import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.enclave_members import GBDT, LR, allowed, run, tables, terms, train
from support.job_ends import Quiet

from hansa.algorithms import leakage
from hansa.algorithms.enclave import owner, statement
from hansa.algorithms.enclave.model import EnclaveModel
from hansa.algorithms.enclave.pool import pack_state, unpack_state
from hansa.algorithms.errors import DataError
from hansa.algorithms.gbdt import xgboost_adapter
from hansa.algorithms.gbdt.params import TreeParams
from hansa.algorithms.lr.standardise import Standardisation
from hansa.algorithms.metrics import TASKS, evaluate_as
from hansa.algorithms.split import split_order
from hansa.node.worker.enclave import ModelSealer
from hansa.protocols.errors import PeerAborted, PeerMisbehaved, SecurityError
from hansa.protocols.mpc.session.memory import outcomes_of_parties, parties
from hansa.protocols.psi.ddh import in_common_order

pytest.importorskip("xgboost", reason="the extra 'enclave' is not installed")
pytest.importorskip("sklearn", reason="the extra 'enclave' is not installed")


def pooled(t, data):
    """Features and label of the common rows, in the order of the split, and how many train: as MPC's parties have them."""
    common = sorted(set.intersection(*(set(table.keys) for table in data)))
    keys = [common[i] for i in in_common_order(common, t.seed)]
    order, train_rows = split_order(t.seed, len(keys), t.test_fraction)
    places = [{key: row for row, key in enumerate(table.keys)} for table in data]
    rows = [np.array([place[keys[i]] for i in order]) for place in places]
    x = np.hstack([table.features[some] for table, some in zip(data, rows, strict=True)])
    return x, data[0].label[rows[0]], train_rows, rows


@pytest.mark.parametrize(
    ("task", "params"),
    [
        ("binary", GBDT),
        ("classes", {**GBDT, "objective": "multi:softprob", "num_class": 3}),
        ("real", {**GBDT, "objective": "reg:squarederror"}),
        ("count", {**GBDT, "objective": "count:poisson"}),
    ],
)
async def test_trees_are_xgboosts_on_the_pooled_rows(task, params, sealer):
    t = terms(params=params, n=3)
    data = tables(t, task=task)
    outcomes = await train(t, data, sealer)
    x, y, n, rows = pooled(t, data)
    booster = xgboost_adapter.train(x[:n].astype(np.float32), y[:n], TreeParams(**params))
    margins = xgboost_adapter.margins(booster, x[n:].astype(np.float32))
    expected = {
        "binary": lambda m: 1 / (1 + np.exp(-m)),
        "classes": lambda m: np.exp(m) / np.exp(m).sum(axis=1, keepdims=True),
        "real": lambda m: m,
        "count": np.exp,
    }[task](margins)
    scores = outcomes[0].scores
    assert np.array_equal(scores.rows, rows[0][n:])
    assert np.allclose(scores.values, expected, atol=1e-5)
    assert [outcome.scores for outcome in outcomes[1:]] == [None, None]
    assert [(o.rows, o.test_rows) for o in outcomes] == [(400, 100)] * 3
    exact = evaluate_as(task, y[n:], expected)
    assert list(outcomes[0].metrics) == list(TASKS[task])
    assert outcomes[0].metrics == outcomes[1].metrics == outcomes[2].metrics == pytest.approx(exact, rel=2e-3, abs=1e-4)


async def test_regression_is_the_regularised_optimum(sealer):
    t = terms("lr")
    data = tables(t)
    outcomes = await train(t, data, sealer)
    x, y, n, _ = pooled(t, data)
    opened = [outcome.model.opened for outcome in outcomes]
    assert list(opened[0]) == [*t.column_names[0], "intercept"]
    assert list(opened[1]) == list(t.column_names[1])
    w = np.array([*list(opened[0].values())[:3], *opened[1].values()])
    z = Standardisation.fit(x[:n]).apply(x)
    p = 1 / (1 + np.exp(-(z @ w + opened[0]["intercept"])))
    gradient = z[:n].T @ (p[:n] - y[:n]) / n + LR["l2"] * w
    assert np.abs(gradient).max() < 1e-4
    assert abs(np.mean(p[:n] - y[:n])) < 1e-4
    assert np.allclose(outcomes[0].scores.values, p[n:])


async def test_every_opening_is_stated_and_recorded_by_all_alike(sealer):
    for t in (terms("lr"), terms("lr", weights="all"), terms(importance="all", training_metric="all")):
        seen = []
        await train(t, tables(t), sealer, sessions_seen=seen)
        stated = allowed(t, "train")
        for session in seen:
            assert {(record.what, record.to) for record in session.transcript.openings} == stated
    names = [what for what, _ in allowed(terms(params={**GBDT, "early_stopping_rounds": 2}), "train")]
    assert leakage.SPLIT_OWNERS not in names
    assert leakage.STOP not in names
    assert statement.MODEL_SIZE in names


async def test_an_answer_holds_what_is_opened_to_that_party_and_no_more(sealer):
    t = terms(importance="owner", training_metric="label-owner", metrics="label-owner")
    outcomes = await train(t, tables(t), sealer)
    bank, bureau = (outcome.model for outcome in outcomes)
    assert list(bank.importance) == ["bank"]
    assert list(bureau.importance) == ["bureau"]
    assert (len(bank.history), bureau.history) == (GBDT["n_estimators"], ())
    assert bank.history[-1] < bank.history[0]
    assert (outcomes[1].metrics, outcomes[1].scores) == (None, None)
    assert bank.closed == bureau.closed


async def test_a_model_scores_and_is_released_by_any_enclave_with_the_key(sealer):
    for algorithm in ("gbdt", "lr"):
        t = terms(algorithm, scores="all")
        data = tables(t)
        outcomes = await train(t, data, sealer)
        models = [EnclaveModel.from_state(outcome.model.to_state()) for outcome in outcomes]
        unlabelled = [replace(table, label=None) for table in data]

        async def score(s, models=models, t=t, unlabelled=unlabelled):
            seal = Sealed()
            return await owner.predict(s, t, models[s.rank], unlabelled[s.rank], seal, Quiet())

        (count, scores), (_, theirs) = await run(t, "predict", score, sealer=sealer)
        assert count == 400
        assert np.array_equal(scores.values, theirs.values)
        known = dict(zip(scores.rows.tolist(), scores.values.tolist(), strict=True))
        held = outcomes[0].scores
        assert [known[row] for row in held.rows.tolist()] == held.values.tolist()

        async def release(s, models=models, t=t):
            return await owner.release(s, t, models[s.rank], Quiet())

        plain = [released.to_json() for released in await run(t, "release", release, sealer=sealer)]
        assert plain[0] == plain[1]
        x = np.hstack([data[0].features[scores.rows], data[1].features[theirs.rows]])
        assert np.allclose(of_released(plain[0], x), scores.values, atol=1e-6)


def of_released(plain: dict[str, Any], x: np.ndarray) -> np.ndarray:
    if plain["format"] == "hansa-lr":
        fit = plain["sklearn"]
        return 1 / (1 + np.exp(-(x @ np.array(fit["coef_"][0]) + fit["intercept_"][0])))
    for tree in plain["xgboost"]["learner"]["gradient_booster"]["model"]["trees"]:
        assert not any(tree["sum_hessian"])
        assert not any(tree["loss_changes"])
    booster = xgboost_adapter.loaded(json.dumps(plain["xgboost"]).encode())
    names = plain["xgboost"]["learner"]["feature_names"]
    return xgboost_adapter.predictions(booster, x.astype(np.float32), [False] * x.shape[1], names)


async def test_a_release_has_nothing_of_how_the_training_went(sealer):
    """XGBoost writes down the best held out score in full where training stops early: enough to find the labels by trying."""
    t = terms(params={**GBDT, "n_estimators": 60, "early_stopping_rounds": 3, "validation_fraction": 0.2})
    outcomes = await train(t, tables(t), sealer)
    released = await run(t, "release", lambda s: owner.release(s, t, outcomes[s.rank].model, Quiet()), sealer=sealer)
    plain = released[0].to_json()["xgboost"]
    learner, model = plain["learner"], plain["learner"]["gradient_booster"]["model"]
    parts = {"attributes", "feature_names", "feature_types", "gradient_booster", "learner_model_param", "objective"}
    assert (set(plain), set(learner)) == ({"learner", "version"}, parts)
    assert set(model) <= {"cats", "gbtree_model_param", "iteration_indptr", "tree_info", "trees"}
    assert learner["attributes"] == {}
    assert len(model["trees"]) < 60  # it did stop early


async def test_models_of_a_like_size_are_closed_in_one_length(sealer):
    """What their categories are called is nobody's business: the length of names must not show."""
    lengths = set()
    for levels in (("no", "yes"), ("HIV negative", "HIV positive"), ("a", "b", "c")):
        t = terms(categorical=(("bank_1",), ()))
        data = tables(t)
        features = data[0].features.copy()
        features[:, 1] = np.arange(len(features)) % len(levels)
        data[0] = replace(data[0], features=features, levels={"bank_1": levels})
        lengths.add(len((await train(t, data, sealer))[0].model.closed))
    assert len(lengths) == 1


@pytest.mark.parametrize("size", [1, 4092, 4093, 100_000, 5_000_000])
def test_padding_costs_an_eighth_at_most(size):
    data = pack_state("lr", b"[" * size)
    assert len(data) % 4096 == 0
    assert len(data) <= max(8192, 1.125 * (size + 16))
    assert unpack_state("lr", data) == [b"[" * size]
    with pytest.raises(DataError, match="another version"):
        unpack_state("gbdt", data)


class Sealed:
    def seal(self, data):
        return data


async def test_categories_missing_cells_weights_and_early_stopping(sealer):
    params = {**GBDT, "missing": True, "n_estimators": 60, "early_stopping_rounds": 3, "eval_metric": "auc"}
    t = terms(params=params, categorical=(("bank_1",), ()), weighted=True, training_metric="all")
    data = tables(t)
    rng = np.random.default_rng(3)
    features = data[0].features.copy()
    features[:, 1] = rng.integers(0, 5, len(features))
    features[rng.random(len(features)) < 0.2, 1] = np.nan
    features[::7, 0] = np.nan
    levels = {"bank_1": ("north", "south", "east", "west", "never")}
    data[0] = replace(data[0], features=features, levels=levels, weights=rng.uniform(0.5, 2, len(features)))
    outcomes = await train(t, data, sealer)
    rounds = len(outcomes[1].model.history)
    assert rounds < 60
    assert outcomes[0].metrics["auc"] > 0.75
    (released,) = {
        json.dumps(each.to_json()["categories"])
        for each in await run(
            t, "release", lambda s: owner.release(s, t, outcomes[s.rank].model, Quiet()), sealer=sealer
        )
    }
    assert sorted(json.loads(released)["bank.bank_1"]) == sorted(levels["bank_1"])


async def test_a_model_of_another_key_or_job_does_not_open(sealer):
    t = terms()
    outcomes = await train(t, tables(t), sealer)
    for other in (ModelSealer(os.urandom(32), sealer.job_id), ModelSealer(sealer.key, b"k" * 32)):
        with pytest.raises(SecurityError, match="does not open"):
            other.open(outcomes[0].model.closed)

    async def release(s):
        return await owner.release(s, t, outcomes[s.rank].model, Quiet())

    with pytest.raises((SecurityError, PeerAborted), match="does not open"):
        await run(t, "release", release, sealer=ModelSealer(os.urandom(32), sealer.job_id))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: replace(d, keys=[b"x" + key for key in d.keys]), "no key is common to all parties"),
        (lambda d: replace(d, label=np.ones(len(d.keys))), "the label is constant on the training rows"),
        (lambda d: replace(d, label=d.label + 5), "labels that the contract's objective does not take"),
        (lambda d: replace(d, columns=("a", "b", "c")), "a table of other columns than the contract's"),
        (lambda d: replace(d, features=d.features + np.inf), "cells that are no finite numbers"),
        (lambda d: replace(d, features=np.full_like(d.features, np.nan)), "cells that are no finite numbers"),
        (lambda d: replace(d, keys=[d.keys[0]] * len(d.keys)), "a key twice"),
        (lambda d: replace(d, label=None), "a table of other columns than the contract's"),
    ],
)
async def test_tables_that_cannot_be_trained_on_are_refused_by_name(change, why, sealer):
    t = terms()
    data = tables(t)
    data[0] = change(data[0])
    with pytest.raises((DataError, PeerMisbehaved, PeerAborted), match=why):
        await train(t, data, sealer)


async def test_members_that_mean_other_jobs_send_no_rows(sealer):
    t, sent = terms(), []

    class Watching:
        def seal(self, data):
            sent.append(data)
            return data

    async with parties(3, allowed=allowed(t, "train")) as sessions:

        async def member(s):
            from hansa.algorithms.enclave import inside

            mine = replace(t, max_rows=1999) if s.rank == 2 else t
            if s.rank == 2:
                return await inside.serve(s, "train", mine, None, sealer, Quiet())
            return await owner.train(s, t, tables(t)[s.rank], Watching(), Quiet())

        outcomes = await outcomes_of_parties(sessions, member)
    assert all("terms of the job" in str(outcome) for outcome in outcomes)
    assert sent == []
