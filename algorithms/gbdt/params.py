"""Parameters of boosting, with XGBoost's names and meanings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from hansa.algorithms.errors import DataError
from hansa.algorithms.terms import Terms

MOST_WEIGHT: Final = 128.0
"""Of a sample."""


@dataclass(frozen=True, slots=True)
class TreeParams:
    """A split needs a gain above ``gamma``, and a sum of hessians of at least ``min_child_weight`` on both sides.

    ``base_score``: a probability, or a number in the label's own unit; None means 1/2, or the label's mean. ``missing``:
    whether cells may be empty. ``early_stopping_rounds``: 0 for no early stopping.
    """

    objective: str = "binary:logistic"
    num_class: int = 0
    n_estimators: int = 20
    max_depth: int = 3
    learning_rate: float = 0.3
    reg_lambda: float = 1.0
    reg_alpha: float = 0.0
    gamma: float = 0.0
    min_child_weight: float = 1.0
    max_bin: int = 16
    subsample: float = 1.0
    colsample_bytree: float = 1.0
    base_score: float | None = None
    scale_pos_weight: float = 1.0
    missing: bool = False
    max_cat_to_onehot: int = 4
    early_stopping_rounds: int = 0
    validation_fraction: float = 0.2
    eval_metric: str = "auto"


def params_of(terms: Terms) -> TreeParams:
    """The contract's parameters."""
    return TreeParams(**terms.params)  # type: ignore[arg-type]  # the contract has checked types and bounds


def held_out_rows(params: TreeParams, train_rows: int) -> int:
    """How many of the training rows early stopping holds out. Raises ``DataError`` where fewer than two rows are left."""
    held_out = math.ceil(params.validation_fraction * train_rows) if params.early_stopping_rounds else 0
    rows = train_rows - held_out
    if rows < 2:
        raise DataError(
            f"{train_rows} rows to train on leave {rows} once {held_out} are held out for early stopping",
            remedy="lower validation_fraction, or use more common rows",
            field="validation_fraction",
        )
    return held_out
