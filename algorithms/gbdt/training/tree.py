"""The trees of a round, grown side by side, level by level: every node is split, and what must not split passes its value on.

Opened: for each node whose party's candidate won, to all; which of its own candidates, to that party alone. Node
sizes, gradients, sums, leaf weights, and whether a node should have split, stay shared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hansa.algorithms import leakage
from hansa.algorithms.gbdt.bins import Bins
from hansa.algorithms.gbdt.layout import Candidates, Layout, Split
from hansa.algorithms.gbdt.objectives import between
from hansa.algorithms.gbdt.training.candidates import left_sums, totals
from hansa.algorithms.gbdt.training.gain import Best, Penalty, best_splits, ratios, thresholded
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.operators.arithmetic import integer_product
from hansa.protocols.mpc.shares import BitShare, Share, concatenate


@dataclass(frozen=True, slots=True)
class TreeTable:
    """All parties' bins: as the engine holds them, by rank, and this party's own in plain; ``layout`` is public."""

    held: Mapping[int, Any] = field(repr=False)
    own: Bins = field(repr=False)
    layout: Layout

    @property
    def rows(self) -> int:
        """How many rows."""
        return int(self.own.shape[0])


@dataclass(frozen=True, slots=True)
class Tree:
    """``owners`` of all inner nodes, level by level; ``splits``: of this party's own nodes; ``leaves`` shared, (2^depth,).

    ``facts``, while training: of inner nodes whether they split, their gain and their hessians if so, (3, nodes), shared.
    """

    owners: tuple[int, ...]
    splits: dict[int, Split] = field(repr=False)
    leaves: Share = field(repr=False)
    facts: Share | None = field(default=None, repr=False)

    @property
    def depth(self) -> int:
        """Levels of inner nodes."""
        return (len(self.owners) + 1).bit_length() - 1


@dataclass(slots=True)
class _Level:
    """A level of all trees: sums of its nodes (nodes, 2), and what they were split by."""

    total: Share
    best: Best
    owners: list[int]
    splits: dict[int, Split]


@dataclass(frozen=True, slots=True)
class Growth:
    """How trees grow: which splits there are, what holds them back, how gradients are quantised (below 2^``bits`` once
    ``drop`` of their fraction bits are gone), levels, the learning rate, and what leaves are cut off at (0: nowhere)."""

    candidates: Candidates
    penalty: Penalty
    bits: int
    drop: int
    depth: int
    learning_rate: float
    step: float = 0.0


async def table_of(e: Engine, own: Bins, layout: Layout) -> TreeTable:
    """Prepare every party's bins, once a job."""
    rows = own.shape[0]
    held = {
        rank: await e.private_bins(rank, own if rank == e.session.rank else None, (rows, count), layout.cells)
        for rank, count in enumerate(layout.columns)
        if count
    }
    return TreeTable(held, own, layout)


async def grow(e: Engine, table: TreeTable, gradients: Share, growth: Growth) -> tuple[list[Tree], Share]:
    """A tree for each group's gradients and hessians (groups, 2, rows), quantised, and how they sort the rows: leaf indicators
    (groups·leaves, rows). Leaves are times the learning rate.
    """
    groups, _, rows = gradients.shape
    levels: list[_Level] = []
    members = e.public(np.ones((groups, rows), dtype=np.uint64))
    vectors = gradients
    histograms = await _histograms(e, table, vectors, growth)
    for depth in range(growth.depth):
        level = await _split(e, growth, histograms)
        levels.append(level)
        nodes = len(level.owners)
        sides = _sides(table.own, level.splits, nodes)
        if depth == growth.depth - 1:
            members = (await _children(e, sides, members[:, None], level.owners))[:, 0]
        else:
            both = await _children(e, sides, _beside(members[:, None], vectors), level.owners)
            members, vectors = both[:, 0], both[:, 1:]
            lefts = await _histograms(e, table, vectors[0::2], growth)
            histograms = {rank: interleaved(left, histograms[rank] - left) for rank, left in lefts.items()}
    leaves, facts = await _values(e, levels, growth)
    return _apart(levels, groups, leaves, facts), members


async def descend(e: Engine, trees: Sequence[Tree], own: Bins) -> Share:
    """How trees of one depth sort rows, of which every party gives its own bins (rows, columns): leaf indicators
    (trees·leaves, rows).

    Rounds and bytes: ``private_mask`` of each level's nodes, a vector each.
    """
    members = e.public(np.ones((len(trees), len(own)), dtype=np.uint64))
    for level in range(trees[0].depth):
        first, nodes = (1 << level) - 1, 1 << level
        owners = [owner for tree in trees for owner in tree.owners[first : first + nodes]]
        splits = {
            number * nodes + node: tree.splits[first + node]
            for number, tree in enumerate(trees)
            for node in range(nodes)
            if first + node in tree.splits
        }
        members = (await _children(e, _sides(own, splits, len(owners)), members[:, None], owners))[:, 0]
    return members


async def _histograms(e: Engine, table: TreeTable, vectors: Share, growth: Growth) -> dict[int, Share]:
    """Sums of vectors (nodes, 2, rows) over every party's bins: (nodes, 2, columns, cells) each."""
    nodes, two, rows = vectors.shape
    sums = await e.select_sum(list(table.held.values()), vectors.reshape(nodes * two, rows), growth.bits)
    return {
        rank: each.reshape(nodes, two, *each.shape[1:]).times(1 << growth.drop)
        for rank, each in zip(table.held, sums, strict=True)
    }


