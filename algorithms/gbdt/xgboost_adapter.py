"""Boosting in plain by XGBoost itself, with a job's parameters: in an enclave, and to measure secret trees against.

XGBoost is an extra; ``ImportError`` where it is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from hansa.algorithms.gbdt.objectives import base_score, objective_of
from hansa.algorithms.gbdt.params import TreeParams
from hansa.config.params import metric_of
from hansa.protocols.arrays import Matrix, Vector

THREADS: Final = 2


def version() -> str:
    """The version of XGBoost."""
    import xgboost  # noqa: PLC0415  # an extra

    return str(xgboost.__version__)


_OURS: Final = ("n_estimators", "base_score", "missing", "early_stopping_rounds", "validation_fraction", "eval_metric")
_WITH: Final = {"num_class": "multi:softprob", "scale_pos_weight": "binary:logistic"}


def settings(params: TreeParams, label: Vector, threads: int = THREADS) -> dict[str, Any]:
    """The parameters of ``xgboost.train`` for the same trees; their number is apart. Without ``base_score`` it comes from the
    ``label``, as under MPC."""
    same = {name: value for name, value in asdict(params).items() if name not in _OURS}
    told = {name: value for name, value in same.items() if _WITH.get(name, params.objective) == params.objective}
    objective = objective_of(params.objective, params.num_class)
    begin = base_score(objective, params, objective.unit(label, params.base_score))
    return {"tree_method": "hist", "nthread": threads, "base_score": begin, **told}


def train(
    features: Matrix,
    label: Vector,
    params: TreeParams,
    *,
    weights: Vector | None = None,
    categorical: Sequence[bool] = (),
    threads: int = THREADS,
) -> Any:
    """A trained booster. ``features`` (rows, columns): NaN where empty; ``categorical`` columns hold codes."""
    import xgboost  # noqa: PLC0415  # an extra

    rows = _matrix(features, categorical, label=label, weight=weights, nthread=threads)
    return xgboost.train(settings(params, label, threads), rows, params.n_estimators)


def train_watched(
    features: Matrix,
    label: Vector,
    params: TreeParams,
    *,
    weights: Vector | None,
    categorical: Sequence[bool],
    names: Sequence[str],
    seed: int,
    held_out: tuple[Matrix, Vector] | None,
    tell: bool,
    advance: Callable[[int], None],
    threads: int = THREADS,
) -> tuple[Any, list[float]]:
    """As ``train``, with early stopping by the rows ``held_out``; and, if ``tell``, the training metric after each round.

    ``advance`` is told the number of each round; ``seed`` decides what is sampled.
    """
    import xgboost  # noqa: PLC0415  # an extra

    class Rounds(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            advance(epoch + 1)
            return False

    rows = _matrix(features, categorical, label=label, weight=weights, nthread=threads, feature_names=list(names))
    metric = _name_of_metric(params)
    watched: list[Any] = [(rows, "train")] if tell else []
    callbacks: list[Any] = [Rounds()]
    if held_out is not None:
        watched.append((_matrix(held_out[0], categorical, label=held_out[1], feature_names=list(names)), "held_out"))
        callbacks.append(
            xgboost.callback.EarlyStopping(
                rounds=params.early_stopping_rounds, metric_name=metric, data_name="held_out", save_best=True
            )
        )
    told: dict[str, dict[str, list[float]]] = {}
    booster = xgboost.train(
        settings(params, label, threads) | {"seed": seed, "eval_metric": metric},
        rows,
        params.n_estimators,
        evals=watched,
        evals_result=told,
        verbose_eval=False,
        callbacks=callbacks,
    )
    return booster, told["train"][metric] if tell else []


def _name_of_metric(params: TreeParams) -> str:
    """XGBoost's name of the metric that ``eval_metric`` names."""
    found = metric_of(params.objective, params.eval_metric)
    return "mlogloss" if params.num_class and found == "logloss" else found


def loaded(raw: bytes) -> Any:
    """A booster from its raw bytes."""
    import xgboost  # noqa: PLC0415  # an extra

    booster = xgboost.Booster()
    booster.load_model(bytearray(raw))
    return booster


def predictions(booster: Any, features: Matrix, categorical: Sequence[bool], names: Sequence[str]) -> Vector:
    """Scores of rows: probabilities, (rows,) or (rows, classes), means, or numbers like the label."""
    return np.asarray(booster.predict(_matrix(features, categorical, feature_names=list(names))), dtype=np.float64)


def margins(booster: Any, features: Matrix, categorical: Sequence[bool] = ()) -> Vector:
    """Margins of rows, (rows,) or (rows, classes)."""
    return np.asarray(booster.predict(_matrix(features, categorical), output_margin=True), dtype=np.float64)


def _matrix(features: Matrix, categorical: Sequence[bool], **more: Any) -> Any:
    import xgboost  # noqa: PLC0415  # an extra

    kinds = ["c" if kind else "float" for kind in categorical] or None
    return xgboost.DMatrix(features, feature_types=kinds, enable_categorical=True, **more)
