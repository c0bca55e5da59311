"""What each party learns of a job in an enclave: what the contract opens to it, no more and no less, and on every record."""

from dataclasses import replace

import numpy as np
import pytest
from support.enclave_members import GBDT, Plain, allowed, run, tables, terms, train
from support.job_ends import Quiet

from hansa.algorithms import leakage
from hansa.algorithms.common_rows import rounded
from hansa.algorithms.enclave import owner
from hansa.algorithms.enclave.answer import EnclaveAnswer
from hansa.algorithms.terms import agree
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.session.memory import outcomes_of_parties, parties

pytest.importorskip("xgboost", reason="the extra 'enclave' is not installed")


async def test_scores_go_to_whom_they_are_opened(sealer):
    t = terms()
    data = tables(t)
    models = [outcome.model for outcome in await train(t, data, sealer)]

    async def score(s):
        table = replace(data[s.rank], label=None)
        return await owner.predict(s, t, models[s.rank], table, Plain(), Quiet())

    (_, scores), (count, nothing) = await run(t, "predict", score, sealer=sealer)
    assert (len(scores.values), count, nothing) == (400, 400, None)


async def test_metrics_that_others_see_have_few_digits(sealer):
    told = [outcome.metrics for outcome in await train(terms(), tables(terms()), sealer)]
    alone = terms(metrics="label-owner")
    exact, nothing = (outcome.metrics for outcome in await train(alone, tables(alone), sealer))
    assert nothing is None
    assert exact != rounded(exact)
    assert told == [rounded(exact)] * 2


@pytest.mark.parametrize(("choice", "seen"), [("none", [[], []]), ("owner", [["bank"], ["bureau"]])])
async def test_importance_is_told_as_the_contract_has_it(choice, seen, sealer):
    t = terms(importance=choice)
    assert [list(outcome.model.importance) for outcome in await train(t, tables(t), sealer)] == seen


def test_a_release_states_no_standardised_weights():
    assert {what for what, _ in allowed(terms("lr"), "release")} == {leakage.COEFFICIENTS, leakage.INTERCEPT}
    assert {what for what, _ in allowed(terms("lr"), "train")} >= {leakage.weights_of(0), leakage.weights_of(1)}


@pytest.mark.parametrize("params", [GBDT, {**GBDT, "max_depth": 1, "n_estimators": 2}, {**GBDT, "gamma": 1e9}])
async def test_released_trees_are_on_record_by_their_splits_and_leaves(params, sealer):
    t, seen = terms(params=params), []
    outcomes = await train(t, tables(t), sealer)

    async def release(s):
        return await owner.release(s, t, outcomes[s.rank].model, Quiet())

    plain = [each.to_json() for each in await run(t, "release", release, sealer=sealer, sessions_seen=seen)]
    trees = plain[0]["xgboost"]["learner"]["gradient_booster"]["model"]["trees"]
    nodes = [len(tree["left_children"]) for tree in trees]
    splits = sum(len([left for left in tree["left_children"] if left >= 0]) for tree in trees)
    expected = {leakage.LEAVES: splits + len(trees)} | ({leakage.RELEASED_SPLITS: splits} if splits else {})
    assert sum(nodes) == 2 * splits + len(trees)
    for session in seen:
        assert {each.what: each.elements for each in session.transcript.openings} == expected


@pytest.mark.parametrize("plain", [b"{}", b'{"xgboost": []}', b'{"xgboost": {"learner": 5}}', b"[]", b"[" * 10**5])
async def test_what_is_no_model_is_not_taken_for_a_release(plain, sealer):
    t = terms()

    async def lying(s):
        await agree(s, "release", t)
        with s.step("open"):
            await s.recv_bytes(0, 100)
        with s.step("release"):
            for rank in range(t.n_parties):
                await s.send_bytes(rank, plain)

    async def release(s):
        model = owner.EnclaveModel(b"closed")
        return await owner.release(s, t, model, Quiet())

    outcomes = await with_enclave(t, "release", release, lying)
    assert isinstance(outcomes[0], PeerMisbehaved), outcomes
    assert outcomes[0].message.startswith("the enclave released")


async def with_enclave(t, kind, party, inside):
    """As ``run``, with what stands in for the enclave; the outcomes."""
    async with parties(t.n_parties + 1, allowed=allowed(t, kind)) as sessions:
        return await outcomes_of_parties(sessions, lambda s: (inside if s.rank == t.n_parties else party)(s))


@pytest.mark.parametrize(
    ("scores", "test_rows", "sent", "culprit"),
    [
        ("label-owner", 1, (None, None), 0),
        ("label-owner", 1, (np.array([0.5]), np.array([0.5])), 1),
        ("none", 1, (np.array([0.5]), None), 0),
        ("all", 1, (np.array([0.5]), None), 1),
        ("label-owner", 0, (None, None), None),
        ("label-owner", 1, (np.array([0.5]), None), None),
    ],
)
async def test_an_owner_takes_the_scores_that_are_opened_to_it_and_no_others(scores, test_rows, sent, culprit):
    t = terms(scores=scores)
    data = tables(t)

    async def lying(s):
        await agree(s, "train", t)
        with s.step("send"):
            for rank in range(t.n_parties):
                await s.recv_bytes(rank, 1 << 20)
        with s.step("outputs"):
            for rank, values in enumerate(sent):
                answer = EnclaveAnswer(np.arange(2), test_rows, values, closed=b"closed")
                await s.send_bytes(rank, answer.encode())

    async def party(s):
        return await owner.train(s, t, data[s.rank], Plain(), Quiet())

    outcomes = await with_enclave(t, "train", party, lying)
    refused = [rank for rank, outcome in enumerate(outcomes) if isinstance(outcome, PeerMisbehaved)]
    assert refused == ([] if culprit is None else [culprit])
    if culprit is not None:
        assert outcomes[culprit].message == "the enclave's answer has not what the contract opens"
        assert outcomes[culprit].fields["peer"] == t.n_parties
