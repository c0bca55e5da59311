"""What an algorithm is given and gives back: terms, tables, progress, checkpoints, outcomes. No files, no sockets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PartyTable:
    """One party's own rows, in its own order: keys as bytes, features (rows, columns) float64 in C order, label.

    ``source`` names the file for error messages.
    """

    keys: list[bytes] = field(repr=False)
    features: Floats = field(repr=False)
    columns: tuple[str, ...]
    label: Floats | None = field(default=None, repr=False)
    source: str = "the table"


@dataclass(frozen=True, slots=True)
class PartyTerms:
    """What the contract says of one party."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """What the contract says of a job: the same at every party. Ranks are the places in ``parties``.

    ``scores``: "label-owner", "all" or "none"; ``weights``: "owner" or "all"; ``metrics``: "all" or "label-owner".
    """

    parties: tuple[PartyTerms, ...]
    label_rank: int
    params: Mapping[str, int | float]
    seed: bytes
    test_fraction: float = 0.2
    scores: str = "label-owner"
    weights: str = "owner"
    metrics: str = "all"
    max_rows: int = 10_000_000

    @property
    def everyone(self) -> tuple[int, ...]:
        """All ranks."""
        return tuple(range(len(self.parties)))

    @property
    def scores_to(self) -> tuple[int, ...]:
        """The ranks that receive scores."""
        return {"all": self.everyone, "label-owner": (self.label_rank,), "none": ()}[self.scores]

    @property
    def n_columns(self) -> int:
        """Feature columns of all parties."""
        return sum(len(party.columns) for party in self.parties)

    def public(self) -> list[object]:
        """Everything above as plain values, for comparing with the other parties."""
        return [
            [[party.name, list(party.columns)] for party in self.parties],
            self.label_rank,
            dict(self.params),
            self.seed,
            self.test_fraction,
            self.scores,
            self.weights,
            self.metrics,
            self.max_rows,
        ]


class Progress(Protocol):
    """Where progress is reported to."""

    def step(self, name: str, total: int = 0) -> None:
        """A step begins, of ``total`` units (0: unknown)."""

    def advance(self, done: int) -> None:
        """``done`` units of the current step are done."""


class Checkpoints(Protocol):
    """Where the state after each epoch is kept, sealed."""

    def save(self, epoch: int, blob: bytes) -> None:
        """Keep the state after ``epoch`` (counted from 0)."""

    def load(self) -> tuple[int, bytes] | None:
        """The epoch to resume from and its state; None to begin at the beginning."""


class Silent:
    """Progress that nobody watches."""

    def step(self, name: str, total: int = 0) -> None:
        """Nothing."""

    def advance(self, done: int) -> None:
        """Nothing."""


class NoCheckpoints:
    """Checkpoints that are not kept."""

    def save(self, epoch: int, blob: bytes) -> None:
        """Nothing."""

    def load(self) -> tuple[int, bytes] | None:
        """Nothing to resume from."""
        return None


@dataclass(frozen=True, slots=True)
class Scores:
    """Probabilities of class 1, with the receiver's own keys; ``labels`` where the receiver holds them."""

    keys: list[bytes] = field(repr=False)
    scores: Floats = field(repr=False)
    labels: Floats | None = field(default=None, repr=False)
