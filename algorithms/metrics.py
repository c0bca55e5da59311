"""How good scores are, in plain; and the curves people look at."""

from __future__ import annotations

from typing import Final

import numpy as np

from hansa.protocols.arrays import Vector

TASKS: Final = {
    "binary": ("auc", "ks", "accuracy", "log_loss"),
    "classes": ("accuracy", "log_loss"),
    "real": ("rmse", "mae", "r2"),
    "count": ("rmse", "mae", "deviance"),
}
"""What is measured of each kind of label."""
_LEAST_PROBABILITY = 1e-6
"""Fixed point rounds a probability to 0 or 1; log-loss takes it as one in a million."""


def evaluate_as(task: str, label: Vector, score: Vector) -> dict[str, float]:
    """The metrics of a task: scores are probabilities, (rows,) or (rows, classes), or numbers like the label.

    ``deviance`` is Poisson's, twice the mean of y ln(y / mean) - y + mean; ``r2`` is 0 for a constant label.
    """
    if task == "binary":
        return evaluate(label, score)
    if task == "classes":
        rows, places = np.arange(label.size), label.astype(np.int64)
        chosen = np.clip(score[rows, places], _LEAST_PROBABILITY, 1.0)
        return {
            "accuracy": float(np.mean(score.argmax(axis=1) == places)),
            "log_loss": float(-np.mean(np.log(chosen))),
        }
    errors = score - label
    found = {"rmse": float(np.sqrt(np.mean(errors**2))), "mae": float(np.mean(np.abs(errors)))}
    if task == "count":
        mean = np.maximum(score, _LEAST_PROBABILITY)
        ratio = np.where(label > 0, label * np.log(np.where(label > 0, label, 1.0) / mean), 0.0)
        return found | {"deviance": float(2 * np.mean(ratio - label + mean))}
    spread = float(np.var(label))
    return found | {"r2": 1.0 - float(np.mean(errors**2)) / spread if spread else 0.0}


def evaluate(label: Vector, score: Vector) -> dict[str, float]:
    """``auc``, ``ks``, ``accuracy`` (at 1/2) and ``log_loss`` of probabilities against 0/1 labels."""
    false, true = rates(label, score)
    clipped = np.clip(score, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return {
        "auc": _area(true, false),
        "ks": float(np.max(np.abs(true - false))),
        "accuracy": float(np.mean((score >= 0.5) == (label == 1))),
        "log_loss": float(-np.mean(np.where(label == 1, np.log(clipped), np.log1p(-clipped)))),
    }


def rates(label: Vector, score: Vector) -> tuple[Vector, Vector]:
    """False and true positive rates at every distinct score, from the highest down, beginning at (0, 0)."""
    order = np.argsort(-score, kind="stable")
    score, positive = score[order], label[order] == 1
    last_of_tie = np.append(np.flatnonzero(np.diff(score)), score.size - 1)
    true = np.cumsum(positive)[last_of_tie] / max(1, int(positive.sum()))
    false = np.cumsum(~positive)[last_of_tie] / max(1, int((~positive).sum()))
    return np.append(0.0, false), np.append(0.0, true)


def _area(y: Vector, x: Vector) -> float:
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
