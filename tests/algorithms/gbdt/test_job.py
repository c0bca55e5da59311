"""Boosted trees as a job: the pipeline from alignment to a released model, on every engine a contract can name."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.job_ends import Kept, Quiet
from support.slow import slow

from hansa.algorithms import leakage, pipeline
from hansa.algorithms.cost.estimate import estimate
from hansa.algorithms.errors import DataError
from hansa.algorithms.gbdt import plaintext
from hansa.algorithms.gbdt.bins import Cuts
from hansa.algorithms.gbdt.model.tree_model import TreeModel
from hansa.algorithms.gbdt.model.xgboost_format import ReleasedTrees
from hansa.algorithms.gbdt.params import TreeParams
from hansa.algorithms.lr.plaintext import sigmoid
from hansa.algorithms.metrics import evaluate
from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.split import split_order
from hansa.algorithms.terms import Terms
from hansa.protocols.mpc.additive.dealer import dealer
from hansa.protocols.mpc.engines import open_engine
from hansa.protocols.mpc.session.memory import parties, run_parties
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.wire import canonical

ROWS = 300
PARAMS = {
    "n_estimators": 3,
    "max_depth": 2,
    "learning_rate": 0.5,
    "reg_lambda": 1.0,
    "gamma": 0.0,
    "min_child_weight": 1.0,
    "max_bin": 8,
    "base_score": 0.4,
}
DEALT, DEALERLESS = ("additive", True, 2), ("additive", False, 2)
REPLICATED, WITH_AN_INPUT_PARTY = ("replicated", False, 3), ("replicated", False, 4)


class League:
    """``n`` institutions with the same rows and two columns each; the label is the second one's."""

    def __init__(self, engine: str, dealt: bool, n: int) -> None:
        self.engine, self.dealt, self.n = engine, dealt, n
        rng = np.random.default_rng({2: 2, 3: 6, 4: 0}[n])  # with these no two candidates of a node are nearly as good
        self.x = rng.normal(size=(ROWS, 2 * n))
        margin = 2 * self.x[:, 0] - 1.5 * self.x[:, 1] * self.x[:, 2] + self.x[:, 3]
        self.y = (rng.random(ROWS) < sigmoid(margin)).astype(np.float64)
        self.terms = Terms(
            names=tuple(f"party-{rank}" for rank in range(n)),
            column_names=tuple((f"a{rank}", f"b{rank}") for rank in range(n)),
            label_rank=1,
            seed=bytes(16),
            test_fraction=0.2,
            params=PARAMS,
            scores="label-owner",
            weights="owner",
            metrics="all",
            max_rows=1000,
            algorithm="gbdt",
        )
        keys = [f"row-{row}".encode() for row in range(ROWS)]
        self.tables = [
            PartyTable(
                keys,
                self.x[:, 2 * rank : 2 * rank + 2],
                self.terms.column_names[rank],
                self.y if rank == 1 else None,
            )
            for rank in range(n)
        ]

    async def run(self, work: Any, kind: str, context: bytes = b"job, attempt 0") -> tuple[list[Any], list[Session]]:
        stated = leakage.openings(kind, "gbdt", self.terms, self.terms.names, 1, self.terms.params)
        allowed = {(what, to) for what, to, _ in stated}
        computing = (0, 2, 3) if self.n == 4 else ()

        async def member(session: Session) -> Any:
            if session.rank == self.n:
                await dealer.serve(session)
                return None
            async with open_engine(
                session, self.engine, parties=self.n, computing=computing, frac_bits=18, ot="softspoken"
            ) as engine:
                return await work(engine, session.rank)

        async with parties(self.n + self.dealt, context=context, allowed=allowed) as sessions:
            return (await run_parties(sessions, member))[: self.n], sessions

    async def train(self, kept: list[Kept], context: bytes = b"job, attempt 0") -> tuple[list[Any], list[Session]]:
        async def work(e: Any, rank: int) -> Any:
            return await pipeline.train(e, self.terms, self.tables[rank], Quiet(), kept[rank])

        return await self.run(work, "train", context)


def walk(model: dict[str, Any], x: Any) -> Any:
    """Margins of an XGBoost JSON model, by its fields."""
    learner = model["learner"]
    base = float(learner["learner_model_param"]["base_score"])
    out = np.full(len(x), np.log(base / (1 - base)))
    for tree in learner["gradient_booster"]["model"]["trees"]:
        at = np.zeros(len(x), dtype=np.int64)
        left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
        condition, index = np.array(tree["split_conditions"]), np.array(tree["split_indices"])
        while np.any(left[at] >= 0):
            below = x[np.arange(len(x)), index[at]].astype(np.float32) < condition[at].astype(np.float32)
            at = np.where(left[at] < 0, at, np.where(below, left[at], right[at]))
        out += condition[at]
    return out


