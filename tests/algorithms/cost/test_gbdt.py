"""The estimate of boosted trees: what it takes of a contract's parameters."""

import pytest

from hansa.algorithms.cost.gbdt import training

PARAMS = {"n_estimators": 10, "max_depth": 3, "max_bin": 16}


KINDS = ["replicated", "dealer", "dealerless"]


@pytest.mark.parametrize("kind", KINDS)
def test_classes_grow_side_by_side(kind):
    one = training(kind, [5, 5], 1000, 100, PARAMS)
    other = training(kind, [5, 5], 1000, 100, PARAMS | {"objective": "multi:softprob", "num_class": 3})
    assert other.rounds == one.rounds
    assert one.ahead <= other.ahead <= 3 * one.ahead
    assert other.work == pytest.approx(3 * one.work)
    assert one.sent < other.sent <= 3 * one.sent


@pytest.mark.parametrize("kind", KINDS)
def test_what_makes_a_tree_dearer_or_cheaper(kind):
    usual = training(kind, [50, 50], 1000, 100, PARAMS)
    assert training(kind, [50, 50], 1000, 100, PARAMS | {"missing": True}).sent > 1.1 * usual.sent
    assert training(kind, [50, 50], 1000, 100, PARAMS | {"colsample_bytree": 0.5}).sent < usual.sent
    stopping = PARAMS | {"early_stopping_rounds": 3}
    assert training(kind, [50, 50], 1000, 100, stopping).rounds > usual.rounds
    by_auc = {"eval_metric": "auc"}
    assert training(kind, [50, 50], 1000, 100, stopping | by_auc).rounds > 1.5 * usual.rounds
    told = training(kind, [50, 50], 1000, 100, PARAMS | by_auc, told=True)
    assert told.sent > training(kind, [50, 50], 1000, 100, stopping | by_auc).sent
