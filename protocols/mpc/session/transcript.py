"""What a session did: rounds, bytes, seconds per step and kind, and every value it opened.

Progress, cost reports, the audit log, the leakage statement's check and the tests read this one record.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum


class Phase(Enum):
    """When the work of a step is done: before the data is there, or with it."""

    PREPROCESSING = "preprocessing"
    ONLINE = "online"


@dataclass(slots=True)
class StepCost:
    """The cost of one step so far. ``bytes_sent`` counts payload per peer rank; ``frames`` counts messages."""

    rounds: int = 0
    frames: int = 0
    seconds: float = 0.0
    bytes_sent: dict[int, int] = field(default_factory=dict)

    def count_sent(self, peer: int, size: int) -> None:
        """A message with a payload of ``size`` bytes goes to ``peer``."""
        self.frames += 1
        self.bytes_sent[peer] = self.bytes_sent.get(peer, 0) + size

    @property
    def total_bytes(self) -> int:
        """Payload bytes sent to all peers."""
        return sum(self.bytes_sent.values())


@dataclass(frozen=True, slots=True)
class OpeningRecord:
    """One opening: what it was declared as, the ranks that learnt it, how many elements, in which step."""

    what: str
    to: tuple[int, ...]
    elements: int
    step: str


@dataclass(slots=True)
class Transcript:
    """The record of one party. Concurrent forks add their rounds up, though they share the waiting.

    ``drawn``: elements of correlations used, by kind (``additive.stored.kinds``); ``stored``: of these, taken from the store.
    ``sources``: where transfers with each other rank come from (ot.link).
    """

    steps: dict[tuple[str, Phase], StepCost] = field(default_factory=dict)
    openings: list[OpeningRecord] = field(default_factory=list)
    drawn: dict[str, int] = field(default_factory=dict)
    stored: dict[str, int] = field(default_factory=dict)
    sources: dict[int, str] = field(default_factory=dict)

    def cost(self, step: str, kind: Phase) -> StepCost:
        """The (running) cost of a step."""
        return self.steps.setdefault((step, kind), StepCost())

    def count_drawn(self, kind: str, elements: int) -> None:
        """Count ``elements`` of a kind of correlation as used."""
        self.drawn[kind] = self.drawn.get(kind, 0) + elements

    def count_stored(self, kind: str, elements: int) -> None:
        """Count ``elements`` of a kind of correlation as taken from the store."""
        self.stored[kind] = self.stored.get(kind, 0) + elements

    @contextmanager
    def timed(self, step: str, kind: Phase) -> Iterator[StepCost]:
        """Add the wall time of the block to the step."""
        cost = self.cost(step, kind)
        started = time.perf_counter()
        try:
            yield cost
        finally:
            cost.seconds += time.perf_counter() - started

    @property
    def rounds(self) -> int:
        """Rounds of all steps."""
        return sum(cost.rounds for cost in self.steps.values())

    @property
    def frames(self) -> int:
        """Messages sent in all steps."""
        return sum(cost.frames for cost in self.steps.values())

    @property
    def bytes_sent(self) -> int:
        """Payload bytes sent in all steps, to all peers."""
        return sum(cost.total_bytes for cost in self.steps.values())
