"""What a job will cost: rounds, bytes, memory and seconds, from public numbers. Light: the daemon imports it."""

from __future__ import annotations

import math
from dataclasses import dataclass

POINT_SECONDS = 160e-6
"""One exponentiation with its check, on one core."""
ROUND_SECONDS = 0.4e-3
"""Work of a party in a round, beside the link."""
MULTIPLICATIONS_PER_SECOND = 2e9
SIGMOID_ROUNDS = 12
SIGMOID_BYTES = 180
"""Bytes an element for the party that sends most (docs/protocols.md)."""
PER_BATCH_ROUNDS = SIGMOID_ROUNDS + 2
PER_COLUMN_BYTES = 32


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
    """Of training LR on at most ``rows`` common rows, with each party's number of columns."""
    n_parties, width = len(columns), sum(columns) + 1
    train = rows - math.ceil(test_fraction * rows)
    batches = math.ceil(train / batch_size) * epochs
    rounds = batches * PER_BATCH_ROUNDS + 2 * n_parties + 20
    alignment = 2 * 32 * rows * n_parties
    training = epochs * train * SIGMOID_BYTES + batches * width * PER_COLUMN_BYTES
    matrix = 8 * rows * max(columns)
    sent = alignment + training + matrix
    points = rows * (2 * n_parties)
    work = points * POINT_SECONDS + epochs * train * width * 2 / MULTIPLICATIONS_PER_SECOND + rounds * ROUND_SECONDS
    memory = 150 + (8 * rows * width * 3 + 200 * rows * n_parties) // 1_000_000
    return Estimate(rounds, sent, memory, work + rounds * latency_s + sent / bytes_per_s)
