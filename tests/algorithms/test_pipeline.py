"""Whole jobs among three parties in one process, against the same training on pooled plaintext."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import trio
from support.job_ends import Kept, Quiet

from hansa.algorithms import leakage, pipeline
from hansa.algorithms.cost.estimate import estimate
from hansa.algorithms.errors import DataError
from hansa.algorithms.lr import plaintext
from hansa.algorithms.lr.model import PartyModel
from hansa.algorithms.lr.plaintext import train_and_test
from hansa.algorithms.lr.standardise import Standardisation
from hansa.algorithms.metrics import evaluate
from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.terms import Terms
from hansa.protocols.errors import DesyncError, PeerAborted, PeerMisbehaved, UndeclaredOpening
from hansa.protocols.mpc.fourier import COEFFICIENTS, DOMAIN, HARMONICS
from hansa.protocols.mpc.replicated.engine import ReplicatedEngine
from hansa.protocols.mpc.session.memory import outcomes_of_parties, parties, run_parties
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.wire import canonical

SEED = bytes(range(16))
PARAMS = {"epochs": 6, "batch_size": 64, "learning_rate": 0.5, "l2": 0.001}
SPLIT = (10, 10, 10)


def terms(**changes: Any) -> Terms:
    values: dict[str, Any] = {
        "names": ("clinic", "laboratory", "imaging"),
        "column_names": tuple(tuple(f"c{rank}{i}" for i in range(count)) for rank, count in enumerate(SPLIT)),
        "label_rank": 0,
        "seed": SEED,
        "test_fraction": 0.2,
        "params": PARAMS,
        "scores": "label-owner",
        "weights": "owner",
        "metrics": "all",
        "max_rows": 1000,
    }
    return Terms(**(values | changes))


def real_data(rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The breast-cancer table, or its first rows where accuracy does not matter."""
    datasets = pytest.importorskip("sklearn.datasets", reason="the extra 'demo' is not installed")
    data = datasets.load_breast_cancer()
    return data.data[:rows], data.target[:rows].astype(np.float64)


FEW = 120


def tables(features: np.ndarray, label: np.ndarray, *, missing: int = 20) -> list[PartyTable]:
    """Each party has its columns of its own random rows in its own order."""
    rng = np.random.default_rng(5)
    edges = np.cumsum((0, *SPLIT))
    out = []
    for rank in range(3):
        rows = rng.permutation(len(label))[missing:]
        out.append(
            PartyTable(
                keys=[f"patient-{row}".encode() for row in rows],
                features=features[rows, edges[rank] : edges[rank + 1]],
                columns=terms().column_names[rank],
                label=label[rows] if rank == 0 else None,
            )
        )
    return out


def allowed(t: Terms, kind: str = "train") -> set[tuple[str, tuple[int, ...]]]:
    return {(what, to) for what, to, _ in leakage.openings(kind, "lr", t, t.names, t.label_rank, t.params)}


async def train_all(
    t: Terms, data: list[PartyTable], checkpoints: list[Kept] | None = None
) -> tuple[list[pipeline.TrainOutcome], list[Any]]:
    async with parties(3, allowed=allowed(t)) as sessions:

        async def party(session: Any) -> pipeline.TrainOutcome:
            engine = await ReplicatedEngine.start(session, 18)
            kept = checkpoints[session.rank] if checkpoints else Kept()
            return await pipeline.train(engine, t, data[session.rank], Quiet(), kept)

        outcomes = await run_parties(sessions, party)
        return outcomes, [session.transcript for session in sessions]


def pooled(t: Terms, data: list[PartyTable], outcome: pipeline.TrainOutcome, order: list[np.ndarray]) -> Any:
    x = np.hstack([table.features[rows] for table, rows in zip(data, order, strict=True)])
    label = data[0].label
    assert label is not None
    return train_and_test(x, label[order[0]], seed=t.seed, test_fraction=t.test_fraction, params=dict(t.params))


def aligned_rows(kept: list[Kept]) -> list[np.ndarray]:
    return [pipeline._unpack(k.saved[0])[0] for k in kept]


@dataclass(frozen=True)
class League:
    """A training of the whole table, with a checkpoint after each epoch."""

    terms: Terms
    data: list[PartyTable]
    kept: list[Kept]
    outcomes: list[pipeline.TrainOutcome]
    transcripts: list[Any]

    @property
    def weights(self) -> np.ndarray:
        """In the order of the pooled training."""
        first, *others = [outcome.weights for outcome in self.outcomes]
        return np.concatenate([first[:10], *others, first[10:]])  # type: ignore[index, list-item]


