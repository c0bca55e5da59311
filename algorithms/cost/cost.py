"""What a job will cost: rounds, bytes, memory and seconds, from public numbers. Light: the daemon imports it.

Rounds and bytes are those of the party that waits, or sends, most; the formulas are those of docs/protocols.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hansa.algorithms.cost.direct import BYTES_PER_SECOND, direct
from hansa.algorithms.cost.trees import trees
from hansa.config.params import Param

POINT_SECONDS = 110e-6
"""One exponentiation with its check, on one core."""
ROUND_SECONDS = 0.4e-3
"""Work of a party in a round, beside the link."""
MULTIPLICATIONS_PER_SECOND = 2e9
SIGMOID_ROUNDS = {"replicated": 12, "additive": 6}
SIGMOID_BYTES = 168
"""Replicated: bytes an element for the party that sends most, with room for words that are not full."""
PADDED_WORDS = 1 << 18
"""Additive: words of a padded matrix that travel in one message."""
DEALT_WORD = 9848
"""Bytes dealt for the sigmoid of 64 elements: trigonometry and planes 7112, daBits 1024, truncation 1024, triples 688."""
STOCK_BYTES = 8 << 20
"""What a dealer has sent ahead in the end, at most."""
WORKER_MB = 150
DEALT_MB = 64
DIRECT_MB = 150


@dataclass(frozen=True, slots=True)
class Estimate:
    """Per party: rounds (messages that wait for one another), bytes sent, megabytes held, seconds.

    ``preprocessing_bytes`` are what a dealer sends beside, or without one each party for correlations.
    """

    rounds: int
    bytes_per_party: int
    preprocessing_bytes: int
    memory_mb: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Training:
    """LR on at most ``rows`` common rows, ``train`` of them to train on; ``widths`` are the parties' weights."""

    rows: int
    train: int
    widths: list[int]
    epochs: int
    batch_size: int

    @property
    def n_parties(self) -> int:
        return len(self.widths)

    @property
    def batches(self) -> int:
        return math.ceil(self.train / self.batch_size) * self.epochs

    @property
    def test(self) -> int:
        return self.rows - self.train

    @property
    def sizes(self) -> list[int]:
        """The batches of an epoch."""
        whole, rest = divmod(self.train, self.batch_size)
        return [self.batch_size] * whole + [rest] * bool(rest)

    @property
    def words(self) -> int:
        """64 elements each, of all sigmoids."""
        whole, rest = divmod(self.train, self.batch_size)
        an_epoch = whole * math.ceil(self.batch_size / 64) + math.ceil(rest / 64)
        return self.epochs * an_epoch + math.ceil(self.test / 64)


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
    if algorithm == "gbdt":
        return _of_trees(engine, dealer, rows, columns, params, test_fraction, latency_s, bytes_per_s, training_metric)
    epochs, batch_size = int(params["epochs"]), int(params["batch_size"])
    widths = [columns[0] + 1, *columns[1:]]
    job = _Training(rows, rows - math.ceil(test_fraction * rows), widths, epochs, batch_size)
    n, width = job.n_parties, sum(widths)
    dealt = held = 0
    work = rows * (2 * n - 1) * POINT_SECONDS + epochs * job.train * width * 2 / MULTIPLICATIONS_PER_SECOND
    if engine == "additive" and not dealer:
        made = direct(job.sizes, epochs, job.test, widths)
        rounds, sent, dealt, held = made.rounds, made.sent, made.correlations, made.held + (DIRECT_MB << 20)
        work += (sent + dealt) / BYTES_PER_SECOND
    elif engine == "additive":
        (rounds, sent), dealt, held = _additive(job), _dealt(job), DEALT_MB << 20
    else:
        rounds, sent = _replicated(job)
    rounds += 4 + (3 * n - 1) + n
    sent += 32 * rows * 3 * (n - 1)
    seconds = work + rounds * (latency_s + ROUND_SECONDS) + (sent + dealt) / bytes_per_s
    memory = WORKER_MB + (held + 8 * rows * width * 3 + 200 * rows * n) // 1_000_000
    return Estimate(rounds, sent, dealt, memory, seconds)


def _of_trees(
    engine: str,
    dealer: bool,
    rows: int,
    columns: list[int],
    params: Mapping[str, Param],
    test_fraction: float,
    latency_s: float,
    bytes_per_s: float,
    training_metric: bool,
) -> Estimate:
    n, test = len(columns), math.ceil(test_fraction * rows)
    kind = "replicated" if engine == "replicated" else "dealer" if dealer else "direct"
    made = trees(kind, columns, rows - test, test, params, told=training_metric)
    rounds = made.rounds + 4 + 3 * n
    sent = made.sent + 32 * rows * 3 * (n - 1)
    work = rows * (2 * n - 1) * POINT_SECONDS + made.work
    seconds = work + rounds * (latency_s + ROUND_SECONDS) + (sent + made.ahead) / bytes_per_s
    memory = WORKER_MB + (DIRECT_MB if kind == "direct" else DEALT_MB) + (made.held + 200 * rows * n) // 1_000_000
    return Estimate(rounds, sent, made.ahead, memory, seconds)


def _replicated(job: _Training) -> tuple[int, int]:
    """Rounds: N + 1 to prepare, 14 a batch, 14 to evaluate. The label's owner sends its matrix and label."""
    each = SIGMOID_ROUNDS["replicated"] + 2
    rounds = job.n_parties + 1 + job.batches * each + (each if job.test else 0)
    elements = job.epochs * job.train + job.test
    sent = elements * SIGMOID_BYTES + job.batches * sum(job.widths) * 16
    return rounds, sent + 8 * job.rows * max(job.widths) + 8 * job.train


def _additive(job: _Training) -> tuple[int, int]:
    """Rounds: one for each 2 MiB of a matrix to prepare, 9 a batch, 9 to evaluate.

    Bytes: a padded matrix to each other; for a batch of B and W weights (N - 1)·(8B + 32B + 8·38·B/64 + 8W) and the
    weights of the others' columns.
    """
    n, width = job.n_parties, sum(job.widths)
    each, peers = SIGMOID_ROUNDS["additive"] + 3, n - 1
    prepare = sum(math.ceil(job.rows / max(1, PADDED_WORDS // max(w, 1))) for w in job.widths)
    rounds = prepare + job.batches * each + (each if job.test else 0)
    elements = job.epochs * job.train + job.test
    sent = peers * (8 * job.rows * max(job.widths) + 40 * elements + 8 * 38 * job.words + 8 * width * job.batches)
    return rounds, sent + 8 * (width - min(job.widths)) * (job.batches + 1)


def _dealt(job: _Training) -> int:
    """What the dealer sends to the last party: for the sigmoids, for each product with a matrix, for the gradients; and
    at most what is ordered ahead of need and not used: up to twice what is sent."""
    width = sum(job.widths)
    products = 8 * job.n_parties * (job.epochs * job.train + job.test) + 8 * width * job.batches
    needed = job.words * DEALT_WORD + products + job.batches * 16 * 64 * math.ceil(width / 64)
    return needed + min(needed, STOCK_BYTES)
