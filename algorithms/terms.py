"""What a contract says to the algorithms: plain values, without the wire's types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """``column_names[p]``: the feature columns of party p; ``label_rank``: who has the label."""

    names: tuple[str, ...]
    column_names: tuple[tuple[str, ...], ...]
    label_rank: int
    seed: bytes
    test_fraction: float
    params: Mapping[str, int | float]
    scores: str
    weights: str
    metrics: str
    max_rows: int

    @property
    def columns(self) -> tuple[int, ...]:
        """How many feature columns each party has."""
        return tuple(map(len, self.column_names))

    @property
    def n_parties(self) -> int:
        """How many parties."""
        return len(self.names)
