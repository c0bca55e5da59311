"""Training and scoring on pooled rows in plain: XGBoost and scikit-learn, which this is what libraries are for.

Both are the extra ``enclave``; ``ImportError`` where they are missing. Blocking: call it in a thread.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.errors import DataError
from hansa.algorithms.gbdt import xgboost_adapter
from hansa.algorithms.gbdt.bins import Cuts
from hansa.algorithms.gbdt.model.tree_model import Importance
from hansa.algorithms.gbdt.params import TreeParams, params_of
from hansa.algorithms.lr.plaintext import sigmoid
from hansa.algorithms.lr.standardise import Standardisation
from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.terms import Terms
from hansa.protocols.arrays import Matrix, Vector
from hansa.protocols.wire import canonical

Advance = Callable[[int], None]
MOST_MODEL = 1 << 28
"""Bytes of a model."""
_VERSION = 1
_LEAST_STEP = 4096
_MOST_ITERATIONS = 10_000


@dataclass(frozen=True, slots=True)
class Pool:
    """Rows that all parties have, in one order, the training ones first.

    ``features``: all parties' columns side by side, (rows, columns); ``levels``: the names of each column's categories, None for
    numbers. ``label`` is empty where rows are scored; ``weights`` None where all weigh the same.
    """

    terms: Terms
    features: NDArray[Any] = field(repr=False)
    levels: tuple[tuple[str, ...] | None, ...] = field(repr=False)
    label: Vector = field(repr=False)
    weights: Vector | None = field(repr=False)

    @classmethod
    def of(cls, terms: Terms, tables: Sequence[PartyTable], rows: Sequence[NDArray[np.int64]]) -> Pool:
        """Of each party's table its ``rows``."""
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

    @property
    def importance(self) -> Mapping[tuple[int, str], Importance]:
        """Of columns, by party's rank and name."""

    @property
    def history(self) -> Sequence[float]:
        """The training metric after each round."""

    def weights_of(self, rank: int) -> dict[str, float]:
        """The standardised weights of a party's columns, and the intercept at the label's owner; empty for trees."""

    def scores(self, pool: Pool) -> Matrix:
        """Of every row a probability, those of all classes, or a number like the label."""

    def to_state(self) -> bytes:
        """Bytes to be sealed."""

    def released(self) -> dict[str, Any]:
        """The model in plain, as it is released to all."""


