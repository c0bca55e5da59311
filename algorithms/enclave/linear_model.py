"""Logistic regression on pooled rows in plain, by scikit-learn.

scikit-learn is of the extra ``enclave``; ``ImportError`` where it is missing. Blocking: call it in a thread.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from hansa.algorithms.enclave.pool import Advance, Pool, pack_state, unpack_state
from hansa.algorithms.errors import DataError
from hansa.algorithms.gbdt.model.tree_model import Importance
from hansa.algorithms.lr.model import ReleasedModel
from hansa.algorithms.lr.plaintext import sigmoid
from hansa.algorithms.lr.standardise import Standardisation
from hansa.algorithms.terms import Terms
from hansa.protocols.arrays import Vector

_MOST_ITERATIONS: Final = 10_000


@dataclass(frozen=True, slots=True)
class LinearModel:
    """Logistic regression. ``weights``: of every standardised column, party by party, then the intercept."""

    terms: Terms
    standardisation: Standardisation = field(repr=False)
    weights: Vector = field(repr=False)
    importance: Mapping[tuple[int, str], Importance] = field(default_factory=dict)
    history: Sequence[float] = ()

    @classmethod
    def train(cls, pool: Pool, rows: int, advance: Advance) -> LinearModel:
        """To convergence; of the job's parameters only ``l2`` counts. The loss: the mean log-loss, and l2/2 times the squares."""
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  # an extra

        standardisation = Standardisation.fit(pool.features[:rows])
        l2 = float(pool.terms.params["l2"] or 0.0)
        # scikit-learn's C weighs the sum of the losses, not their mean, against the squares
        strength = 1 / (l2 * rows) if l2 else np.inf
        solver = LogisticRegression(C=strength, tol=1e-8, max_iter=_MOST_ITERATIONS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a solver that does not converge is an error below
            solver.fit(standardisation.apply(pool.features[:rows]), pool.label[:rows])
        if solver.n_iter_[0] >= _MOST_ITERATIONS:
            raise DataError(
                "the training does not converge: some columns may tell the label by themselves",
                remedy="raise lr.l2, or leave out the column that says what the label says",
                field="l2",
            )
        advance(1)
        return cls(pool.terms, standardisation, np.append(solver.coef_[0], solver.intercept_[0]))

    def weights_of(self, rank: int) -> dict[str, float]:
        """Standardised, by column; see ``Model``."""
        start = sum(self.terms.columns[:rank])
        named = dict(zip(self.terms.column_names[rank], self.weights[start:].tolist(), strict=False))
        return named | ({"intercept": float(self.weights[-1])} if rank == self.terms.label_rank else {})

    def scores(self, pool: Pool) -> Vector:
        """Probabilities of the label 1."""
        scores: Vector = sigmoid(self.standardisation.apply(pool.features) @ self.weights[:-1] + self.weights[-1])
        return scores

    def to_state(self) -> bytes:
        """Bytes to be sealed."""
        arrays = (self.weights, self.standardisation.mean, self.standardisation.std)
        return pack_state("lr", *(each.astype("<f8").tobytes() for each in arrays))

    @classmethod
    def from_state(cls, terms: Terms, state: bytes) -> LinearModel:
        """The model again."""
        weights, mean, std = (np.frombuffer(each, dtype="<f8") for each in unpack_state("lr", state))
        return cls(terms, Standardisation(mean, std), weights)

    def released(self) -> dict[str, Any]:
        """In the form of ``ReleasedModel``, with coefficients in their columns' own units."""
        parties = tuple(zip(self.terms.names, self.terms.column_names, strict=True))
        coefficients = self.weights[:-1] / self.standardisation.std
        intercept = float(self.weights[-1] - coefficients @ self.standardisation.mean)
        return ReleasedModel(parties, coefficients, intercept).to_json()
