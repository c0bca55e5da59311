"""Boosted trees as the learner of a job: bins, training from a checkpoint, scores, and importance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hansa.algorithms import leakage
from hansa.algorithms.errors import DataError
from hansa.algorithms.gbdt.bins import Cuts, levels_of
from hansa.algorithms.gbdt.layout import Layout
from hansa.algorithms.gbdt.losses import mean_loss
from hansa.algorithms.gbdt.model.importance import importance
from hansa.algorithms.gbdt.model.release import label_unit
from hansa.algorithms.gbdt.model.tree_model import Importance, SavedTree, TreeModel
from hansa.algorithms.gbdt.objectives import Objective, SquaredError, Unit, objective_of, sample_weights
from hansa.algorithms.gbdt.params import MOST_WEIGHT, held_out_rows, params_of
from hansa.algorithms.gbdt.training import boost
from hansa.algorithms.gbdt.training.stopping import Watch
from hansa.algorithms.gbdt.training.tree import Tree, table_of
from hansa.algorithms.learner import Save, SharedScores, Step, open_for
from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.terms import Terms
from hansa.config.params import label_kind, metric_of
from hansa.protocols.arrays import Vector
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import decode, encode
from hansa.protocols.mpc.shares import Share
from hansa.protocols.wire import canonical

_MAX_STATE = 1 << 31
_MOST = 2.0**24
_FAR = 1 << 40
"""More than any loss: the least so far, before the first round."""


class TreeLearner:
    """One training; see ``learner.Learner``."""

    weights = None

    def __init__(self, e: Engine, terms: Terms) -> None:
        self._e, self._terms, self._params = e, terms, params_of(terms)
        self._objective = objective_of(self._params.objective, self._params.num_class)
        self._metric = metric_of(self._params.objective, self._params.eval_metric)
        self._history: list[float] = []
        self._unit: Unit | None = None
        self._scale = 1.0

    @property
    def task(self) -> str:
        """What is learnt; see ``metrics.TASKS``."""
        return label_kind(self._terms.algorithm, self._terms.params)

    async def prepare(self, table: PartyTable, train_rows: int) -> int:
        """Cut the columns into bins by the rows to train on, hand the bins to the engine, and share the label.

        Raises ``DataError`` for an empty column, for labels that are all alike, and for sums that would overflow.
        """
        e, terms, params = self._e, self._terms, self._params
        held_out = held_out_rows(params, train_rows)
        rows = train_rows - held_out
        heaviest = max(1.0, params.scale_pos_weight) * (MOST_WEIGHT if terms.weighted else 1.0)
        senders = e.session.n_parties - 1
        boost.quantised(e.frac_bits, rows, senders, self._objective, params, heaviest)
        self._check(table, rows, train_rows)
        levels = levels_of(table.columns, table.levels)
        self._cuts = Cuts.fit(table.features[:rows], params.max_bin, levels)
        bins = self._cuts.apply(table.features, levels)
        kinds = terms.categorical or ((),) * terms.n_parties
        categorical = tuple(
            tuple(name in kind for name in names) for names, kind in zip(terms.column_names, kinds, strict=True)
        )
        self._held_out = np.ascontiguousarray(bins[train_rows:])
        prepared = await table_of(e, np.ascontiguousarray(bins[:rows]), Layout.of(params, categorical))
        label = table.label
        self._unit = None if label is None else self._objective.unit(label[:rows], params.base_score)
        self._base = await self._shared_base()
        self._problem = boost.Problem(
            prepared,
            self._objective,
            await self._shared_label(label, slice(0, rows), rows),
            self._base,
            await self._in_unit(params.reg_alpha, 1, 0) if params.reg_alpha else None,
            await self._in_unit(params.gamma, 2, boost.gains_shift(prepared)),
            await self._shared_weights(label, table.weights, rows),
            heaviest,
            terms.seed,
        )
        watch = None
        if held_out:
            part = slice(rows, train_rows)
            watch = Watch(
                np.ascontiguousarray(bins[part]),
                await self._shared_label(label, part, held_out),
                self._metric,
                params.early_stopping_rounds,
                boost.started(e, self._base, held_out),
                e.public(np.array([_FAR], dtype=np.uint64)),
                e.public(np.zeros(1, dtype=np.uint64)),
            )
        self._state = boost.begin(e, self._problem, watch)
        return params.n_estimators

    async def train(self, start: tuple[int, bytes] | None, save: Save, step: Step) -> None:
        """All rounds. The state after each: the trees so far, the margins, and what early stopping remembers."""
        groups, told = self._objective.groups, self._terms.training_metric != "none"
        if start is not None:
            self._load(start[1])
        if told and self._metric == "rmse":
            self._scale = await self._scale_of_metric()

        async def after(state: boost.BoostState) -> None:
            if told:
                self._history.append(await self._training_metric())
            rounds = state.rounds(groups)
            save(rounds, self._dump())
            step.advance(rounds, f"{self._metric} {self._history[-1]:.4f}" if told and self._hears else "")

        await boost.train(self._e, self._problem, self._params, self._state, after)

    async def test_scores(self) -> SharedScores:
        """Scores of the rows held out."""
        trees = self._state.kept(self._objective.groups)
        margins = await boost.predict(self._e, trees, self._held_out, self._base)
        return await _scores(self._e, self._terms, self._objective, margins, self._unit)

    async def outputs(self, columns: tuple[str, ...]) -> TreeModel:
        """Open the importance of columns as the contract says, and return this party's part of the model."""
        e, kept = self._e, self._state.kept(self._objective.groups)
        trees = tuple(saved(e, tree, with_facts=False) for tree in kept)
        opened = {} if self._terms.importance == "none" else await self._importance(kept)
        history = tuple(self._history) if self._hears else ()
        base = e.share_state(self._base)
        return TreeModel(e.name, columns, self._cuts, base, self._unit, trees, opened, history)

    async def _shared_label(self, label: Vector | None, part: slice, rows: int) -> Share:
        """Labels of some rows, (groups, rows)."""
        e, objective = self._e, self._objective
        values = None
        if label is not None and self._unit is not None:
            values = encode(objective.targets(label[part], self._unit), 0 if objective.integral else e.frac_bits)
        return await e.input(self._terms.label_rank, values, (objective.groups, rows))

    async def _shared_base(self) -> Share:
        """The margins before all trees, (groups,)."""
        e, groups = self._e, self._objective.groups
        public = self._objective.public_base(self._params.base_score)
        if public is not None:
            return e.public(encode(np.full(groups, public), e.frac_bits))
        own = None if self._unit is None else encode(np.full(groups, self._unit.base), e.frac_bits)
        return await e.input(self._terms.label_rank, own, (groups,))

    async def _in_unit(self, value: float, power: int, shift: int) -> Share:
        """A parameter over a power of the label's scale, in units of 2^shift, (1,). Public, unless the scale is secret."""
        e = self._e
        if not value or not isinstance(self._objective, SquaredError):
            return e.public(encode(np.array([value / 2.0**shift]), e.frac_bits))
        own = None
        if self._unit is not None:
            own = encode(np.array([min(value / self._unit.scale**power / 2.0**shift, _MOST)]), e.frac_bits)
        return await e.input(self._terms.label_rank, own, (1,))

    async def _shared_weights(self, label: Vector | None, weights: Vector | None, rows: int) -> Share | None:
        e, factor = self._e, self._params.scale_pos_weight
        if not self._terms.weighted and factor == 1:
            return None
        own = None
        if label is not None:
            found = sample_weights(label[:rows], None if weights is None else weights[:rows], factor)
            assert found is not None
            own = encode(found, e.frac_bits)
        return await e.input(self._terms.label_rank, own, (rows,))

    def _check(self, table: PartyTable, rows: int, train_rows: int) -> None:
        """Raises ``DataError`` where this party's own rows leave nothing to learn."""
        name = self._terms.names[self._e.session.rank]
        empty = np.isnan(table.features[:rows]).all(axis=0)
        if empty.any():
            column = table.columns[int(np.flatnonzero(empty)[0])]
            raise DataError(
                f"the column '{column}' of {name} is empty in every row to train on",
                remedy="leave the column out, or use more common rows",
                party=name,
                column=column,
            )
        if table.label is None:
            return
        if np.all(table.label[:rows] == table.label[0]):
            raise DataError(
                f"the label is constant on the {rows} rows that trees would be grown on",
                remedy="use a label with different values there, more common rows, or a lower validation_fraction",
                party=name,
            )
        held = table.label[rows:train_rows]
        if held.size and self._metric == "auc" and np.all(held == held[0]):
            raise DataError(
                "the label is constant on the rows held out for early stopping: they have no AUC",
                remedy='raise validation_fraction, or write eval_metric = "logloss"',
                party=name,
                field="validation_fraction",
            )
        own = sample_weights(table.label[:rows], None if table.weights is None else table.weights[:rows], 1.0)
        if own is not None and not own.any():
            raise DataError(
                f"the weights of {name} are 0 in every row to train on",
                remedy="name another weight column, or leave it out",
                party=name,
            )

    @property
    def _hears(self) -> bool:
        """Whether this party learns the training metric."""
        terms = self._terms
        return self._e.session.rank in leakage.receivers(terms.training_metric, terms.n_parties, terms.label_rank)

    async def _training_metric(self) -> float:
        """The training metric of the margins so far, of squared errors the root; 0 where it is not opened to this party."""
        e, terms = self._e, self._terms
        shared = await mean_loss(e, self._objective, self._metric, self._state.margins, self._problem.label)
        to = leakage.receivers(terms.training_metric, terms.n_parties, terms.label_rank)
        opened = await open_for(e, to, shared, what=leakage.TRAINING_METRIC)
        if opened is None:
            return 0.0
        value = float(decode(opened, e.frac_bits)[0])
        if self._metric == "auc":
            return 1.0 - value
        return math.sqrt(max(value, 0.0)) * self._scale if self._metric == "rmse" else value

    async def _scale_of_metric(self) -> float:
        """The label's scale, which turns the metric into the label's own unit. All who learn the metric learn the scale."""
        unit = self._unit
        if self._terms.training_metric == "all":
            unit = await label_unit(self._e, self._terms, self._objective, unit)
        return 1.0 if unit is None else unit.scale

    async def _importance(self, trees: Sequence[Tree]) -> dict[str, dict[str, Importance]]:
        """The importance that is opened to this party, by party and column."""
        e, terms = self._e, self._terms
        gain_bits = e.frac_bits - boost.gains_shift(self._problem.table)
        out = {}
        sums = await importance(e, trees, terms.columns)
        for rank, (name, columns) in enumerate(zip(terms.names, terms.column_names, strict=True)):
            to = tuple(range(terms.n_parties)) if terms.importance == "all" else (rank,)
            opened = await open_for(e, to, sums[rank].reshape(-1), what=leakage.importance_of(rank))
            if opened is None:
                continue
            splits, gains, covers = opened.reshape(3, -1)
            found = zip(splits.tolist(), decode(gains, gain_bits), decode(covers, e.frac_bits), strict=True)
            out[name] = {
                column: Importance(int(count), float(gain), float(cover))
                for column, (count, gain, cover) in zip(columns, found, strict=True)
            }
        return out

    def _dump(self) -> bytes:
        """The state as a checkpoint keeps it."""
        e, state = self._e, self._state
        watch = state.watch
        return canonical.encode(
            [
                e.share_state(state.margins.reshape(-1)),
                [saved(e, tree).to_plain() for tree in state.trees],
                state.stopped,
                [float(value) for value in self._history],
                None
                if watch is None
                else [e.share_state(each) for each in (watch.margins.reshape(-1), watch.best, watch.since)],
            ]
        )

    def _load(self, plain: bytes) -> None:
        """Take up a checkpoint's state."""
        e, state = self._e, self._state
        margins, trees, state.stopped, self._history, kept = canonical.decode_untrusted(plain, _MAX_STATE)
        state.margins = e.share_from_state(margins).reshape(*state.margins.shape)
        state.trees = [loaded(e, SavedTree.from_plain(tree)) for tree in trees]
        if state.watch is not None:
            held, state.watch.best, state.watch.since = (e.share_from_state(each) for each in kept)
            state.watch.margins = held.reshape(*state.watch.margins.shape)