@pytest.mark.parametrize(("engine", "dealt", "n"), [DEALT, slow(*DEALERLESS), slow(*REPLICATED), WITH_AN_INPUT_PARTY])
async def test_training_scoring_and_release(engine: str, dealt: bool, n: int) -> None:
    league = League(engine, dealt, n)
    t, kept = league.terms, [Kept() for _ in range(n)]
    outcomes, sessions = await league.train(kept)
    rows = pipeline._unpack(kept[0].saved[0])[0]
    order, train = split_order(t.seed, ROWS, t.test_fraction)
    x, y = league.x[rows][order], league.y[rows][order]
    bins = Cuts.fit(x[:train], 8).apply(x)
    plain_model, _ = plaintext.train(bins[:train], y[:train], TreeParams(**PARAMS))  # type: ignore[arg-type]
    margin = plain_model.margins(bins)[0]
    expected = evaluate(y[train:], sigmoid(margin[train:]))
    for outcome in outcomes:
        assert abs(outcome.metrics["auc"] - expected["auc"]) < 0.03  # rows of one leaf are ordered by rounding
        assert outcome.rows == ROWS
    assert np.abs(outcomes[1].scores.values - sigmoid(margin[train:])).max() < 1e-3
    counted = [found for outcome in outcomes for party in outcome.model.importance.values() for found in party.values()]
    facts = np.concatenate([tree.facts for tree in plain_model.trees], axis=1).sum(axis=1)
    assert sum(found.splits for found in counted) == facts[0]
    assert abs(sum(found.gain for found in counted) - facts[1]) < 0.05
    assert abs(sum(found.cover for found in counted) - facts[2]) < 0.05
    opened = {(record.what, record.to) for record in sessions[0].transcript.openings}
    assert ("split owners", tuple(range(n))) in opened
    models = [TreeModel.from_state(outcome.model.to_state()) for outcome in outcomes]

    async def predict(e: Any, rank: int) -> Any:
        return await pipeline.predict(e, t, models[rank], league.tables[rank], Quiet())

    found = (await league.run(predict, "predict"))[0]
    count, scores = found[1]
    assert count == ROWS
    assert all(found[rank] == (ROWS, None) for rank in range(n) if rank != 1)

    async def release(e: Any, rank: int) -> Any:
        return await pipeline.release(e, t, models[rank], Quiet())

    released = (await league.run(release, "release"))[0]
    assert all(isinstance(model, ReleasedTrees) for model in released)
    texts = {json.dumps(model.to_json()) for model in released}
    assert len(texts) == 1
    plain = walk(json.loads(texts.pop())["xgboost"], league.x[scores.rows])
    assert np.abs(scores.values - sigmoid(plain)).max() < 6e-4  # the engine's sigmoid is within 5e-4
    assert np.abs(plain - margin[np.argsort(rows[order])][scores.rows]).max() < 2e-3


async def test_a_job_goes_on_from_any_tree() -> None:
    league = League("replicated", False, 3)
    kept = [Kept() for _ in range(3)]
    whole, _ = await league.train(kept)
    for done in (0, 2, 3):
        again = [Kept((done, each.saved[done])) for each in kept]
        resumed, _ = await league.train(again, b"job, attempt 1")
        for one, other in zip(whole, resumed, strict=True):
            assert [(t.owners, t.splits) for t in one.model.trees] == [(t.owners, t.splits) for t in other.model.trees]
            assert abs(one.metrics["log_loss"] - other.metrics["log_loss"]) < 1e-3


async def test_the_released_model_loads_in_xgboost() -> None:
    xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed: its reading of our model is not tested")
    league = League("replicated", False, 3)
    outcomes, _ = await league.train([Kept() for _ in range(3)])

    async def release(e: Any, rank: int) -> Any:
        return await pipeline.release(e, league.terms, outcomes[rank].model, Quiet())

    model = (await league.run(release, "release"))[0][0].to_json()["xgboost"]
    booster = xgboost.Booster()
    booster.load_model(bytearray(json.dumps(model).encode()))
    data = xgboost.DMatrix(league.x, feature_names=model["learner"]["feature_names"])
    assert np.abs(booster.predict(data, output_margin=True) - walk(model, league.x)).max() < 1e-6


@pytest.mark.parametrize("state", [{"version": 2}, {"version": 1, "algorithm": "lr"}, {}])
def test_a_state_of_something_else_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="another version"):
        TreeModel.from_state(canonical.encode(state))


@pytest.mark.parametrize(("engine", "dealt", "n"), [DEALT, slow(*DEALERLESS), REPLICATED])
async def test_an_estimate_is_near_what_a_job_costs(engine: str, dealt: bool, n: int) -> None:
    league = League(engine, dealt, n)
    league.terms = replace(league.terms, params=PARAMS | {"max_depth": 3})
    _, sessions = await league.train([Kept() for _ in range(n)])
    expected = estimate(
        algorithm="gbdt",
        engine=engine,
        dealer=dealt,
        rows=ROWS,
        columns=list(league.terms.columns),
        params=league.terms.params,
        test_fraction=0.2,
        latency_s=0.001,
        bytes_per_s=1e8,
    )
    rounds = max(session.transcript.rounds for session in sessions[:n])
    sent = max(session.transcript.bytes_sent for session in sessions[:n])
    assert 0.75 * rounds < expected.rounds < 1.33 * rounds
    said = expected.bytes_per_party + (0 if dealt else expected.preprocessing_bytes)
    assert 0.6 * sent < said < 1.6 * sent
