"""What cannot be trained on pooled rows, said by what to change."""

import numpy as np
import pytest
from support.enclave_members import GBDT, terms

from hansa.algorithms.enclave import linear_model
from hansa.algorithms.enclave.linear_model import LinearModel
from hansa.algorithms.enclave.pool import Pool
from hansa.algorithms.enclave.xgboost_model import XgboostModel
from hansa.algorithms.errors import DataError

pytest.importorskip("xgboost", reason="the extra 'enclave' is not installed")
pytest.importorskip("sklearn", reason="the extra 'enclave' is not installed")
LABEL = np.tile([0.0, 1.0], 20)


def train(algorithm, label, rows=40, **params):
    t = terms(algorithm, **({"params": GBDT | params} if algorithm == "gbdt" else {}))
    features = np.random.default_rng(1).normal(size=(len(label), 6)).astype(np.float32)
    model = LinearModel if algorithm == "lr" else XgboostModel
    return model.train(Pool(t, features, (None,) * 6, label, None), rows, lambda done: None)


def test_a_regression_that_does_not_converge_is_no_model(monkeypatch):
    train("lr", LABEL)
    monkeypatch.setattr(linear_model, "_MOST_ITERATIONS", 1)
    with pytest.raises(DataError, match=r"does not converge.*\n  next: raise lr\.l2"):
        train("lr", LABEL)


STOPPING = {"early_stopping_rounds": 2, "validation_fraction": 0.25}
GROWN, HELD_OUT = slice(0, 30), slice(30, 40)


@pytest.mark.parametrize(
    ("constant", "params", "why"),
    [
        (GROWN, STOPPING, "the label is constant on the 30 rows that trees would be grown on"),
        (HELD_OUT, STOPPING | {"eval_metric": "auc"}, "the label is constant on the 10 rows that are held out"),
        (HELD_OUT, STOPPING, None),
        (HELD_OUT, {}, None),
        (slice(0, 40), {}, "the label is constant on the 40 rows that trees would be grown on"),
    ],
)
def test_a_constant_label_teaches_trees_nothing(constant, params, why):
    label = np.append(LABEL, [0.0, 1.0])
    label[constant] = 1.0
    if why is None:
        assert train("gbdt", label, **params).scores is not None
        return
    with pytest.raises(DataError, match=why):
        train("gbdt", label, **params)


def test_rows_to_grow_trees_on_are_left():
    with pytest.raises(DataError, match="40 rows to train on leave 1 once 39 are held out for early stopping"):
        train("gbdt", LABEL, early_stopping_rounds=2, validation_fraction=0.96)