def saved(e: Engine, tree: Tree, *, with_facts: bool = True) -> SavedTree:
    """A tree as it is stored."""
    facts = e.share_state(tree.facts.reshape(-1)) if with_facts and tree.facts is not None else b""
    return SavedTree(tree.owners, tree.splits, e.share_state(tree.leaves), facts)


def loaded(e: Engine, tree: SavedTree) -> Tree:
    """A stored tree again."""
    facts = e.share_from_state(tree.facts).reshape(3, -1) if tree.facts else None
    return Tree(tree.owners, tree.splits, e.share_from_state(tree.leaves), facts)


async def scores(e: Engine, terms: Terms, model: TreeModel, table: PartyTable) -> SharedScores:
    """Scores of new rows."""
    objective = objective_of(params_of(terms).objective, params_of(terms).num_class)
    trees = [loaded(e, tree) for tree in model.trees]
    bins = model.cuts.apply(table.features, levels_of(table.columns, table.levels))
    margins = await boost.predict(e, trees, bins, e.share_from_state(model.base))
    return await _scores(e, terms, objective, margins, model.unit)


async def _scores(e: Engine, terms: Terms, objective: Objective, margins: Share, unit: Unit | None) -> SharedScores:
    """Scores from margins: probabilities, means, or numbers in the label's unit. All who learn such numbers learn the unit."""
    shared = await objective.predictions(e, margins)
    if not isinstance(objective, SquaredError):
        most = np.inf if label_kind(terms.algorithm, terms.params) == "count" else 1.0
        return SharedScores(shared, lambda opened: np.clip(opened, 0.0, most))
    known = await label_unit(e, terms, objective, unit) if terms.scores == "all" else unit
    center, scale = (0.0, 1.0) if known is None else (known.center, known.scale)
    return SharedScores(shared, lambda opened: center + scale * opened)
