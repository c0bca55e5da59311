"""A party's part of a trained regression and its bytes, and a regression released to all.

The bytes are canonical msgpack, in which no code can hide; arrays are their little-endian bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hansa.algorithms.errors import DataError
from hansa.algorithms.lr.standardise import Standardisation
from hansa.protocols.arrays import Vector
from hansa.protocols.wire import canonical

_VERSION = 1
_MAX_STATE = 1 << 26


@dataclass(frozen=True, slots=True)
class PartyModel:
    """``weights``: the engine's state of this party's share of all weights. ``standardisation``: of its own columns. ``opened``:
    the standardised weights opened to this party, by column; one may be "intercept"."""

    engine: str
    columns: tuple[str, ...]
    weights: bytes = field(repr=False)
    standardisation: Standardisation = field(repr=False)
    opened: dict[str, float] = field(repr=False)

    def to_state(self) -> bytes:
        """Bytes to be sealed."""
        return canonical.encode(
            {
                "version": _VERSION,
                "engine": self.engine,
                "columns": list(self.columns),
                "weights": self.weights,
                "mean": self.standardisation.mean.astype("<f8").tobytes(),
                "std": self.standardisation.std.astype("<f8").tobytes(),
                "opened": self.opened,
            }
        )

    @classmethod
    def from_state(cls, state: bytes) -> PartyModel:
        """The model of a state that this node sealed."""
        data: dict[str, Any] = canonical.decode_untrusted(state, _MAX_STATE)
        if data.get("version") != _VERSION:
            raise DataError("the model was saved by another version of hansa", remedy="train the model anew")
        return cls(
            engine=data["engine"],
            columns=tuple(data["columns"]),
            weights=data["weights"],
            standardisation=Standardisation(
                np.frombuffer(data["mean"], dtype="<f8").copy(), np.frombuffer(data["std"], dtype="<f8").copy()
            ),
            opened=dict(data["opened"]),
        )


@dataclass(frozen=True, slots=True)
class ReleasedModel:
    """A regression in plain: a coefficient for each column, in the column's own unit, and the intercept."""

    parties: tuple[tuple[str, tuple[str, ...]], ...]
    coefficients: Vector
    intercept: float

    def to_json(self) -> dict[str, Any]:
        """Plain data; ``sklearn`` holds what sklearn.linear_model.LogisticRegression calls the same."""
        at, parties = 0, []
        for name, columns in self.parties:
            part = self.coefficients[at : at + len(columns)]
            parties.append({"party": name, "coefficients": dict(zip(columns, part.tolist(), strict=True))})
            at += len(columns)
        features = [f"{name}.{column}" for name, columns in self.parties for column in columns]
        return {
            "format": "hansa-lr",
            "version": _VERSION,
            "parties": parties,
            "intercept": self.intercept,
            "sklearn": {
                "coef_": [self.coefficients.tolist()],
                "intercept_": [self.intercept],
                "classes_": [0, 1],
                "feature_names_in_": features,
            },
        }
