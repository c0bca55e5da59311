"""The same boosting by XGBoost itself, on plaintext: what the secret trees are measured against.

XGBoost is an extra; ``ImportError`` where it is not installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.gbdt.objectives import base_score, objective_of
from hansa.algorithms.gbdt.params import Params

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

THREADS: Final = 2


def version() -> str:
    """XGBoost's."""
    import xgboost  # noqa: PLC0415  # an extra

    return str(xgboost.__version__)


_OURS: Final = ("n_estimators", "base_score", "missing", "early_stopping_rounds", "validation_fraction", "eval_metric")
_WITH: Final = {"num_class": "multi:softprob", "scale_pos_weight": "binary:logistic"}


def settings(params: Params, label: Vector, threads: int = THREADS) -> dict[str, Any]:
    """What ``xgboost.train`` takes for the same trees, all but their number: names and meanings are the same.

    Where no ``base_score`` is given, it is what the label's owner makes of the ``label``.
    """
    same = {name: value for name, value in asdict(params).items() if name not in _OURS}
    told = {name: value for name, value in same.items() if _WITH.get(name, params.objective) == params.objective}
    objective = objective_of(params.objective, params.num_class)
    begin = base_score(objective, params, objective.unit(label, params.base_score))
    return {"tree_method": "hist", "nthread": threads, "base_score": begin, **told}


def train(
    features: Matrix,
    label: Vector,
    params: Params,
    *,
    weights: Vector | None = None,
    categorical: Sequence[bool] = (),
    threads: int = THREADS,
) -> Any:
    """The booster for rows (rows, columns), NaN where empty; columns that are ``categorical`` hold codes."""
    import xgboost  # noqa: PLC0415  # an extra

    rows = xgboost.DMatrix(
        features, label, weight=weights, nthread=threads, feature_types=_kinds(categorical), enable_categorical=True
    )
    return xgboost.train(settings(params, label, threads), rows, params.n_estimators)


def margins(booster: Any, features: Matrix, categorical: Sequence[bool] = ()) -> Vector:
    """Of rows, before the sigmoid or softmax: (rows,) or (rows, classes)."""
    import xgboost  # noqa: PLC0415  # an extra

    rows = xgboost.DMatrix(features, feature_types=_kinds(categorical), enable_categorical=True)
    return np.asarray(booster.predict(rows, output_margin=True), dtype=np.float64)


def _kinds(categorical: Sequence[bool]) -> list[str] | None:
    return ["c" if kind else "float" for kind in categorical] or None
