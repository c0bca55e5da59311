"""Boosting, round by round. Margins stay shared from the first tree to the last.

A round grows one tree for each group: one in all, or one for each class of ``multi:softprob``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.cost.gbdt import ENTRIES
from hansa.algorithms.errors import DataError
from hansa.algorithms.gbdt.bins import Bins
from hansa.algorithms.gbdt.objectives import Objective
from hansa.algorithms.gbdt.params import TreeParams
from hansa.algorithms.gbdt.training import sampling
from hansa.algorithms.gbdt.training.gain import Penalty, scale_shift
from hansa.algorithms.gbdt.training.stopping import Watch
from hansa.algorithms.gbdt.training.tree import Growth, Tree, TreeTable, descend, grow
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.hinted_aggregation import most_bits
from hansa.protocols.mpc.operators.arithmetic import mul
from hansa.protocols.mpc.operators.normalise import MAGNITUDE
from hansa.protocols.mpc.shares import Share, concatenate

LEAST_BITS = 6
"""Of gradients, with the sign. With fewer bits, trees would be grown on rounding noise."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """How gradients and hessians fit sums over all rows. Without their last ``drop`` fraction bits they are below
    2^``bits``. ``width`` bits hold a node's sum of hessians."""

    bits: int
    drop: int
    width: int


def quantised(
    frac_bits: int, rows: int, senders: int, objective: Objective, params: TreeParams, heaviest: float
) -> Quantised:
    """For ``rows`` rows of weights up to ``heaviest``; ``senders``: parties that send masked vectors to one.

    Raises ``DataError`` where sums would overflow, or gradients have too few bits left.
    """
    weight = max(1.0, heaviest)
    bound = frac_bits + objective.bound + (int(np.ceil(weight)) - 1).bit_length()
    bits = min(bound, most_bits(rows, senders))
    most = rows * objective.hessian * weight + 2 * params.reg_lambda + 1
    width = int(most * (1 << frac_bits)).bit_length()
    if bits < LEAST_BITS + bound - frac_bits - objective.bound or width > MAGNITUDE:
        raise DataError(
            f"gradient overflow: sums over {rows} rows of weights up to {weight:g} do not fit",
            remedy="take smaller weights (divide all of them by their mean), a smaller scale_pos_weight, or fewer rows",
            field="weight",
        )
    return Quantised(bits, bound - bits, width)


@dataclass(frozen=True, slots=True)
class Problem:
    """What trees are grown for.

    ``label`` (groups, rows). ``base`` (groups,): the margins before all trees. ``alpha`` (None for 0) and ``gamma``, (1,):
    the penalties in the label's unit. ``weights`` (rows,): up to ``heaviest``, None where all are 1. ``seed`` is public.
    """

    table: TreeTable
    objective: Objective
    label: Share
    base: Share
    alpha: Share | None
    gamma: Share
    weights: Share | None = None
    heaviest: float = 1.0
    seed: bytes = field(default=bytes(16))


@dataclass(slots=True)
class BoostState:
    """What training has after a round: all trees, the margins (groups, rows), and the watch over the rows held out, if any."""

    trees: list[Tree]
    margins: Share
    watch: Watch | None = None
    stopped: bool = False

    def rounds(self, groups: int) -> int:
        """Rounds so far."""
        return len(self.trees) // groups

    def kept(self, groups: int) -> list[Tree]:
        """The trees of the model: all, or where training stopped early those up to the round of the least loss."""
        beyond = self.watch.patience * groups if self.stopped and self.watch is not None else 0
        return self.trees[: len(self.trees) - beyond]


AfterRound = Callable[[BoostState], Awaitable[None]]


def gains_shift(table: TreeTable) -> int:
    """Gains and ``Problem.gamma`` are in units of 2 to this power."""
    return scale_shift(table.rows)


def begin(e: Engine, problem: Problem, watch: Watch | None = None) -> BoostState:
    """Before the first tree."""
    return BoostState([], started(e, problem.base, problem.table.rows), watch)


