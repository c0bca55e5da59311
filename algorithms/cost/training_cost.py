"""What training costs the party that sends most, before what every job adds: the shape in which the formulas answer."""

from __future__ import annotations

from dataclasses import dataclass

DEALT_MB = 64
"""Memory of the replicated engine, and of the additive engine with a dealer."""
DEALERLESS_MB = 150
"""Memory of the additive engine without a dealer: keys, ciphertexts and transfers."""


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """Rounds, bytes sent with the data, bytes sent ahead for correlations, bytes of memory, seconds of computation."""

    rounds: int
    sent: int
    ahead: int
    held: int
    work: float
