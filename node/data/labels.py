"""What a label and sample weights must be. Errors name file, column and row, never a value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.errors import DataError
from hansa.node.data.columns import COUNTED
from hansa.node.data.schema import Use
from hansa.node.data.sources import TableSource

Values = NDArray[np.float64]
LARGEST_LABEL = 1e12
MOST_COUNTED = 255
HEAVIEST = 128


def check_label(source: TableSource, use: Use, values: Values) -> None:
    """Raise DataError where a label does not fit the job's objective, or is the same in every row."""
    kind, classes = use.label_kind, use.num_class
    if kind == "binary":
        wrong, why = (values != 0) & (values != 1), "is neither 0 nor 1"
        remedy = "write the label as 0 and 1"
    elif kind == "classes":
        wrong, why = (
            (values != np.floor(values)) | (values < 0) | (values >= classes),
            f"is not one of {classes} classes",
        )
        remedy = f"number the classes from 0 to {classes - 1}, or write another num_class in [gbdt]"
    elif kind == "count":
        wrong, why = (values < 0) | (values > MOST_COUNTED), f"is not from 0 to {MOST_COUNTED}"
        remedy = "correct the label, count in a larger unit, or train with another objective"
    else:
        wrong, why = np.abs(values) > LARGEST_LABEL, f"is above {LARGEST_LABEL:g} in size"
        remedy = "correct the label, or write it in a larger unit"
    _check_rows(source, "label", use.label or "", wrong, why, remedy)
    if values.min() == values.max():
        raise _whole(
            source,
            use.label or "",
            f"the label '{use.label}' of {source.path} is the same in every row, so there is nothing to learn",
            "name another label, or add rows of the other class"
            if kind in {"binary", "classes"}
            else "name another label, or add rows that differ",
        )
    if kind == "classes" and np.unique(values).size != classes:
        raise _whole(
            source,
            use.label or "",
            f"not every class from 0 to {classes - 1} of the label '{use.label}' is in {source.path}",
            "add rows of the class, or number those that there are from 0 and write num_class accordingly",
        )


def check_weights(source: TableSource, name: str, values: Values) -> None:
    """Raise DataError where sample weights are out of bounds, or nothing weighs anything."""
    wrong = (values < 0) | (values > HEAVIEST)
    remedy = f"write weights from 0 to {HEAVIEST}: only their proportion to each other and to reg_lambda counts"
    _check_rows(source, "weight", name, wrong, f"is not from 0 to {HEAVIEST}", remedy)
    if not values.any():
        said = f"the weight '{name}' of {source.path} is 0 in every row"
        raise _whole(source, name, said, "correct the weights, or leave `weight` out of the job file")


def _check_rows(source: TableSource, role: str, name: str, wrong: NDArray[np.bool_], why: str, remedy: str) -> None:
    places = np.flatnonzero(wrong)
    if places.size:
        row = int(places[0]) + 1
        raise DataError(
            f"the {role} '{name}' {why} in row {row} of {source.path}",
            remedy=f"{remedy} {COUNTED}",
            file=source.path,
            column=name,
            row=row,
        )


def _whole(source: TableSource, name: str, message: str, remedy: str) -> DataError:
    return DataError(message, remedy=remedy, file=source.path, column=name)
