"""The rows that an enclave trains on, pooled in plain, and what each model trained on them offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.errors import DataError
from hansa.algorithms.gbdt.model.tree_model import Importance
from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.terms import Terms
from hansa.protocols.arrays import Matrix, Vector
from hansa.protocols.wire import canonical

Advance = Callable[[int], None]
"""Is told how many units of the training are done."""
MOST_MODEL: Final = 1 << 28
"""Bytes of a model."""
_VERSION: Final = 1
_LEAST_STEP: Final = 4096


@dataclass(frozen=True, slots=True)
class Pool:
    """The rows that all parties have, those to train on first.

    ``features`` (rows, columns): all parties' columns side by side. ``levels``: the names of each column's categories, None
    for numbers. ``label`` is empty where rows are scored. ``weights`` is None where all weigh the same.
    """

    terms: Terms
    features: NDArray[Any] = field(repr=False)
    levels: tuple[tuple[str, ...] | None, ...] = field(repr=False)
    label: Vector = field(repr=False)
    weights: Vector | None = field(repr=False)

    @classmethod
    def of(cls, terms: Terms, tables: Sequence[PartyTable], rows: Sequence[NDArray[np.int64]]) -> Pool:
        """The given ``rows`` of each party's table."""
        own, places = tables[terms.label_rank], rows[terms.label_rank]
        features = np.empty((len(places), sum(terms.columns)), dtype=own.features.dtype)
        at = 0
        for table, some in zip(tables, rows, strict=True):
            features[:, at : at + len(table.columns)] = table.features[some]
            at += len(table.columns)
        return cls(
            terms,
            features,
            tuple(table.levels.get(column) for table in tables for column in table.columns),
            np.zeros(0) if own.label is None else own.label[places],
            None if own.weights is None else own.weights[places],
        )

    def part(self, rows: slice) -> Pool:
        """Some rows."""
        weights = None if self.weights is None else self.weights[rows]
        return replace(self, features=self.features[rows], label=self.label[rows], weights=weights)


class Model(Protocol):
    """What training leaves, in plain."""

    @classmethod
    def train(cls, pool: Pool, rows: int, advance: Advance) -> Self:
        """On the first ``rows`` rows."""

    @classmethod
    def from_state(cls, terms: Terms, state: bytes) -> Self:
        """The model again."""

    @property
    def importance(self) -> Mapping[tuple[int, str], Importance]:
        """The importance of columns, by rank and column name."""

    @property
    def history(self) -> Sequence[float]:
        """The training metric after each round."""

    def weights_of(self, rank: int) -> dict[str, float]:
        """The standardised weights of a party's columns, and the intercept if it owns the label; trees have none."""

    def scores(self, pool: Pool) -> Matrix:
        """Of each row a probability, the probabilities of all classes, or a number like the label."""

    def to_state(self) -> bytes:
        """Bytes to be sealed."""

    def released(self) -> dict[str, Any]:
        """The model in plain, as it is released to all."""


def pack_state(algorithm: str, *parts: object) -> bytes:
    """A model's parts as bytes to be sealed: the canonical encoding behind its length, then zeros up to a coarse length.

    The length of the sealed model is opened to all, and so tells only its order of size: states are padded to a multiple
    of 4 KiB, larger ones by at most 12 percent (Padmé: Nikitin et al., PETS 2019, section 4).
    """
    state = canonical.encode([_VERSION, algorithm, *parts])
    length = 4 + len(state)
    size = length.bit_length() - 1
    step = max(1 << max(0, size - size.bit_length()), _LEAST_STEP)
    return len(state).to_bytes(4, "big") + state + bytes(-length % step)


def unpack_state(algorithm: str, data: bytes) -> list[Any]:
    """The parts again. Raises ``DataError`` for a model of another version or algorithm."""
    state = data[4 : 4 + int.from_bytes(data[:4], "big")]
    version, found, *parts = canonical.decode_untrusted(state, MOST_MODEL)
    if (version, found) != (_VERSION, algorithm):
        raise DataError("the model was saved by another version of hansa", remedy="train the model anew")
    return list(parts)
