"""Boosted trees on pooled rows in plain, by XGBoost.

XGBoost is of the extra ``enclave``; ``ImportError`` where it is missing. Blocking: call it in a thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.enclave.pool import Advance, Pool, pack_state, unpack_state
from hansa.algorithms.errors import DataError
from hansa.algorithms.gbdt import xgboost_adapter
from hansa.algorithms.gbdt.bins import Cuts
from hansa.algorithms.gbdt.model.tree_model import Importance
from hansa.algorithms.gbdt.params import TreeParams, held_out_rows, params_of
from hansa.algorithms.terms import Terms
from hansa.protocols.arrays import Matrix


@dataclass(frozen=True, slots=True)
class XgboostModel:
    """``booster``: XGBoost's. ``categories``: by a column's place, the names of its categories that have codes."""

    terms: Terms
    booster: Any = field(repr=False)
    categories: Mapping[int, tuple[str, ...]] = field(repr=False)
    history: Sequence[float] = ()

    @classmethod
    def train(cls, pool: Pool, rows: int, advance: Advance) -> XgboostModel:
        """XGBoost with the job's parameters, on the first ``rows`` rows. Early stopping holds out the last of these."""
        params = params_of(pool.terms)
        held_out = held_out_rows(params, rows)
        grown = rows - held_out
        _check_label(pool, params, grown, rows)
        categories = _categories(pool, grown, params.max_bin)
        codes = _codes(pool, categories)
        kinds = _kinds(pool.terms)
        booster, history = xgboost_adapter.train_watched(
            codes[:grown],
            pool.label[:grown],
            params,
            weights=None if pool.weights is None else pool.weights[:grown],
            categorical=kinds,
            held_out=(codes[grown:rows], pool.label[grown:rows]) if held_out else None,
            tell=pool.terms.training_metric != "none",
            names=_names(pool.terms),
            seed=int.from_bytes(pool.terms.seed[:4], "big") >> 1,
            advance=advance,
        )
        return cls(pool.terms, booster, categories, history)

    @property
    def importance(self) -> dict[tuple[int, str], Importance]:
        """The importance of columns, by rank and column name; zeros for a column without a split."""
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
        return pack_state("gbdt", bytes(self.booster.save_raw("ubj")), names)

    @classmethod
    def from_state(cls, terms: Terms, state: bytes) -> XgboostModel:
        """The model again."""
        raw, names = unpack_state("gbdt", state)
        return cls(terms, xgboost_adapter.loaded(raw), {place: tuple(kept) for place, kept in names})

    def released(self) -> dict[str, Any]:
        """In the form of ``ReleasedTrees``, without what no leakage statement names: the sums behind a split, and the attributes
        that early stopping leaves (all digits of a loss on rows held out would tell labels)."""
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


def _columns(terms: Terms) -> list[tuple[str, tuple[str, ...]]]:
    return list(zip(terms.names, terms.column_names, strict=True))


def _kinds(terms: Terms) -> list[bool]:
    kinds = terms.categorical or ((),) * terms.n_parties
    pairs = zip(terms.column_names, kinds, strict=True)
    return [column in kind for columns, kind in pairs for column in columns]


def _names(terms: Terms) -> list[str]:
    return [f"{name}.{column}" for name, columns in _columns(terms) for column in columns]


def _categories(pool: Pool, rows: int, n_bins: int) -> dict[int, tuple[str, ...]]:
    """The categories that have codes, the same as under MPC: the most frequent among the rows that trees are grown on."""
    levels, features = pool.levels, pool.features
    places = [place for place, names in enumerate(levels) if names is not None]
    cuts = Cuts.fit(features[:rows, places].astype(np.float64), n_bins, [levels[place] for place in places])
    return {place: tuple(map(str, kept)) for place, kept in zip(places, cuts.columns, strict=True)}


def _codes(pool: Pool, categories: Mapping[int, tuple[str, ...]]) -> NDArray[Any]:
    """Features as XGBoost takes them: codes for categories, and the code after the last for all others and empty cells."""
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


def _check_label(pool: Pool, params: TreeParams, grown: int, rows: int) -> None:
    label = pool.label
    for part, what in ((label[:grown], "trees would be grown on"), (label[grown:rows], "are held out")):
        if part.size and np.all(part == part[0]) and (what.startswith("trees") or params.eval_metric == "auc"):
            raise DataError(
                f"the label is constant on the {part.size} rows that {what}",
                remedy="use a label with different values there, more common rows, or another validation_fraction",
                party=pool.terms.names[pool.terms.label_rank],
            )
