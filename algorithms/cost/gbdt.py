"""What boosted trees cost, of the party that sends most: fitted to `hansa bench gbdt`. Light: the daemon imports it.

A tree's bytes are a number for each candidate of each node, one for each row, one for each row and vector that goes down a
level, and one for each level. Between more parties all send to all, so they are as many times more. Trees of one round,
of several classes, share its rounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hansa.algorithms.cost.training_cost import DEALERLESS_MB, DEALT_MB, TrainingCost
from hansa.config.params import LOGISTIC, Param, metric_of

HINT: Final = 16_384
"""Bytes of a bin's hint."""
ENCRYPTED: Final = 28 * 2048
"""The same encrypted, without a dealer; held it takes twice that."""
SETUP: Final = 1_500_000
"""Bytes of transfers and keys with each other party, without a dealer."""
LOSS: Final = {
    "replicated": {"auc": (26, 0), "logloss": (920, 0), "rmse": (32, 0)},
    "dealer": {"auc": (25, 31), "logloss": (600, 1_200), "rmse": (48, 32)},
    "dealerless": {"auc": (56, 95), "logloss": (500, 5_000), "rmse": (48, 160)},
}
"""Bytes of a loss on a row, sent with the data and ahead; of an AUC, for each level of the sorting."""
LOSS_ROUNDS: Final = 90
ENTRIES: Final = 1 << 22
"""Leaf indicators that predictions hold at once (``gbdt.boost``)."""


@dataclass(frozen=True, slots=True)
class _Fit:
    """Bytes: a candidate and node, a row, a row and vector, a level. Rounds: a tree, a level, a round of the tournament.
    Seconds: a candidate and node, a row."""

    candidate: int
    row: int
    vector: int
    level: int
    tree_rounds: int
    level_rounds: int
    match_rounds: int
    candidate_seconds: float
    row_seconds: float


ONLINE: Final = {
    "replicated": _Fit(685, 237, 11, 58_000, 43, 118, 11, 5e-6, 2e-6),
    "dealer": _Fit(582, 64, 25, 75_000, 35, 88, 7, 5e-6, 2e-6),
    "dealerless": _Fit(708, 716, 13, 488_000, 53, 131, 12, 50e-6, 30e-6),
}
AHEAD: Final = {
    "replicated": (0, 0, 0),
    "dealer": (2306, 750, 481_000),
    "dealerless": (3563, 712, 520_000),
}
"""Bytes made ahead, by the dealer or by each party: a candidate and node, a row, a level."""


def training(
    kind: str, columns: Sequence[int], train: int, test: int, params: Mapping[str, Param], *, told: bool = False
) -> TrainingCost:
    """All trees on ``train`` rows, and scores of ``test``; ``kind``: replicated, dealer or dealerless; ``told``: with a training
    metric.

    Columns are taken as numbers, and no round as saved by early stopping: ordering categories costs more, stopping less.
    """
    fit, (candidate, row, level) = ONLINE[kind], AHEAD[kind]
    count, groups = int(params["n_estimators"]), max(1, int(params.get("num_class", 0)))
    depth, bins, empty = int(params["max_depth"]), int(params["max_bin"]), bool(params.get("missing", False))
    peers = len(columns) - 1 if kind != "replicated" else 1
    watched = bool(params.get("early_stopping_rounds", 0))
    held_out = math.ceil(float(params.get("validation_fraction", 0.2)) * train) if watched else 0
    rows = train - held_out
    nodes, inner = (1 << depth) - 1, 1 << (depth - 1)
    seen = max(1, int(float(params.get("colsample_bytree", 1.0)) * sum(columns)))
    choices = seen * (2 * bins - 1 if empty else bins - 1)
    vectors = 3 * (inner - 1) + inner
    of_rows = rows * (fit.row + vectors * fit.vector) + held_out * nodes * fit.vector
    losses = [_loss(kind, count, params) for count in (held_out * watched, rows * told) if count]
    sent = groups * (choices * nodes * fit.candidate + of_rows) + depth * fit.level + sum(loss[1] for loss in losses)
    made = groups * (choices * nodes * candidate + rows * row) + depth * level + sum(loss[2] for loss in losses)
    rounds = fit.tree_rounds + depth * (fit.level_rounds + fit.match_rounds * math.ceil(math.log2(max(choices, 2))))
    rounds += sum(loss[0] for loss in losses)
    cells = max(columns) * (bins + empty)
    padded = 1 << max(4, (cells - 1).bit_length())
    once = (ENCRYPTED * padded + SETUP) * peers if kind == "dealerless" else HINT * cells * peers
    held = 2 * ENCRYPTED * padded * peers if kind == "dealerless" else HINT * sum(columns) * (bins + empty)
    memory_mb = DEALERLESS_MB if kind == "dealerless" else DEALT_MB
    work = count * groups * (choices * nodes * fit.candidate_seconds + rows * fit.row_seconds)
    predicted = test * count * groups * nodes * fit.vector
    at_once = max(1, ENTRIES // max(1, (1 << depth) * test * groups))
    return TrainingCost(
        count * rounds + 3 * (depth + 1) * math.ceil(count / at_once) * bool(test),
        (count * sent + predicted) * peers + once,
        count * made * (peers if kind == "dealerless" else 1),
        1_000_000 * memory_mb + held + rows * 8 * (4 * inner + 20) * groups,
        work,
    )


def _loss(kind: str, rows: int, params: Mapping[str, Param]) -> tuple[int, int, int]:
    """Rounds, and bytes sent with the data and ahead, of a loss on so many rows: they are sorted for an AUC."""
    metric = metric_of(str(params.get("objective", LOGISTIC)), str(params.get("eval_metric", "auto")))
    online, ahead = LOSS[kind][metric]
    if metric != "auc":
        return LOSS_ROUNDS, rows * online, rows * ahead
    steps = math.ceil(math.log2(max(rows, 2)))
    levels = steps * (steps + 1) // 2
    return LOSS_ROUNDS + levels * ONLINE[kind].match_rounds, rows * levels * online, rows * levels * ahead
