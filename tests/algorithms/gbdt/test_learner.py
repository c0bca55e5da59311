"""Early stopping, importance, the training metric, checkpoints, and what is refused before any costly step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.engines import ENGINES, additive_dealt, replicated
from support.gbdt_cases import Case, make, train
from support.job_ends import Quiet
from support.slow import slow

from hansa.algorithms.errors import DataError
from hansa.algorithms.gbdt.learner import TreeLearner
from hansa.algorithms.learner import Step
from hansa.algorithms.lr.plaintext import sigmoid
from hansa.algorithms.metrics import TASKS, evaluate, evaluate_as
from hansa.protocols.mpc.engine import Engine


def stopping(name: str, metric: str, patience: int) -> tuple[Case, slice, slice]:
    """A case of which the last fifth is held out: the rows trained on, and those."""
    case = make(name)
    more = {"early_stopping_rounds": patience, "eval_metric": metric, "n_estimators": 12, "learning_rate": 1.0}
    if name == "squared error":
        more |= {"max_depth": 4, "gamma": 0.0, "reg_alpha": 0.0}
    case = replace(case, params=case.params | more)
    return case, slice(0, 400), slice(400, 500)


def losses(case: Case, fit: slice, held: slice, metric: str) -> list[float]:
    """The plain loss on the rows held out after each round."""
    model, _ = case.plain(fit)
    out, trees, groups = [], model.trees, model.objective.groups
    for rounds in range(1, len(trees) // groups + 1):
        score = replace(model, trees=trees[: rounds * groups]).predict(case.bins(fit)[held])
        label = case.y[held]
        match metric:
            case "auc":
                out.append(1 - evaluate(label, score)["auc"])
            case "rmse":
                out.append(float(np.sqrt(np.mean((score - label) ** 2))))
            case _ if score.ndim == 2:
                out.append(evaluate_as("classes", label, score)["log_loss"])
            case _:
                out.append(evaluate(label, score)["log_loss"])
    return out


def best_of(found: list[float], patience: int) -> int:
    """How many rounds early stopping keeps."""
    best, at = np.inf, 0
    for number, value in enumerate(found, 1):
        if value < best:
            best, at = value, number
        elif number - at >= patience:
            return at
    return len(found)


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("logistic", "auc"),
        ("poisson", "rmse"),
        slow("logistic", "logloss"),
        slow("squared error", "rmse"),
        slow("softmax", "logloss"),
    ],
)
async def test_it_stops_where_plaintext_does(name: str, metric: str) -> None:
    case, fit, held = stopping(name, metric, 2)
    expected = best_of(losses(case, fit, held, metric), 2)
    assert expected < 12, "the case must stop early to test anything"
    results = await replicated()(lambda e: train(e, case))
    groups = results[0].learner._objective.groups
    for result in results:
        assert len(result.model.trees) == expected * groups
        records = [each for each in result.learner._e.session.transcript.openings if each.what == "stop"]
        assert [each.elements for each in records] == [1] * (expected + 2)


@pytest.mark.parametrize("engine", ["additive, dealer, 2", slow("additive, 2")])
async def test_it_stops_on_other_engines(engine: str) -> None:
    case, fit, held = stopping("logistic", "logloss", 1)
    expected = best_of(losses(case, fit, held, "logloss"), 1)
    results = await ENGINES[engine](lambda e: train(e, case))
    assert {len(result.model.trees) for result in results} == {expected}


async def test_a_stopped_training_stays_so_when_it_goes_on() -> None:
    case, fit, held = stopping("logistic", "logloss", 2)
    expected = best_of(losses(case, fit, held, "logloss"), 2)
    kept: dict[int, dict[int, bytes]] = {}

    async def first(e: Engine) -> Any:
        learner = TreeLearner(e, case.terms_of(3))
        await learner.prepare(case.table(e.session.rank, 3), 500)
        saved = kept.setdefault(e.session.rank, {})
        await learner.train(None, saved.__setitem__, Step(e, Quiet()))

    await replicated()(first)
    for start in (expected - 1, expected + 1, expected + 2):

        async def again(e: Engine, start: int = start) -> Any:
            learner = TreeLearner(e, case.terms_of(3))
            await learner.prepare(case.table(e.session.rank, 3), 500)
            await learner.train((start, kept[e.session.rank][start]), lambda *_: None, Step(e, Quiet()))
            return await learner.outputs(())

        assert {len(model.trees) for model in await replicated()(again)} == {expected}


@pytest.mark.parametrize("name", ["logistic", "squared error", "softmax"])
async def test_importance_is_what_plaintext_sums(name: str) -> None:
    case = replace(make(name), terms={"importance": "all"})
    model, _ = case.plain()
    results = await additive_dealt(2)(lambda e: train(e, case))
    assert results[0].model.importance == results[1].model.importance
    found = results[0].model.importance
    for place in range(5):
        facts = np.zeros(3)
        for tree in model.trees:
            facts += tree.facts[:, [split.column == place for split in tree.splits]].sum(axis=1)
        one = found[f"party-{0 if place < 3 else 1}"][f"c{place}"]
        assert one.splits == facts[0]
        assert (one.gain, one.cover) == pytest.approx(tuple(facts[1:]), rel=1e-2, abs=1e-2)


async def test_importance_goes_to_the_owner_or_nobody() -> None:
    case = make("logistic")
    results = await additive_dealt(2)(lambda e: train(e, case))
    assert [list(result.model.importance) for result in results] == [["party-0"], ["party-1"]]
    case.terms = {"importance": "none"}
    results = await additive_dealt(2)(lambda e: train(e, case))
    assert all(result.model.importance == {} for result in results)
    opened = {each.what for each in results[0].learner._e.session.transcript.openings}
    assert not any("importance" in what for what in opened)


@pytest.mark.parametrize(
    ("name", "metric"), [("logistic", "logloss"), slow("logistic", "auc"), ("squared error", "rmse")]
)
async def test_the_training_metric_is_told_as_agreed(name: str, metric: str) -> None:
    case = make(name)
    case.params["eval_metric"] = metric
    case.terms = {"training_metric": "label-owner"}
    model, _ = case.plain()
    results = await additive_dealt(2)(lambda e: train(e, case))
    assert results[0].model.history == ()
    assert not any(results[0].notes)
    predicted = model.predict(case.bins())
    last = results[1].model.history[-1]
    match metric:
        case "rmse":
            expected = float(np.sqrt(np.mean((predicted - case.y) ** 2)))
        case _:
            expected = evaluate(case.y, sigmoid(model.margins(case.bins())[0]))[
                {"logloss": "log_loss"}.get(metric, metric)
            ]
    assert last == pytest.approx(expected, rel=1e-2)
    assert results[1].notes[-1] == f"{metric} {last:.4f}"
    case.terms = {"training_metric": "all"}
    results = await additive_dealt(2)(lambda e: train(e, case))
    assert results[0].model.history == results[1].model.history


async def refused(case: Case, match: str) -> None:
    """At one party, before anything but agreement was sent."""

    async def attempt(e: Engine) -> None:
        learner = TreeLearner(e, case.terms_of(2))
        before = e.session.transcript.bytes_sent
        try:
            await learner.prepare(case.table(e.session.rank, 2), len(case.x))
        except DataError as error:
            assert e.session.transcript.bytes_sent == before
            await e.session.abort(error)
            raise

    with pytest.RaisesGroup(pytest.RaisesExc(DataError, match=match), flatten_subgroups=True, allow_unwrapped=True):
        await additive_dealt(2)(attempt)


async def test_bad_input_is_refused_before_any_costly_step() -> None:
    case = make("missing")
    case.x[:, 4] = np.nan
    await refused(case, "the column 'c4' of party-1 is empty")
    case, _, held = stopping("logistic", "auc", 2)
    case.y[held] = 1.0
    await refused(case, "constant on the rows held out for early stopping")
    case, fit, _ = stopping("poisson", "rmse", 2)
    case.y[fit] = 0.0
    await refused(case, "the label is constant on the 400 rows")
    case = make("weights")
    case.weights[:] = 0
    await refused(case, "the weights of party-1 are 0")


async def test_sums_that_would_overflow_are_refused() -> None:
    case = make("weights", rows=100)
    case.params |= {"objective": "count:poisson", "scale_pos_weight": 128.0}
    case.x, case.y = np.tile(case.x, (60, 1)), np.tile(case.y, 60)
    case.weights = np.ones(6000)
    with pytest.RaisesGroup(
        pytest.RaisesExc(DataError, match="gradient overflow"), flatten_subgroups=True, allow_unwrapped=True
    ):
        await additive_dealt(2)(lambda e: train(e, case))


def test_metrics_of_every_task() -> None:
    label = np.array([0.0, 1.0, 2.0, 1.0])
    perfect = np.eye(3)[label.astype(int)]
    assert evaluate_as("classes", label, perfect)["accuracy"] == 1.0
    assert evaluate_as("real", label, label) == {"rmse": 0.0, "mae": 0.0, "r2": 1.0}
    assert evaluate_as("real", label, np.full(4, label.mean()))["r2"] == 0.0
    assert evaluate_as("count", label, label)["deviance"] == pytest.approx(0.0, abs=1e-5)
    halves = evaluate_as("count", np.array([2.0]), np.array([1.0]))["deviance"]
    assert halves == pytest.approx(2 * (2 * np.log(2) - 1))
    for task, names in TASKS.items():
        score = perfect if task == "classes" else label / 2
        assert set(evaluate_as(task, np.minimum(label, 1) if task == "binary" else label, score)) == set(names)
