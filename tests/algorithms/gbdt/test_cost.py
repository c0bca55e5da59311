"""The estimate of boosted trees: what it takes of a contract's parameters."""

import pytest

from hansa.algorithms.cost_trees import trees

PARAMS = {"n_estimators": 10, "max_depth": 3, "max_bin": 16}


@pytest.mark.parametrize("kind", ["replicated", "dealer", "direct"])
def test_a_class_costs_as_much_as_one_more_forest(kind):
    one = trees(kind, [5, 5], 1000, 100, PARAMS)
    other = trees(kind, [5, 5], 1000, 100, PARAMS | {"objective": "multi:softprob", "num_class": 3, "missing": True})
    assert other.rounds == 3 * one.rounds
    assert other.ahead == 3 * one.ahead
    assert other.work == pytest.approx(3 * one.work)
    assert one.sent < other.sent <= 3 * one.sent