@pytest.fixture(scope="module")
def league() -> League:
    data, t, kept = tables(*real_data()), terms(), [Kept() for _ in range(3)]
    outcomes, transcripts = trio.run(train_all, t, data, kept)
    return League(t, data, kept, outcomes, transcripts)


async def test_the_league_trains_what_the_pool_would(league: League) -> None:
    t, data, outcomes = league.terms, league.data, league.outcomes
    w, metrics = pooled(t, data, outcomes[0], aligned_rows(league.kept))
    assert np.abs(league.weights - w).max() < 2**-10
    for outcome in outcomes:
        assert outcome.metrics is not None
        assert abs(outcome.metrics["auc"] - metrics["auc"]) < 0.002
        assert outcome.rows == len(set.intersection(*({*table.keys} for table in data)))
    assert outcomes[0].scores is not None
    assert outcomes[1].scores is None
    assert set(outcomes[0].model.opened) == {*t.column_names[0], "intercept"}
    for transcript in league.transcripts:
        assert {(o.what, o.to) for o in transcript.openings} == allowed(t)


def series(z: np.ndarray) -> np.ndarray:
    """The engine's sigmoid in floating point."""
    turns = np.multiply.outer(np.array(HARMONICS), z * np.pi / 16)
    inside = 0.5 + np.tensordot(np.array(COEFFICIENTS), np.sin(turns), axes=1)
    return np.where(np.abs(z) < DOMAIN, inside, (z > 0).astype(np.float64))


def test_only_the_sigmoid_keeps_them_apart(league: League, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against plaintext with the engine's own sigmoid what is left is fixed point: less than 2^-13."""
    monkeypatch.setattr(plaintext, "sigmoid", series)
    w, _ = pooled(league.terms, league.data, league.outcomes[0], aligned_rows(league.kept))
    assert np.abs(league.weights - w).max() < 2**-13


async def test_everything_opened_to_all_when_the_contract_says_so() -> None:
    data = tables(*real_data(FEW))
    t = terms(weights="all", scores="all", params=PARAMS | {"epochs": 1})
    outcomes, _ = await train_all(t, data)
    for outcome in outcomes:
        np.testing.assert_array_equal(outcome.weights, outcomes[0].weights)
        assert outcome.scores is not None
        np.testing.assert_array_equal(outcome.scores.values, outcomes[0].scores.values)  # type: ignore[union-attr]


async def test_a_resumed_job_ends_with_the_same_model(league: League) -> None:
    again = [Kept((3, k.saved[3])) for k in league.kept]
    resumed, _ = await train_all(league.terms, league.data, again)
    assert sorted(again[0].saved) == [4, 5, 6]
    for first, second in zip(league.outcomes, resumed, strict=True):
        assert np.abs(first.weights - second.weights).max() < 2**-10  # type: ignore[operator]


async def test_predict_and_release(league: League) -> None:
    t, data = league.terms, league.data
    features, _ = real_data()
    models = [PartyModel.from_state(outcome.model.to_state()) for outcome in league.outcomes]
    async with parties(3, allowed=allowed(t, "release")) as sessions:

        async def let_go(session: Any) -> Any:
            engine = await ReplicatedEngine.start(session, 18)
            return await pipeline.release(engine, t, models[session.rank], Quiet())

        released = await run_parties(sessions, let_go)
    async with parties(3, allowed=allowed(t, "predict")) as sessions:

        async def score(session: Any) -> Any:
            engine = await ReplicatedEngine.start(session, 18)
            return await pipeline.predict(engine, t, models[session.rank], data[session.rank], Quiet())

        scored = await run_parties(sessions, score)
    (rows, seen), *others = scored
    assert rows == len(seen.rows)
    assert others == [(rows, None)] * 2
    plain = released[1]
    assert plain.to_json() == released[0].to_json() == released[2].to_json()
    patients = [int(data[0].keys[i].decode().split("-")[1]) for i in seen.rows]
    z = features[patients] @ plain.coefficients + plain.intercept
    truth = 1 / (1 + np.exp(-z))
    assert np.abs(seen.values - truth).max() < 2e-3


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda d: [d[0], d[1], PartyTable([b"x"], d[2].features[:1], d[2].columns)], "the intersection is empty"),
        (lambda d: [PartyTable(d[0].keys, d[0].features, d[0].columns, np.ones(d[0].rows)), d[1], d[2]], "is constant"),
    ],
)
async def test_data_that_cannot_be_trained_on_ends_it_everywhere(break_it: Any, message: str) -> None:
    data = break_it(tables(*real_data(FEW)))
    async with parties(3) as sessions:

        async def party(session: Any) -> Any:
            engine = await ReplicatedEngine.start(session, 18)
            return await pipeline.train(engine, terms(), data[session.rank], Quiet(), Kept())

        with trio.fail_after(30):
            outcomes = await outcomes_of_parties(sessions, party)
    for outcome in outcomes:
        assert isinstance(outcome, DataError | PeerAborted)
        assert message in outcome.message
        assert "every one" not in outcome.message  # nobody is told the value of a label


