"""The parameters of each algorithm: their kinds, bounds, defaults, and which values do not fit each other.

Job files and contracts read them here, so that both refuse the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hansa.config.vocabulary import PREPROCESSING

Param = int | float | bool | str
"""What a parameter's value can be."""


@dataclass(frozen=True, slots=True)
class Whole:
    """An integer from ``least`` to ``most``."""

    least: int
    most: int
    default: int
    stated: bool = True


@dataclass(frozen=True, slots=True)
class Real:
    """A number from ``least`` to ``most``; without a ``default`` it may be left out, which has a meaning of its own."""

    least: float
    most: float
    default: float | None
    stated: bool = True


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    default: bool
    stated: bool = True


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    choices: tuple[str, ...]
    default: str
    stated: bool = True


Kind = Whole | Real | Flag | Choice
"""``stated``: every contract says it. Others are left out at their default, which therefore never changes."""

LOGISTIC = "binary:logistic"
SQUARED_ERROR = "reg:squarederror"
SOFTMAX = "multi:softprob"
POISSON = "count:poisson"
LABELS = {LOGISTIC: "binary", SQUARED_ERROR: "real", SOFTMAX: "classes", POISSON: "count"}
"""What each objective takes as a label: 0 and 1, any numbers, classes counted from 0, numbers from 0 on."""
EVAL_METRICS = {"auc": (LOGISTIC,), "logloss": (LOGISTIC, SOFTMAX), "rmse": (SQUARED_ERROR, POISSON)}
"""The objectives that each metric of early stopping goes with."""
AUTO_METRIC = {LOGISTIC: "logloss", SQUARED_ERROR: "rmse", SOFTMAX: "logloss", POISSON: "rmse"}
"""What ``eval_metric = "auto"`` means with each objective."""
MOST_CLASSES = 32

PARAMS: dict[str, dict[str, Kind]] = {
    "lr": {
        "epochs": Whole(1, 1000, 10),
        "batch_size": Whole(1, 1_000_000, 1024),
        "learning_rate": Real(1e-6, 100.0, 0.5),
        "l2": Real(0.0, 100.0, 0.0),
    },
    "gbdt": {
        "objective": Choice(tuple(LABELS), LOGISTIC, stated=False),
        "num_class": Whole(0, MOST_CLASSES, 0, stated=False),
        "n_estimators": Whole(1, 1000, 20),
        "max_depth": Whole(1, 10, 3),
        "learning_rate": Real(1e-3, 1.0, 0.3),
        "reg_lambda": Real(1e-3, 1000.0, 1.0),
        "reg_alpha": Real(0.0, 1000.0, 0.0, stated=False),
        "gamma": Real(0.0, 1000.0, 0.0),
        "min_child_weight": Real(0.0, 1000.0, 1.0),
        "subsample": Real(0.05, 1.0, 1.0, stated=False),
        "colsample_bytree": Real(0.01, 1.0, 1.0, stated=False),
        "max_bin": Whole(2, 255, 16),
        "base_score": Real(-1e9, 1e9, None, stated=False),
        "scale_pos_weight": Real(0.001, 128.0, 1.0, stated=False),
        "missing": Flag(False, stated=False),
        "max_cat_to_onehot": Whole(1, 255, 4, stated=False),
        "early_stopping_rounds": Whole(0, 1000, 0, stated=False),
        "validation_fraction": Real(0.01, 0.5, 0.2, stated=False),
        "eval_metric": Choice(("auto", *EVAL_METRICS), "auto", stated=False),
    },
    PREPROCESSING: dict.fromkeys(("triples", "bit_triples", "bit_pairs", "dabits"), Whole(0, 10_000_000_000, 0)),
}
"""Each algorithm's parameters. What is made ahead has how many of each kind."""
ALGORITHMS = tuple(name for name in PARAMS if name != PREPROCESSING)
"""What a job file can ask for."""


def label_kind(algorithm: str, params: Mapping[str, Param]) -> str:
    """What the label must be: one of the values of ``LABELS``."""
    return LABELS[str(params.get("objective", LOGISTIC))] if algorithm == "gbdt" else "binary"


def metric_of(objective: str, eval_metric: str) -> str:
    """The metric that ``eval_metric`` names."""
    return AUTO_METRIC[objective] if eval_metric == "auto" else eval_metric


def misfit(algorithm: str, params: Mapping[str, Param]) -> tuple[str, str] | None:
    """The first parameter, each in its own bounds, that does not fit another, and why; None where all fit."""
    if algorithm != "gbdt":
        return None
    defaults = {name: kind.default for name, kind in PARAMS["gbdt"].items()}
    value = {**defaults, **params}
    objective, base, classes = value["objective"], params.get("base_score"), int(value["num_class"] or 0)
    metric, rounds, trees = str(value["eval_metric"]), value["early_stopping_rounds"], value["n_estimators"]
    rules = (
        (objective == SOFTMAX and classes < 2, "num_class", f"must be from 2 to {MOST_CLASSES} with {SOFTMAX}"),
        (objective != SOFTMAX and classes != 0, "num_class", f"goes with the objective {SOFTMAX} only"),
        (
            objective == LOGISTIC and base is not None and not 0.01 <= float(base) <= 0.99,
            "base_score",
            f"must be a probability from 0.01 to 0.99 with {LOGISTIC}",
        ),
        (
            objective == POISSON and base is not None and float(base) <= 0,
            "base_score",
            f"must be above 0 with {POISSON}",
        ),
        (
            objective != LOGISTIC and value["scale_pos_weight"] != 1,
            "scale_pos_weight",
            f"goes with the objective {LOGISTIC} only",
        ),
        (
            metric != "auto" and objective not in EVAL_METRICS.get(metric, ()),
            "eval_metric",
            f"is {metric!r}, which goes with {' and '.join(EVAL_METRICS.get(metric, ()))} only",
        ),
        (
            int(rounds or 0) > int(trees or 0),
            "early_stopping_rounds",
            f"is {rounds}, more than the {trees} trees of n_estimators, so it would never stop",
        ),
    )
    return next(((key, why) for wrong, key, why in rules if wrong), None)
