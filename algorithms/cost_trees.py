"""What boosted trees cost, of the party that sends most: fitted to `hansa bench gbdt`. Light: the daemon imports it.

A tree's bytes are a number for each candidate of each node, one for each row, one for each row and vector that goes down a
level, and one for each level. Between more parties all send to all, so they are as many times more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hansa.config.params import Param

HINT: Final = 16_384
"""Bytes of a bin's hint."""
ENCRYPTED: Final = 28 * 2048
"""The same encrypted, without a dealer; held it takes twice that."""
SETUP: Final = 1_500_000
"""Bytes of transfers and keys with each other party, without a dealer."""


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
    "direct": _Fit(708, 716, 13, 488_000, 53, 131, 12, 50e-6, 30e-6),
}
AHEAD: Final = {
    "replicated": (0, 0, 0),
    "dealer": (2306, 750, 481_000),
    "direct": (3563, 712, 520_000),
}
"""Bytes made ahead, by the dealer or by each party: a candidate and node, a row, a level."""


@dataclass(frozen=True, slots=True)
class Trees:
    """Rounds, bytes sent with the data and ahead, bytes held, seconds of work."""

    rounds: int
    sent: int
    ahead: int
    held: int
    work: float


def trees(kind: str, columns: Sequence[int], train: int, test: int, params: Mapping[str, Param]) -> Trees:
    """Of all trees on ``train`` rows, and scores of ``test``; ``kind``: replicated, dealer or direct."""
    fit, (candidate, row, level) = ONLINE[kind], AHEAD[kind]
    count = int(params["n_estimators"]) * max(1, int(params.get("num_class", 0)))
    depth, bins = int(params["max_depth"]), int(params["max_bin"])
    peers = len(columns) - 1 if kind != "replicated" else 1
    nodes, inner = (1 << depth) - 1, 1 << (depth - 1)
    choices = sum(columns) * (bins - 1)
    vectors = 3 * (inner - 1) + inner
    sent = choices * nodes * fit.candidate + train * (fit.row + vectors * fit.vector) + depth * fit.level
    made = choices * nodes * candidate + train * row + depth * level
    rounds = fit.tree_rounds + depth * (fit.level_rounds + fit.match_rounds * math.ceil(math.log2(max(choices, 2))))
    cells = max(columns) * bins
    padded = 1 << max(4, (cells - 1).bit_length())
    once = (ENCRYPTED * padded + SETUP) * peers if kind == "direct" else HINT * cells * peers
    held = 2 * ENCRYPTED * padded * peers if kind == "direct" else HINT * sum(columns) * bins
    work = count * (choices * nodes * fit.candidate_seconds + train * fit.row_seconds)
    predicted = test * count * nodes * fit.vector
    return Trees(
        count * rounds + 3 * count * depth * bool(test),
        (count * sent + predicted) * peers + once,
        count * made * (peers if kind == "direct" else 1),
        held + train * 8 * (4 * inner + 20),
        work,
    )
