"""What logistic regression costs, of the party that sends most. docs/protocols.md has the formulas."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hansa.algorithms.cost.lr_dealerless import dealerless
from hansa.algorithms.cost.training_cost import DEALT_MB, TrainingCost
from hansa.config.params import Param

MULTIPLICATIONS_PER_SECOND = 2e9
SIGMOID_ROUNDS = {"replicated": 12, "dealer": 6}
SIGMOID_BYTES = 168
"""Replicated: bytes an element for the party that sends most, with room for words that are not full."""
PADDED_WORDS = 1 << 18
"""Additive: words of a padded matrix that travel in one message."""
DEALT_WORD = 9848
"""Bytes dealt for the sigmoid of 64 elements: trigonometry and planes 7112, daBits 1024, truncation 1024, triples 688."""
STOCK_BYTES = 8 << 20
"""What a dealer has sent ahead in the end, at most."""


@dataclass(frozen=True, slots=True)
class _Training:
    """``train`` rows to train on and ``test`` to evaluate; ``widths``: weights of each party."""

    train: int
    test: int
    widths: list[int]
    epochs: int
    batch_size: int

    @property
    def n_parties(self) -> int:
        return len(self.widths)

    @property
    def rows(self) -> int:
        return self.train + self.test

    @property
    def batches(self) -> int:
        """Of all epochs."""
        return math.ceil(self.train / self.batch_size) * self.epochs

    @property
    def sizes(self) -> list[int]:
        """Of the batches of one epoch."""
        whole, rest = divmod(self.train, self.batch_size)
        return [self.batch_size] * whole + [rest] * bool(rest)

    @property
    def words(self) -> int:
        """64 elements each, of all sigmoids."""
        whole, rest = divmod(self.train, self.batch_size)
        an_epoch = whole * math.ceil(self.batch_size / 64) + math.ceil(rest / 64)
        return self.epochs * an_epoch + math.ceil(self.test / 64)


def training(kind: str, columns: Sequence[int], train: int, test: int, params: Mapping[str, Param]) -> TrainingCost:
    """Training on ``train`` rows and scores of ``test``; ``kind``: replicated, dealer or dealerless."""
    widths = [columns[0] + 1, *columns[1:]]
    job = _Training(train, test, widths, int(params["epochs"]), int(params["batch_size"]))
    work = job.epochs * train * sum(widths) * 2 / MULTIPLICATIONS_PER_SECOND
    matrices = 8 * job.rows * sum(widths) * 3
    if kind == "dealerless":
        cost = dealerless(job.sizes, job.epochs, test, widths)
        return TrainingCost(cost.rounds, cost.sent, cost.ahead, cost.held + matrices, work + cost.work)
    if kind == "dealer":
        return TrainingCost(*_additive(job), _dealt(job), (DEALT_MB << 20) + matrices, work)
    return TrainingCost(*_replicated(job), 0, matrices, work)


def _replicated(job: _Training) -> tuple[int, int]:
    """Rounds: N + 1 to prepare, 14 a batch, 14 to evaluate. The label's owner sends its matrix and label."""
    each = SIGMOID_ROUNDS["replicated"] + 2
    rounds = job.n_parties + 1 + job.batches * each + (each if job.test else 0)
    elements = job.epochs * job.train + job.test
    sent = elements * SIGMOID_BYTES + job.batches * sum(job.widths) * 16
    return rounds, sent + 8 * job.rows * max(job.widths) + 8 * job.train


def _additive(job: _Training) -> tuple[int, int]:
    """Rounds: one for each 2 MiB of a matrix to prepare, 9 a batch, 9 to evaluate.

    Bytes: a padded matrix to each other party; for a batch of B rows and W weights (N - 1)·(8B + 32B + 8·38·B/64 + 8W)
    and the weights of the others' columns.
    """
    n, width = job.n_parties, sum(job.widths)
    each, peers = SIGMOID_ROUNDS["dealer"] + 3, n - 1
    prepare = sum(math.ceil(job.rows / max(1, PADDED_WORDS // max(w, 1))) for w in job.widths)
    rounds = prepare + job.batches * each + (each if job.test else 0)
    elements = job.epochs * job.train + job.test
    sent = peers * (8 * job.rows * max(job.widths) + 40 * elements + 8 * 38 * job.words + 8 * width * job.batches)
    return rounds, sent + 8 * (width - min(job.widths)) * (job.batches + 1)


def _dealt(job: _Training) -> int:
    """Bytes that the dealer sends to the last party: for the sigmoids, for each product with a matrix, for the gradients.

    To these comes what is ordered ahead of need and never used: at most as much again, and at most ``STOCK_BYTES``.
    """
    width = sum(job.widths)
    products = 8 * job.n_parties * (job.epochs * job.train + job.test) + 8 * width * job.batches
    needed = job.words * DEALT_WORD + products + job.batches * 16 * 64 * math.ceil(width / 64)
    return needed + min(needed, STOCK_BYTES)
