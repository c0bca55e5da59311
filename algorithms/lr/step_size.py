"""The learning rate in fixed point: a small public integer and a shift, chosen so that nothing overflows.

A step takes c/2^e times the batch's summed gradient off the weights. The gradient's sum over a batch of B rows has
absolute value at most min(B·CLIP, sqrt(B·n))·(1 + sigmoid's error) in standardised units (Cauchy-Schwarz: the squares
of a standardised column over the n training rows sum to at most n), times 2^36; with c of at most
``60 - 36 - log2(that)`` bits the product stays below 2^60. The decay d/2^e of a weight below ``MOST_WEIGHT`` (in
standardised units) stays below 2^61 as d stays below 2^16. So their sum is below 2^62, where truncation is never grossly
wrong. docs/protocols.md says why weights stay below it, and what happens beyond.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hansa.algorithms.errors import DataError
from hansa.algorithms.lr.standardise import CLIP
from hansa.config.vocabulary import FRAC_BITS

PRODUCT_BITS = 2 * FRAC_BITS
MOST_WEIGHT = 2.0**9
_ROOM = 60
_MOST_BITS = 12
_MOST_SHIFT = 40
_DECAY_BITS = 16


@dataclass(frozen=True, slots=True)
class StepSize:
    """One learning rate for batches of one size: the step is ``factor / 2^shift`` of the summed gradient, and
    ``decay / 2^shift`` of the weights."""

    factor: int
    decay: int
    shift: int

    @property
    def rate(self) -> float:
        """The learning rate per row as it is, factor / 2^shift."""
        return self.factor / 2.0**self.shift

    @property
    def decay_rate(self) -> float:
        """What is taken off a weight each step, as a part of it."""
        return self.decay / 2.0**self.shift


def step_size(learning_rate: float, l2: float, batch: int, train: int) -> StepSize:
    """The step for batches of ``batch`` of ``train`` rows. Raises ``DataError`` where fixed point cannot represent it."""
    bound = min(batch * CLIP, math.sqrt(batch) * math.sqrt(max(train, 1))) * 1.01
    bits = min(_MOST_BITS, math.floor(_ROOM - PRODUCT_BITS - math.log2(max(bound, 1.0))))
    rate = learning_rate / batch
    shift = min(_MOST_SHIFT, bits - math.ceil(math.log2(rate)))
    if learning_rate * l2 > 0:
        if learning_rate * l2 >= 1:
            raise DataError(
                f"a learning rate of {learning_rate} with l2 of {l2} turns weights over in each step",
                remedy="choose them so that their product is well below 1",
                field="l2",
            )
        shift = min(shift, _DECAY_BITS - math.ceil(math.log2(learning_rate * l2)))
    factor = round(rate * 2.0**shift)
    if bits < 1 or factor < 1 or shift < 0:
        raise DataError(
            f"a learning rate of {learning_rate} with batches of {batch} rows does not fit fixed point",
            remedy="use smaller batches, or a learning rate between 0.001 and 10",
            field="learning_rate",
        )
    return StepSize(factor, round(learning_rate * l2 * 2.0**shift), shift)


def refuse_diverged(weights: Mapping[str, float]) -> None:
    """Raises ``DataError`` where a standardised weight is beyond what the arithmetic is right for.

    The error goes to all parties. So it names neither column nor weight, which are opened to their owner only.
    """
    if any(abs(weight) >= MOST_WEIGHT for weight in weights.values()):
        raise DataError(
            f"the training diverged: a weight came to {MOST_WEIGHT:.0f} or more",
            remedy="use a smaller learning rate, or larger batches",
        )
