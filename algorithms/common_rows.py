"""Checks of the rows that all parties have, and the rounding of metrics: alike under MPC and in an enclave."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.errors import DataError
from hansa.algorithms.terms import Terms

METRIC_DIGITS = 4
"""Digits that others learn of a metric: after the point if it is below 1, else in all."""


def check_label(task: str, terms: Terms, label: NDArray[np.float64] | None, train_rows: int) -> None:
    """Raises ``DataError`` where the label leaves nothing to learn, or a class no curve. Without the label nothing is checked."""
    if label is None:
        return
    parts = ((label[:train_rows], "training"), (label[train_rows:], "test"))
    for part, name in parts if task == "binary" else parts[:1]:
        if part.size and np.all(part == part[0]):
            raise DataError(
                f"the label is constant on the {name} rows common to all parties",
                remedy="use a label with different values there, or more common rows",
                party=terms.names[terms.label_rank],
            )
    missing = set(range(int(terms.params.get("num_class", 0)))) - set(label[:train_rows].tolist())
    if task == "classes" and missing:
        raise DataError(
            f"{len(missing)} of the label's {terms.params['num_class']} classes do not occur in the training rows common to all",
            remedy="lower num_class, join classes, or use more common rows",
            party=terms.names[terms.label_rank],
        )


def none_in_common() -> DataError:
    """No key is common to all."""
    return DataError(
        "no key is common to all parties: the intersection is empty",
        remedy="compare the key columns, their spelling and align.normalise in the job file",
        field="key",
    )


def too_few(count: int) -> DataError:
    """Too few rows are common to all to hold some out and train on the rest."""
    return DataError(
        f"only {count} rows are common to all parties: too few to train and test on",
        remedy="compare the key columns, their spelling and align.normalise in the job file",
        field="rows",
    )


def rounded(metrics: dict[str, float]) -> dict[str, float]:
    """Metrics as others learn them. All digits of a log-loss, with the scores, would tell the labels of dozens of rows."""
    return {
        name: round(value, METRIC_DIGITS) if abs(value) < 1 else float(f"{value:.{METRIC_DIGITS}g}")
        for name, value in metrics.items()
    }