@dataclass(frozen=True, slots=True)
class LinearModel:
    """Logistic regression: a coefficient for every standardised column, all parties' in rank order, then the intercept."""

    terms: Terms
    standardisation: Standardisation = field(repr=False)
    weights: Vector = field(repr=False)
    importance: Mapping[tuple[int, str], Importance] = field(default_factory=dict)
    history: Sequence[float] = ()

    @classmethod
    def train(cls, pool: Pool, rows: int, advance: Advance) -> LinearModel:
        """To convergence: of a job's parameters only ``l2`` counts. The loss is the mean log-loss and l2/2 times the squares."""
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  # an extra

        standardisation = Standardisation.fit(pool.features[:rows])
        l2 = float(pool.terms.params["l2"] or 0.0)
        # one over a mean's weight against the sum's; where nothing is decayed, so little that no digit shows it
        strength = 1 / (l2 * rows) if l2 else np.inf
        solver = LogisticRegression(C=strength, tol=1e-8, max_iter=_MOST_ITERATIONS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what did not converge, which is told below
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
        return _padded(canonical.encode([_VERSION, "lr", *(each.astype("<f8").tobytes() for each in arrays)]))

    @classmethod
    def from_state(cls, terms: Terms, state: bytes) -> LinearModel:
        """The model again."""
        weights, mean, std = (np.frombuffer(each, dtype="<f8") for each in _parts(state, "lr"))
        return cls(terms, Standardisation(mean, std), weights)

    def released(self) -> dict[str, Any]:
        """As ``model.ReleasedModel`` has it: coefficients in their columns' own units."""
        from hansa.algorithms.lr.model import ReleasedModel  # noqa: PLC0415  # used once a model

        parties = tuple(zip(self.terms.names, self.terms.column_names, strict=True))
        coefficients = self.weights[:-1] / self.standardisation.std
        intercept = float(self.weights[-1] - coefficients @ self.standardisation.mean)
        return ReleasedModel(parties, coefficients, intercept).to_json()


@dataclass(frozen=True, slots=True)
class TreesModel:
    """XGBoost's booster; ``categories``: of columns of categories, by place, those with codes of their own."""

    terms: Terms
    booster: Any = field(repr=False)
    categories: Mapping[int, tuple[str, ...]] = field(repr=False)
    history: Sequence[float] = ()

    @classmethod
    def train(cls, pool: Pool, rows: int, advance: Advance) -> TreesModel:
        """XGBoost with the job's parameters on the first ``rows`` rows; the last of them held out where training stops early."""
        params = params_of(pool.terms)
        kept = math.ceil(params.validation_fraction * rows) if params.early_stopping_rounds else 0
        grown = rows - kept
        _check(pool, params, grown, rows)
        categories = _categories(pool, grown, params.max_bin)
        codes = _codes(pool, categories)
        kinds = _kinds(pool.terms)
        booster, history = xgboost_adapter.train_watched(
            codes[:grown],
            pool.label[:grown],
            params,
            weights=None if pool.weights is None else pool.weights[:grown],
            categorical=kinds,
            held_out=(codes[grown:rows], pool.label[grown:rows]) if kept else None,
            tell=pool.terms.training_metric != "none",
            names=_names(pool.terms),
            seed=int.from_bytes(pool.terms.seed[:4], "big") >> 1,
            advance=advance,
        )
        return cls(pool.terms, booster, categories, history)

    @property
    def importance(self) -> dict[tuple[int, str], Importance]:
        """Of columns, by party's rank and name; those without a split have none of anything."""
        found = {kind: self.booster.get_score(importance_type=kind) for kind in ("weight", "total_gain", "total_cover")}
        out = {}
        for rank, (name, columns) in enumerate(_columns(self.terms)):
            for column in columns:
                splits, gain, cover = (float(each.get(f"{name}.{column}", 0.0)) for each in found.values())
                out[rank, column] = Importance(int(splits), gain, cover)
        return out

    def weights_of(self, rank: int) -> dict[str, float]:
        """None: trees have no weights."""
        return {}

    def scores(self, pool: Pool) -> Matrix:
        """Probabilities, those of all classes, or means."""
        codes = _codes(pool, self.categories)
        return xgboost_adapter.predictions(self.booster, codes, _kinds(self.terms), _names(self.terms))

    def to_state(self) -> bytes:
        """Bytes to be sealed."""
        names = [[place, list(kept)] for place, kept in sorted(self.categories.items())]
        return _padded(canonical.encode([_VERSION, "gbdt", bytes(self.booster.save_raw("ubj")), names]))

    @classmethod
    def from_state(cls, terms: Terms, state: bytes) -> TreesModel:
        """The model again."""
        raw, names = _parts(state, "gbdt")
        return cls(terms, xgboost_adapter.loaded(raw), {place: tuple(kept) for place, kept in names})

    def released(self) -> dict[str, Any]:
        """As ``gbdt.released.ReleasedTrees`` has it, without what is in no statement: the sums behind a split, and what stopping
        early wrote down (a held out score in full tells labels)."""
        found = json.loads(bytes(self.booster.save_raw("json")))
        found["learner"]["attributes"] = {}
        for tree in found["learner"]["gradient_booster"]["model"]["trees"]:
            nothing = [0.0] * len(tree["split_indices"])
            tree |= {"loss_changes": nothing, "sum_hessian": nothing}
            leaf = [left == -1 for left in tree["left_children"]]
            weights = zip(leaf, tree["base_weights"], strict=True)
            tree["base_weights"] = [value if is_leaf else 0.0 for is_leaf, value in weights]
        names = _names(self.terms)
        categories = {names[place]: list(kept) for place, kept in self.categories.items()}
        return {"format": "hansa-gbdt", "version": 2, "categories": categories, "xgboost": found}


def trained(pool: Pool, rows: int, advance: Advance) -> Model:
    """The model of the first ``rows`` rows."""
    return (LinearModel if pool.terms.algorithm == "lr" else TreesModel).train(pool, rows, advance)


def loaded(terms: Terms, state: bytes) -> Model:
    """A model that was sealed here."""
    return (LinearModel if terms.algorithm == "lr" else TreesModel).from_state(terms, state)


def _padded(state: bytes) -> bytes:
    """The state behind its length, and zeros up to a coarse length: what a closed model's length tells is its order of size.

    At least to a multiple of 4 KiB, of larger ones by up to 12 percent (Padmé: Nikitin et al., PETS 2019, section 4).
    """
    length = 4 + len(state)
    size = length.bit_length() - 1
    step = max(1 << max(0, size - size.bit_length()), _LEAST_STEP)
    return len(state).to_bytes(4, "big") + state + bytes(-length % step)


def _parts(state: bytes, algorithm: str) -> list[Any]:
    own = state[4 : 4 + int.from_bytes(state[:4], "big")]
    version, found, *parts = canonical.decode_untrusted(own, MOST_MODEL)
    if (version, found) != (_VERSION, algorithm):
        raise DataError("the model was saved by another version of hansa", remedy="train the model anew")
    return list(parts)


def _columns(terms: Terms) -> list[tuple[str, tuple[str, ...]]]:
    return list(zip(terms.names, terms.column_names, strict=True))


def _kinds(terms: Terms) -> list[bool]:
    kinds = terms.categorical or ((),) * terms.n_parties
    pairs = zip(terms.column_names, kinds, strict=True)
    return [column in kind for columns, kind in pairs for column in columns]


def _names(terms: Terms) -> list[str]:
    return [f"{name}.{column}" for name, columns in _columns(terms) for column in columns]


def _categories(pool: Pool, rows: int, n_bins: int) -> dict[int, tuple[str, ...]]:
    """The same categories as under MPC have codes of their own: the most frequent among the rows that trees are grown on."""
    levels, features = pool.levels, pool.features
    places = [place for place, names in enumerate(levels) if names is not None]
    cuts = Cuts.fit(features[:rows, places].astype(np.float64), n_bins, [levels[place] for place in places])
    return {place: tuple(map(str, kept)) for place, kept in zip(places, cuts.columns, strict=True)}


def _codes(pool: Pool, categories: Mapping[int, tuple[str, ...]]) -> NDArray[Any]:
    """Features as XGBoost takes them: of categories their codes, the one after these for all others and empty cells."""
    if not categories:
        return pool.features
    features, levels = pool.features.copy(), pool.levels
    for place, kept in categories.items():
        code = {name: number for number, name in enumerate(kept)}
        names = levels[place] or ()
        table = np.array([*(code.get(name, len(kept)) for name in names), len(kept)], dtype=features.dtype)
        column = features[:, place]
        features[:, place] = table[np.where(np.isnan(column), len(names), column).astype(np.int64)]
    return features


def _check(pool: Pool, params: TreeParams, grown: int, rows: int) -> None:
    if grown < 2:
        raise DataError(
            f"{rows} rows to train on leave {grown} once {rows - grown} are held out for early stopping",
            remedy="lower validation_fraction, or use more common rows",
            field="validation_fraction",
        )
    label = pool.label
    for part, what in ((label[:grown], "trees would be grown on"), (label[grown:rows], "are held out")):
        if part.size and np.all(part == part[0]) and (what.startswith("trees") or params.eval_metric == "auc"):
            raise DataError(
                f"the label is constant on the {part.size} rows that {what}",
                remedy="use a label with different values there, more common rows, or another validation_fraction",
                party=pool.terms.names[pool.terms.label_rank],
            )
