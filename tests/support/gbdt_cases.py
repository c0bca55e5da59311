"""Small trainings: what every party has, the learner as a job runs it, and the same in plain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from support.job_ends import Quiet

from hansa.algorithms.gbdt import plaintext
from hansa.algorithms.gbdt.bins import Cuts
from hansa.algorithms.gbdt.learner import TreeLearner
from hansa.algorithms.gbdt.model.tree_model import TreeModel
from hansa.algorithms.gbdt.params import TreeParams
from hansa.algorithms.learner import Step
from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.terms import Terms
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import decode

F = 18
LETTERS = tuple("abcdefghij")
BASE: Mapping[str, Any] = {"n_estimators": 2, "max_depth": 2, "max_bin": 8, "learning_rate": 0.5}


@dataclass
class Case:
    """``widths``: columns of each party; ``categorical``: which of all columns hold letters by their places."""

    x: Any
    y: Any
    params: dict[str, Any]
    categorical: tuple[bool, ...]
    weights: Any = None
    label_rank: int = 1
    terms: dict[str, Any] = field(default_factory=dict)

    @property
    def levels(self) -> list[tuple[str, ...] | None]:
        return [LETTERS if kind else None for kind in self.categorical]

    def widths(self, parties: int) -> list[int]:
        columns = self.x.shape[1]
        if parties == 3:
            return [2, 0, columns - 2]  # the label's owner has no column of its own
        return [len(part) for part in np.array_split(np.arange(columns), parties)]

    def names(self, parties: int) -> list[tuple[str, ...]]:
        ends = np.cumsum([0, *self.widths(parties)])
        return [tuple(f"c{i}" for i in range(low, high)) for low, high in pairwise(ends.tolist())]

    def terms_of(self, parties: int) -> Terms:
        names = self.names(parties)
        return Terms(
            **{
                "names": tuple(f"party-{rank}" for rank in range(parties)),
                "column_names": tuple(names),
                "label_rank": self.label_rank,
                "seed": bytes(16),
                "test_fraction": 0.0,
                "params": self.params,
                "scores": "label-owner",
                "weights": "owner",
                "metrics": "all",
                "max_rows": 10_000,
                "algorithm": "gbdt",
                "categorical": tuple(tuple(c for c in own if self.categorical[int(c[1:])]) for own in names),
                "weighted": self.weights is not None,
            }
            | self.terms
        )

    def table(self, rank: int, parties: int) -> PartyTable:
        names = self.names(parties)[rank]
        own = [int(name[1:]) for name in names]
        labelled = rank == self.label_rank
        return PartyTable(
            [b"%d" % row for row in range(len(self.x))],
            self.x[:, own],
            names,
            self.y if labelled else None,
            {name: LETTERS for name in names if self.categorical[int(name[1:])]},
            self.weights if labelled else None,
        )

    def bins(self, rows: slice = slice(None)) -> Any:
        """Of all columns, cut by some rows."""
        return Cuts.fit(self.x[rows], TreeParams(**self.params).max_bin, self.levels).apply(self.x, self.levels)

    def plain(self, rows: slice = slice(None)) -> tuple[plaintext.PlainModel, Any]:
        weights = None if self.weights is None else self.weights[rows]
        return plaintext.train(
            self.bins(rows)[rows],
            self.y[rows],
            TreeParams(**self.params),
            categorical=self.categorical,
            weights=weights,
        )


@dataclass
class Trained:
    """One party's learner, its model, and the margins of the rows trained on."""

    learner: TreeLearner
    model: TreeModel
    margins: Any
    notes: list[str]

    def splits(self, tree: int, start: int) -> dict[int, tuple[int, int]]:
        own = self.model.trees[tree].splits
        return {node: (start + split.column, split.left) for node, split in own.items()}


async def train(e: Engine, case: Case) -> Trained:
    """A job's learner from its table to its outputs."""
    parties, rank = e.session.n_parties, e.session.rank
    learner, progress = TreeLearner(e, case.terms_of(parties)), Quiet()
    table = case.table(rank, parties)
    await learner.prepare(table, len(case.x))
    await learner.train(None, lambda *_: None, Step(e, progress))
    (opened,) = await e.open(learner._state.margins, what="margins")
    return Trained(learner, await learner.outputs(table.columns), decode(opened, F), progress.notes)


def splits_of(results: list[Trained], tree: int, widths: list[int]) -> list[tuple[int, int]]:
    """A tree's splits, by what each party holds of them."""
    starts = np.cumsum([0, *widths])
    found: dict[int, tuple[int, int]] = {}
    for rank, result in enumerate(results):
        own = result.splits(tree, int(starts[rank]))
        owners = result.model.trees[tree].owners
        assert owners == results[0].model.trees[tree].owners
        assert all(owners[node] == rank for node in own)
        found |= own
    return [found[node] for node in range(len(owners))]


def make(name: str, rows: int = 500) -> Case:
    """By what is special about it."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((rows, 5))
    margin = 2 * x[:, 0] - 1.5 * x[:, 1] * x[:, 2] + np.sin(3 * x[:, 3])
    params, categorical, weights = dict(BASE), [False] * 5, None
    y = (rng.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.float64)
    uneven = 1 + 0.2 * rng.random(rows)  # without weights, small nodes have candidates of equal gains
    match name:
        case "logistic":
            params["base_score"] = 0.4
        case "alpha":
            params |= {"reg_alpha": 3.0, "gamma": 1.0}
        case "samples":
            params |= {"subsample": 0.6, "colsample_bytree": 0.6, "n_estimators": 3}
        case "weights":
            params["scale_pos_weight"] = 3.0
            weights = rng.random(rows) * 4
        case "squared error":
            params |= {"objective": "reg:squarederror", "gamma": 2.0, "reg_alpha": 1.0}
            y = 1000 * margin + 50 + 100 * rng.standard_normal(rows)
        case "softmax":
            params |= {"objective": "multi:softprob", "num_class": 3}
            y = np.digitize(margin, [-1, 0.4]).astype(np.float64)
        case "poisson":
            params["objective"] = "count:poisson"
            y = rng.poisson(np.exp(margin / 3)).astype(np.float64)
        case "missing":
            params["missing"] = True
            weights = uneven
            x[rng.random(x.shape) < 0.15] = np.nan
        case "one-hot" | "partition":
            params["max_cat_to_onehot"] = 8 if name == "one-hot" else 4
            categorical, weights = [True, False, False, True, False], uneven
            effect = 2 * rng.standard_normal(len(LETTERS))
            letters = rng.integers(0, len(LETTERS), (rows, 2))
            y = (rng.random(rows) < 1 / (1 + np.exp(-effect[letters[:, 0]] - margin / 2))).astype(np.float64)
            x[:, [0, 3]] = letters
            x[rng.random(rows) < 0.1, 3] = np.nan  # an empty cell is in the last category
        case _:
            raise KeyError(name)
    return Case(x, y, params, tuple(categorical), weights)


NAMES = (
    "logistic",
    "alpha",
    "samples",
    "weights",
    "squared error",
    "softmax",
    "poisson",
    "missing",
    "one-hot",
    "partition",
)
