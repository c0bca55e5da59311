"""Puts on record, at every member, what a job in an enclave opened, under the names of its leakage statement."""

from __future__ import annotations

from typing import Any

from hansa.algorithms import leakage
from hansa.algorithms.enclave import statement
from hansa.algorithms.metrics import TASKS
from hansa.algorithms.terms import Terms
from hansa.config.params import label_kind
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.session.session import Session


def declare(
    s: Session,
    kind: str,
    terms: Terms,
    rows: int,
    test_rows: int,
    model_bytes: int,
    released: dict[str, Any] | None = None,
) -> None:
    """Declare all that a job opened, with the number of elements. Raises ``UndeclaredOpening`` for what the contract lacks.

    ``rows``: common rows; ``test_rows``: those held out; ``released``: the model in plain, whose splits and leaves are counted.
    Of a training metric the most rounds that there can be are declared, since not all parties learn how many there were.
    """
    leaves, splits = _nodes(released) if released is not None and terms.algorithm == "gbdt" else (0, 0)
    classes = int(terms.params.get("num_class") or 1)
    elements = {
        leakage.ALIGNMENT: rows,
        leakage.SCORES: rows * classes,
        leakage.TEST_SCORES: test_rows * classes,
        leakage.METRICS: len(TASKS[label_kind(terms.algorithm, terms.params)]) if test_rows else 0,
        leakage.TRAINING_METRIC: int(terms.params.get("n_estimators") or 0),
        leakage.WEIGHTS: sum(terms.columns) + 1,
        leakage.COEFFICIENTS: sum(terms.columns),
        leakage.LEAVES: leaves,
        leakage.RELEASED_SPLITS: splits,
        statement.MODEL_SIZE: int(model_bytes > 0),
    }
    for rank, columns in enumerate(terms.columns):
        elements[leakage.weights_of(rank)] = columns + (rank == terms.label_rank)
        elements[leakage.importance_of(rank)] = 3 * columns
    for what, to, _ in statement.openings(kind, terms.algorithm, terms, terms.names, terms.label_rank, terms.params):
        count = elements.get(what, 1)
        if count:
            s.declare_opening(what, to, count)


def _nodes(plain: dict[str, Any]) -> tuple[int, int]:
    """How many leaves and how many splits released trees have. Raises ``PeerMisbehaved`` where there are no trees."""
    try:
        trees = plain["xgboost"]["learner"]["gradient_booster"]["model"]["trees"]
        below = [left for tree in trees for left in tree["left_children"]]
    except (KeyError, TypeError) as error:
        raise PeerMisbehaved("the enclave released no trees", remedy="check its version of hansa") from error
    leaves = below.count(-1)
    return leaves, len(below) - leaves
