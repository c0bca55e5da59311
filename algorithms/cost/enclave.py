"""What a job in an enclave costs: its rows once over the link, and the libraries' time. Light: the daemon imports it."""

from __future__ import annotations

from collections.abc import Mapping

from hansa.algorithms.cost.cost import WORKER_MB, Estimate
from hansa.config.params import Param

ROUNDS = 5
"""Two to attest, one to compare terms, rows there, answers back."""
BEGIN_SECONDS = 1.0
"""Loading the libraries."""
CELLS_PER_SECOND = 1e8
"""Of one level of a tree; a regression looks at all cells about a hundred times."""
PLACE_BYTES = 16
_PASSES = 100


def estimate(
    *, algorithm: str, rows: int, columns: list[int], params: Mapping[str, Param], latency_s: float, bytes_per_s: float
) -> Estimate:
    """Per owner, as ``cost.estimate``: bytes of the owner that sends most, memory of the enclave."""
    cell, trees = (4, int(params["n_estimators"] or 0)) if algorithm == "gbdt" else (8, 0)
    sent = rows * (PLACE_BYTES + cell * max(columns) + 8)
    levels = trees * int(params.get("max_depth") or 0) * int(params.get("num_class") or 1) if trees else _PASSES
    work = BEGIN_SECONDS + rows * sum(columns) * levels / CELLS_PER_SECOND
    seconds = work + ROUNDS * latency_s + len(columns) * sent / bytes_per_s
    memory = WORKER_MB + rows * (3 * len(columns) * PLACE_BYTES + 3 * cell * sum(columns)) // 1_000_000
    return Estimate(ROUNDS, sent, 0, memory, seconds)
