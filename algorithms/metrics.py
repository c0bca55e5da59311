"""How good scores are: AUC, KS, accuracy, log-loss, in plain; and the curves people look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
_LEAST_PROBABILITY = 1e-6
"""Fixed point rounds a probability to 0 or 1; log-loss takes it as one in a million."""


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