async def _split(e: Engine, growth: Growth, histograms: Mapping[int, Share]) -> _Level:
    """Every node's best split, opened as far as the module says."""
    c, total = growth.candidates, totals(histograms)
    left, sets = await left_sums(e, c, histograms, growth.penalty)
    best = await best_splits(e, left, sets, total, growth.penalty)
    ends = np.cumsum(c.widths)
    nodes = best.place.size
    owner = e.public(np.full(nodes, len(ends) - 1, dtype=np.uint64))
    for end in ends[:-1]:  # a place before a party's end is not of those after it
        owner -= await e.b2a(await e.msb(e.add_public(best.place, -int(end))))
    (opened,) = await e.open(owner, what=leakage.SPLIT_OWNERS)
    owners: list[int] = opened.astype(np.int64).tolist()
    splits: dict[int, Split] = {}
    for rank in sorted(set(owners)):
        mine = np.flatnonzero(opened == rank)
        told = [e.add_public(best.place[mine], c.widths[rank] - int(ends[rank]))]
        told += [] if best.chosen is None else [best.chosen[mine]]
        found = await e.open_to(rank, *told, what=leakage.splits_of(rank))
        if found is not None:
            places = (each.tolist() for each in found)
            splits = {node: c.split(rank, *which) for node, *which in zip(mine.tolist(), *places, strict=True)}
    return _Level(total, best, owners, splits)


def _sides(own: Bins, splits: Mapping[int, Split], nodes: int) -> Bins:
    """Which rows go left at each node of a level, at the node's owner: (nodes, rows); zeros at the others."""
    sides = np.zeros((nodes, len(own)), dtype=np.uint8)
    for node, split in splits.items():
        sides[node] = split.sides(own)
    return sides


async def _children(e: Engine, sides: Bins, vectors: Share, owners: Sequence[int]) -> Share:
    """Vectors (nodes, v, rows) of left and right children in turn: (2·nodes, v, rows)."""
    left = await e.private_mask(owners, sides, vectors)
    return interleaved(left, vectors - left)


def _beside(one: Share, other: Share) -> Share:
    """Two arrays of vectors (nodes, v, rows) as one."""
    return concatenate((one.moveaxis(1, 0), other.moveaxis(1, 0))).moveaxis(0, 1)


def interleaved(left: Share, right: Share) -> Share:
    """Left and right children in turn."""
    parts = [np.stack((a, b), axis=1).reshape(-1, *a.shape[1:]) for a, b in zip(left.parts, right.parts, strict=True)]
    return Share(tuple(parts))


async def _values(e: Engine, levels: Sequence[_Level], growth: Growth) -> tuple[Share, list[Share]]:
    """Leaf weights of all trees, and of each level's nodes whether they split, their gains and hessians: (3, nodes).

    A stopped node's children have its own weight, whatever theirs would be.
    """
    last = levels[-1]
    ends = interleaved(last.best.left, last.total - last.best.left)
    sums = concatenate([level.total for level in levels] + [ends])
    weights = -await ratios(e, await _numerators(e, sums[:, 0], growth.penalty), sums[:, 1], growth.penalty)
    if growth.step:
        weights = await between(e, weights, -growth.step, growth.step)
    groups, at = len(levels[0].owners), 0
    value, going = weights[:groups], e.public(np.ones(groups, dtype=np.uint64))
    facts = []
    for level, stopped in zip(levels, await _arithmetic(e, [level.best.stopped for level in levels]), strict=True):
        nodes = len(level.owners)
        at += nodes
        going -= await integer_product(e, going, stopped)
        below, value = interleaved(going, going), interleaved(value, value)
        moves = concatenate((level.best.gain, level.total[:, 1], weights[at : at + 2 * nodes] - value))
        made = await integer_product(e, moves, concatenate((going, going, below)))
        facts.append(concatenate((going, made[: 2 * nodes])).reshape(3, nodes))
        value, going = value + made[2 * nodes :], below
    factor = round(growth.learning_rate * (1 << e.frac_bits))
    return await e.truncate(value.times(factor), e.frac_bits), facts


async def _numerators(e: Engine, gradients: Share, penalty: Penalty) -> Share:
    return gradients if penalty.alpha is None else await thresholded(e, gradients, penalty.alpha)


async def _arithmetic(e: Engine, items: Sequence[BitShare]) -> list[Share]:
    """Bits as ring elements, all at once. Rounds and bytes: those of one ``b2a``."""
    joined = tuple(np.concatenate(parts, axis=1) for parts in zip(*(item.parts for item in items), strict=True))
    ring = await e.b2a(BitShare(joined, 64 * joined[0].shape[1]))
    starts = np.cumsum([0, *(64 * item.parts[0].shape[1] for item in items)])
    return [ring[start : start + item.length] for start, item in zip(starts.tolist(), items, strict=False)]


def _apart(levels: Sequence[_Level], groups: int, leaves: Share, facts: Sequence[Share]) -> list[Tree]:
    """The trees of a round, each by itself."""
    apart = leaves.reshape(groups, -1)
    by_tree = [fact.reshape(3, groups, -1) for fact in facts]
    trees = []
    for number in range(groups):
        owners: list[int] = []
        splits: dict[int, Split] = {}
        for depth, level in enumerate(levels):
            start = number << depth
            inside = range(start, start + (1 << depth))
            splits |= {len(owners) + node - start: level.splits[node] for node in inside if node in level.splits}
            owners += level.owners[start : start + (1 << depth)]
        inner = concatenate([fact[:, number].moveaxis(1, 0) for fact in by_tree]).moveaxis(1, 0)
        trees.append(Tree(tuple(owners), splits, apart[number], inner))
    return trees
