"""The same boosting by XGBoost itself, on plaintext: what the secret trees are measured against.

XGBoost is an extra; ``ImportError`` where it is not installed.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.gbdt.params import Params

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

THREADS: Final = 2
_NOT_SETTINGS: Final = frozenset(
    ("n_estimators", "missing", "early_stopping_rounds", "validation_fraction", "eval_metric")
)
"""Of a job's parameters those that are no booster's: how long and on what is trained."""


def version() -> str:
    """XGBoost's."""
    import xgboost  # noqa: PLC0415  # an extra

    return str(xgboost.__version__)


def settings(params: Params, threads: int = THREADS) -> dict[str, Any]:
    """What ``xgboost.train`` takes for the same trees, all but their number: names and meanings are the same."""
    same = {name: value for name, value in asdict(params).items() if name not in _NOT_SETTINGS and value is not None}
    return {"objective": "binary:logistic", "tree_method": "hist", "nthread": threads, **same}


def train(features: Matrix, label: Vector, params: Params, threads: int = THREADS) -> Any:
    """The booster for rows (rows, columns) and labels 0 or 1."""
    import xgboost  # noqa: PLC0415  # an extra

    rows = xgboost.DMatrix(features, label, nthread=threads)
    return xgboost.train(settings(params, threads), rows, params.n_estimators)


def margins(booster: Any, features: Matrix) -> Vector:
    """Of rows, before the sigmoid."""
    import xgboost  # noqa: PLC0415  # an extra

    return np.asarray(booster.predict(xgboost.DMatrix(features), output_margin=True), dtype=np.float64)
