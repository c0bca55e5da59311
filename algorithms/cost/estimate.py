"""What a job will cost: rounds, bytes, memory and seconds, from public numbers. Light: the daemon imports it.

Rounds and bytes are those of the party that waits, or sends, most. docs/protocols.md has the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hansa.algorithms.cost import gbdt, lr
from hansa.config.params import Param
from hansa.config.vocabulary import ENCLAVE

POINT_SECONDS = 110e-6
"""One exponentiation with its check, on one core."""
ROUND_SECONDS = 0.4e-3
"""Computation of a party in a round, beside the link."""
WORKER_MB = 150
ENCLAVE_ROUNDS = 5
"""Two to attest, one to compare the terms, one for the rows, one for the answers."""
BEGIN_SECONDS = 1.0
"""An enclave's: loading the libraries."""
CELLS_PER_SECOND = 1e8
"""Of one level of a tree in plain; a regression passes over all cells about ``_PASSES`` times."""
PLACE_BYTES = 16
_PASSES = 100


@dataclass(frozen=True, slots=True)
class Estimate:
    """Per party: rounds (messages that wait for one another), bytes sent, megabytes of memory, seconds.

    ``preprocessing_bytes`` are for correlations: the dealer's bytes, or without a dealer those of each party.
    """

    rounds: int
    bytes_per_party: int
    preprocessing_bytes: int
    memory_mb: int
    seconds: float


def estimate(
    *,
    algorithm: str = "lr",
    engine: str,
    dealer: bool,
    rows: int,
    columns: list[int],
    params: Mapping[str, Param],
    test_fraction: float,
    latency_s: float,
    bytes_per_s: float,
    training_metric: bool = False,
) -> Estimate:
    """Of training on at most ``rows`` common rows, with each party's number of columns, the label's owner first.

    Rounds, for N parties: 4 to begin, 3N - 1 to align, N for the weights (fewer if all learn all), and the engine's to
    prepare, for each batch (of trees: each tree) and to evaluate.
    """
    if engine == ENCLAVE:
        return _in_enclave(algorithm, rows, columns, params, latency_s, bytes_per_s)
    n, test = len(columns), math.ceil(test_fraction * rows)
    kind = "replicated" if engine == "replicated" else "dealer" if dealer else "dealerless"
    if algorithm == "gbdt":
        cost = gbdt.training(kind, columns, rows - test, test, params, told=training_metric)
        rounds = cost.rounds + 4 + 3 * n
    else:
        cost = lr.training(kind, columns, rows - test, test, params)
        rounds = cost.rounds + 4 + (3 * n - 1) + n
    sent = cost.sent + 32 * rows * 3 * (n - 1)
    work = rows * (2 * n - 1) * POINT_SECONDS + cost.work
    seconds = work + rounds * (latency_s + ROUND_SECONDS) + (sent + cost.ahead) / bytes_per_s
    memory = WORKER_MB + (cost.held + 200 * rows * n) // 1_000_000
    return Estimate(rounds, sent, cost.ahead, memory, seconds)


def _in_enclave(
    algorithm: str, rows: int, columns: list[int], params: Mapping[str, Param], latency_s: float, bytes_per_s: float
) -> Estimate:
    """Per owner: bytes of the owner that sends most, memory of the enclave. The rows cross the link once."""
    cell, trees = (4, int(params["n_estimators"] or 0)) if algorithm == "gbdt" else (8, 0)
    sent = rows * (PLACE_BYTES + cell * max(columns) + 8)
    levels = trees * int(params.get("max_depth") or 0) * int(params.get("num_class") or 1) if trees else _PASSES
    work = BEGIN_SECONDS + rows * sum(columns) * levels / CELLS_PER_SECOND
    seconds = work + ENCLAVE_ROUNDS * latency_s + len(columns) * sent / bytes_per_s
    memory = WORKER_MB + rows * (3 * len(columns) * PLACE_BYTES + 3 * cell * sum(columns)) // 1_000_000
    return Estimate(ENCLAVE_ROUNDS, sent, 0, memory, seconds)