async def train(
    e: Engine, problem: Problem, params: TreeParams, state: BoostState, after_round: AfterRound
) -> BoostState:
    """Run all rounds that ``state`` lacks, and add them to it; stop early where its ``watch`` says so.

    Per round: gradients and hessians of the margins; a tree for each group (``tree.grow``); the trees' part of the margins.
    """
    table, objective = problem.table, problem.objective
    q = quantised(e.frac_bits, table.rows, e.session.n_parties - 1, objective, params, problem.heaviest)
    penalty = Penalty(
        params.reg_lambda, params.min_child_weight, problem.alpha, problem.gamma, q.width, gains_shift(table)
    )
    while not state.stopped and state.rounds(objective.groups) < params.n_estimators:
        number = state.rounds(objective.groups)
        seen = sampling.rows(problem.seed, number, table.rows, params.subsample)
        gradients = await _gradients(e, problem, state.margins, seen, q.drop)
        chosen = sampling.columns(problem.seed, number, table.layout.columns, params.colsample_bytree)
        growth = Growth(
            table.layout.among(chosen),
            penalty,
            q.bits,
            q.drop,
            params.max_depth,
            params.learning_rate,
            objective.max_step,
        )
        trees, indicators = await grow(e, table, gradients, growth)
        state.margins += await values(e, trees, indicators, objective.groups)
        state.trees += trees
        if state.watch is not None:
            watch = state.watch
            watch.margins += await values(e, trees, await descend(e, trees, watch.bins), objective.groups)
            state.stopped = await watch.stops(e, objective)
        await after_round(state)
    return state


async def predict(e: Engine, trees: Sequence[Tree], own: Bins, base: Share) -> Share:
    """The margins of new rows, (groups, rows), shared. ``own``: every party's own bins of them, (rows, columns).

    Rounds: those of ``descend`` and a product, once for as many trees as ``ENTRIES`` leaf indicators allow.
    """
    groups, rows = base.size, len(own)
    margins = started(e, base, rows)
    if not trees or not rows:
        return margins
    at_once = max(1, ENTRIES // ((1 << trees[0].depth) * rows * groups)) * groups
    for start in range(0, len(trees), at_once):
        some = trees[start : start + at_once]
        margins += await values(e, some, await descend(e, some, own), groups)
    return margins


def started(e: Engine, base: Share, rows: int) -> Share:
    """The margins before all trees, (groups, rows)."""
    return base.reshape(-1, 1).broadcast((base.size, rows))


async def values(e: Engine, trees: Sequence[Tree], indicators: Share, groups: int) -> Share:
    """What trees of whole rounds add to the margins, (groups, rows), from their leaf indicators (trees·leaves, rows).

    One matrix product: the leaves of a tree stand in the column of its group, with zeros in all others.
    """
    leaves = concatenate([tree.leaves.reshape(1, -1) for tree in trees])
    in_group = np.arange(len(trees))[:, None] % groups == np.arange(groups)
    columns = leaves.reshape(len(trees), -1, 1).broadcast((*leaves.shape, groups))
    columns = columns.times(in_group[:, None].astype(np.uint64)).reshape(-1, groups)
    added = await e.reshare(await e.matmul(indicators.moveaxis(0, 1), columns))
    return added.moveaxis(1, 0)


async def _gradients(e: Engine, problem: Problem, margins: Share, rows: NDArray[np.uint64] | None, drop: int) -> Share:
    """Gradients and hessians, (groups, 2, rows), without their last ``drop`` fraction bits; 0 for rows that a tree skips.

    The truncation rounds up or down at random.
    """
    pair = await problem.objective.derivatives(e, margins, problem.label)
    groups, count = margins.shape
    both = concatenate([each.reshape(groups, 1, count).moveaxis(1, 0) for each in pair]).moveaxis(0, 1)
    if problem.weights is not None:
        both = await mul(e, both, problem.weights.broadcast(both.shape))
    both = await e.truncate(both, drop) if drop else both
    return both if rows is None else both.times(rows)
