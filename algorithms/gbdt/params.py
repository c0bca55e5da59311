"""Parameters of boosting, with XGBoost's names and meanings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Params:
    """A split needs a gain above ``gamma`` and hessians of ``min_child_weight`` on both sides.

    ``base_score`` is a probability.
    """

    n_estimators: int = 20
    max_depth: int = 3
    learning_rate: float = 0.3
    reg_lambda: float = 1.0
    gamma: float = 0.0
    min_child_weight: float = 1.0
    max_bin: int = 16
    base_score: float = 0.5