async def test_metrics_told_to_others_have_few_digits() -> None:
    """All digits of a log-loss, with the scores, tell the labels of dozens of test rows (a subset sum)."""
    data = tables(*real_data(FEW))
    for told in ("all", "label-owner"):
        t = terms(scores="all", metrics=told, params=PARAMS | {"epochs": 1})
        outcomes, _ = await train_all(t, data)
        assert data[0].label is not None
        assert outcomes[0].scores is not None
        truth = evaluate(data[0].label[outcomes[0].scores.rows], outcomes[0].scores.values)
        rounded = {name: round(value, 4) for name, value in truth.items()}
        assert rounded != truth
        if told == "all":
            assert [outcome.metrics for outcome in outcomes] == [rounded] * 3
        else:
            assert [outcome.metrics for outcome in outcomes] == [truth, None, None]


async def test_an_alignment_that_no_contract_names_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    async def intersect(*args: Any, **options: Any) -> Any:
        raise AssertionError("begun")

    monkeypatch.setattr(pipeline.ddh, "intersect", intersect)
    async with parties(3, allowed=set()) as sessions:

        async def party(session: Any) -> Any:
            engine = await ReplicatedEngine.start(session, 18)
            return await pipeline.train(engine, terms(), tables(*real_data(FEW))[session.rank], Quiet(), Kept())

        outcomes = await outcomes_of_parties(sessions, party)
    assert all(isinstance(outcome, UndeclaredOpening | PeerAborted) for outcome in outcomes)


async def test_coefficients_that_are_no_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data, t = tables(*real_data(FEW)), terms(params=PARAMS | {"epochs": 1})
    models = [outcome.model for outcome in (await train_all(t, data))[0]]
    send = Session.send

    async def spoilt(self: Session, to: int, *arrays: Any) -> None:
        bad = (a * np.inf if self.rank == 1 and a.dtype == np.float64 else a for a in arrays)
        await send(self, to, *bad)

    async with parties(3) as sessions:

        async def let_go(session: Session) -> Any:
            monkeypatch.setattr(Session, "send", spoilt)
            engine = await ReplicatedEngine.start(session, 18)
            return await pipeline.release(engine, t, models[session.rank], Quiet())

        outcomes = await outcomes_of_parties(sessions, let_go)
    assert isinstance(outcomes[0], PeerMisbehaved)
    assert outcomes[0].fields["peer"] == 1


