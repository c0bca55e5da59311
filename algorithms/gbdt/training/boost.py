"""Boosting, round by round: margins stay shared from the first tree to the last."""

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
"""Of gradients with their sign: below it, trees would be grown on noise."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """Gradients and hessians are below 2^``bits`` once ``drop`` of their fraction bits are gone; ``width`` bits hold a node's
    hessians."""

    bits: int
    drop: int
    width: int


def quantised(
    frac_bits: int, rows: int, senders: int, objective: Objective, params: TreeParams, heaviest: float
) -> Quantised:
    """For rows of weights up to ``heaviest``. Raises ``DataError`` where sums would overflow or gradients be too coarse."""
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
    """What trees are grown for: ``label`` (groups, rows), ``weights`` (rows,) up to ``heaviest`` or None, ``base`` (groups,), the
    margins before all trees; ``alpha`` (None for 0) and ``gamma``, (1,), in the label's unit; ``seed`` is public."""

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
    """After so many rounds: all trees, the margins (groups, rows), and what the rows held out say, if any are."""

    trees: list[Tree]
    margins: Share
    watch: Watch | None = None
    stopped: bool = False

    def rounds(self, groups: int) -> int:
        """Rounds so far."""
        return len(self.trees) // groups

    def kept(self, groups: int) -> list[Tree]:
        """All trees, or those up to the least loss where it stopped early."""
        beyond = self.watch.patience * groups if self.stopped and self.watch is not None else 0
        return self.trees[: len(self.trees) - beyond]


AfterRound = Callable[[BoostState], Awaitable[None]]


def gains_shift(table: TreeTable) -> int:
    """The unit of ``Problem.gamma`` and of gains, as a power of two."""
    return scale_shift(table.rows)


def begin(e: Engine, problem: Problem, watch: Watch | None = None) -> BoostState:
    """Before the first tree."""
    return BoostState([], started(e, problem.base, problem.table.rows), watch)


async def train(
    e: Engine, problem: Problem, params: TreeParams, state: BoostState, after_round: AfterRound
) -> BoostState:
    """All rounds from a state on, to which they are added; stops early where its ``watch`` says so.

    Per round: gradients and hessians; per level histograms, gains and the best of them, and the rows' way down; leaves.
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
            table.layout.among(chosen), penalty, q.bits, q.drop, params.max_depth, params.learning_rate, objective.step
        )
        trees, members = await grow(e, table, gradients, growth)
        state.margins += await values(e, trees, members, objective.groups)
        state.trees += trees
        if state.watch is not None:
            watch = state.watch
            watch.margins += await values(e, trees, await descend(e, trees, watch.bins), objective.groups)
            state.stopped = await watch.stops(e, objective)
        await after_round(state)
    return state


async def predict(e: Engine, trees: Sequence[Tree], own: Bins, base: Share) -> Share:
    """The margins of rows, of which every party gives its own bins (rows, columns): (groups, rows), shared.

    Rounds: those of ``descend`` and a product, for as many trees at once as memory has room for.
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


async def values(e: Engine, trees: Sequence[Tree], members: Share, groups: int) -> Share:
    """What trees of whole rounds add to each row's margins, (groups, rows), from leaf indicators (trees·leaves, rows)."""
    leaves = concatenate([tree.leaves.reshape(1, -1) for tree in trees])
    own = np.arange(len(trees))[:, None] % groups == np.arange(groups)
    placed = leaves.reshape(len(trees), -1, 1).broadcast((*leaves.shape, groups)).times(own[:, None].astype(np.uint64))
    found = await e.reshare(await e.matmul(members.moveaxis(0, 1), placed.reshape(-1, groups)))
    return found.moveaxis(1, 0)


async def _gradients(e: Engine, problem: Problem, margins: Share, rows: NDArray[np.uint64] | None, drop: int) -> Share:
    """(groups, 2, rows), without ``drop`` of their fraction bits. The truncation rounds stochastically."""
    pair = await problem.objective.derivatives(e, margins, problem.label)
    groups, count = margins.shape
    both = concatenate([each.reshape(groups, 1, count).moveaxis(1, 0) for each in pair]).moveaxis(0, 1)
    if problem.weights is not None:
        both = await mul(e, both, problem.weights.broadcast(both.shape))
    both = await e.truncate(both, drop) if drop else both
    return both if rows is None else both.times(rows)
