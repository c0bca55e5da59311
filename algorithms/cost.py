"""What a job will cost: rounds, bytes, memory and seconds, from public numbers. Light: the daemon imports it."""

from __future__ import annotations

import math
from dataclasses import dataclass

POINT_SECONDS = 110e-6
"""One exponentiation with its check, on one core."""
ROUND_SECONDS = 0.4e-3
"""Work of a party in a round, beside the link."""
MULTIPLICATIONS_PER_SECOND = 2e9
SIGMOID_ROUNDS = 12
SIGMOID_BYTES = 168
"""Bytes an element for the party that sends most (docs/protocols.md), with room for words that are not full."""
PER_BATCH_ROUNDS = SIGMOID_ROUNDS + 2
PER_COLUMN_BYTES = 16


@dataclass(frozen=True, slots=True)
class Estimate:
    """Per party: rounds (messages that wait for one another), bytes sent, megabytes held, seconds."""

    rounds: int
    bytes_per_party: int
    memory_mb: int
    seconds: float


def estimate(
    *,
    rows: int,
    columns: list[int],
    epochs: int,
    batch_size: int,
    test_fraction: float,
    latency_s: float,
    bytes_per_s: float,
) -> Estimate:
    """Of training LR on at most ``rows`` common rows, with each party's number of columns.

    Rounds, for N parties: 4 to begin, 3N - 1 to align, N + 1 to prepare, 14 a batch, 14 to evaluate, N for the weights
    (fewer if all learn all). Bytes are those of the party that sends most.
    """
    n_parties, width = len(columns), sum(columns) + 1
    train = rows - math.ceil(test_fraction * rows)
    batches = math.ceil(train / batch_size) * epochs
    evaluation = SIGMOID_ROUNDS + 2 if train < rows else 0
    rounds = 4 + (3 * n_parties - 1) + (n_parties + 1) + batches * PER_BATCH_ROUNDS + evaluation + n_parties
    alignment = 32 * rows * 3 * (n_parties - 1)
    training = (epochs * train + rows - train) * SIGMOID_BYTES + batches * width * PER_COLUMN_BYTES
    matrix = 8 * rows * (max(columns) + 1) + 8 * train
    sent = alignment + training + matrix
    points = rows * (2 * n_parties - 1)
    work = points * POINT_SECONDS + epochs * train * width * 2 / MULTIPLICATIONS_PER_SECOND + rounds * ROUND_SECONDS
    memory = 150 + (8 * rows * width * 3 + 200 * rows * n_parties) // 1_000_000
    return Estimate(rounds, sent, memory, work + rounds * latency_s + sent / bytes_per_s)