async def test_an_estimate_is_near_what_a_job_costs() -> None:
    data = tables(*real_data())
    t = terms(params=PARAMS | {"epochs": 2, "batch_size": 64})
    outcomes, transcripts = await train_all(t, data)
    expected = estimate(
        engine="replicated",
        dealer=False,
        rows=outcomes[0].rows,
        columns=list(t.columns),
        params={"epochs": 2, "batch_size": 64},
        test_fraction=t.test_fraction,
        latency_s=0.001,
        bytes_per_s=1e8,
    )
    train_rows = outcomes[0].rows - outcomes[0].test_rows
    rounds = {step: c.rounds for (step, _), c in transcripts[0].steps.items()}
    assert rounds["train"] == 2 * -(-train_rows // 64) * 14
    assert max(transcript.rounds for transcript in transcripts) == expected.rounds
    most = max(transcript.bytes_sent for transcript in transcripts)
    assert most <= expected.bytes_per_party <= 1.25 * most
    assert expected.preprocessing_bytes == 0
    assert expected.seconds > expected.rounds * 0.001


async def test_a_party_without_columns_takes_part() -> None:
    data = tables(*real_data(300))
    data[2] = PartyTable(data[2].keys, data[2].features[:, :0], ())
    names = (*terms().column_names[:2], ())
    t, kept = terms(column_names=names, params=PARAMS | {"epochs": 2}), [Kept() for _ in range(3)]
    outcomes, _ = await train_all(t, data, kept)
    w, _ = pooled(t, data, outcomes[0], aligned_rows(kept))
    assert outcomes[2].weights is not None
    assert outcomes[2].weights.size == 0
    assert np.abs(np.concatenate([outcomes[0].weights[:10], outcomes[1].weights]) - w[:20]).max() < 2**-7  # type: ignore[index]


async def fails(data: list[PartyTable], wanted: list[Terms], kept: list[Kept]) -> list[Any]:
    async with parties(3) as sessions:

        async def party(session: Any) -> Any:
            engine = await ReplicatedEngine.start(session, 18)
            rank = session.rank
            return await pipeline.train(engine, wanted[rank], data[rank], Quiet(), kept[rank])

        with trio.fail_after(30):
            return await outcomes_of_parties(sessions, party)


@pytest.mark.parametrize(
    "other", [{"seed": bytes(16)}, {"test_fraction": 0.3}, {"params": PARAMS | {"l2": 0.002}}, {"scores": "all"}]
)
async def test_terms_that_differ_stop_it_before_anything_is_sent(other: dict[str, Any]) -> None:
    outcomes = await fails(tables(*real_data(FEW)), [terms(), terms(**other), terms()], [Kept() for _ in range(3)])
    for outcome in outcomes:
        assert isinstance(outcome, DesyncError | PeerAborted)
        assert "terms of the job" in outcome.message


async def test_epochs_that_differ_stop_a_resumed_job() -> None:
    data, t, kept = tables(*real_data(FEW)), terms(params=PARAMS | {"epochs": 2}), [Kept() for _ in range(3)]
    await train_all(t, data, kept)
    again = [Kept((epoch, k.saved[epoch])) for epoch, k in zip((1, 1, 0), kept, strict=True)]
    for outcome in await fails(data, [t] * 3, again):
        assert "terms of the job" in outcome.message


@pytest.mark.parametrize("what", ["order", "value", "rows"])
async def test_a_table_that_changed_between_two_attempts_is_noticed(what: str) -> None:
    data, t, kept = tables(*real_data(FEW)), terms(params=PARAMS | {"epochs": 1}), [Kept() for _ in range(3)]
    await train_all(t, data, kept)
    old = data[1]
    if what == "order":
        data[1] = PartyTable(old.keys[::-1], old.features[::-1], old.columns)
    elif what == "rows":
        data[1] = PartyTable(old.keys[:50], old.features[:50], old.columns)
    else:
        data[1] = PartyTable(old.keys, old.features + 1, old.columns)
    outcomes = await fails(data, [t] * 3, [Kept((1, k.saved[1])) for k in kept])
    assert isinstance(outcomes[1], DataError)
    for outcome in outcomes:
        assert "the table of laboratory has changed since this job began" in outcome.message


async def test_no_test_part_no_scores_no_metrics() -> None:
    t = terms(test_fraction=0.0, scores="none", params=PARAMS | {"epochs": 1})
    outcomes, _ = await train_all(t, tables(*real_data(FEW)))
    for outcome in outcomes:
        assert outcome.metrics is None
        assert outcome.scores is None
        assert outcome.test_rows == 0


def test_a_models_state_is_read_again_and_prints_nothing() -> None:
    fitted = Standardisation(np.array([1.5, 2.5]), np.array([3.0, 4.0]))
    model = PartyModel("replicated", ("a", "b"), b"secret share", fitted, {"a": 0.25})
    again = PartyModel.from_state(model.to_state())
    assert again.columns == model.columns
    assert again.weights == model.weights
    assert again.opened == model.opened
    np.testing.assert_array_equal(again.standardisation.std, fitted.std)
    assert "secret" not in repr(model)
    assert "0.25" not in repr(model)
    with pytest.raises(DataError, match="another version"):
        PartyModel.from_state(canonical.encode({"version": 99}))
