"""Grows the trees of one round, level by level; of several classes, their trees side by side.

Trees are complete: every node above the leaves splits, even where its best gain is not above ``gamma``. So no tree's
shape depends on the data. A node that must not split is *stopped*. All leaves below it get the node's own weight, so that
its splits move no margin.

Opened of each node, at the end of its level:

    whose candidate won             to all parties
    which candidate of theirs won   to that party alone

Node sizes, gradients, sums, gains, leaf weights, and which nodes are stopped, stay shared.

The nodes of a level stand tree by tree, each tree's from left to right: node i has the children 2i and 2i + 1.
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
    """All parties' bins. ``held``: by rank, as the engine holds them; ``own``: this party's own (rows, columns), in plain."""

    held: Mapping[int, Any] = field(repr=False)
    own: Bins = field(repr=False)
    layout: Layout

    @property
    def rows(self) -> int:
        """How many rows."""
        return int(self.own.shape[0])


@dataclass(frozen=True, slots=True)
class Tree:
    """A grown tree. ``owners``: the rank that owns each inner node, level by level; ``splits``: of this party's own nodes.

    ``leaves`` (2^depth,) are shared. ``facts`` (3, inner nodes), shared and there while training only: whether the node
    splits (1) or is stopped (0), and if it splits its gain and its sum of hessians, else 0.
    """

    owners: tuple[int, ...]
    splits: dict[int, Split] = field(repr=False)
    leaves: Share = field(repr=False)
    facts: Share | None = field(default=None, repr=False)

    @property
    def depth(self) -> int:
        """Levels of inner nodes."""
        return (len(self.owners) + 1).bit_length() - 1


@dataclass(frozen=True, slots=True)
class Growth:
    """How trees grow.

    ``candidates``: the splits to choose from. ``penalty``: what a split has to gain. Gradients and hessians lack their
    last ``drop`` fraction bits, and are below 2^``bits`` without them. ``depth``: levels of inner nodes. Leaf weights are
    clipped to ``max_step`` either side of 0 (not where it is 0), then multiplied by ``learning_rate``.
    """

    candidates: Candidates
    penalty: Penalty
    bits: int
    drop: int
    depth: int
    learning_rate: float
    max_step: float = 0.0


@dataclass(frozen=True, slots=True)
class _Level:
    """The nodes of one level. ``total`` (nodes, 2): each node's sums of gradients and hessians; ``best``: its best split;
    ``owners``: whose it is; ``splits``: those of this party's own nodes."""

    total: Share
    best: Best
    owners: list[int]
    splits: dict[int, Split]


async def table_of(e: Engine, own: Bins, layout: Layout) -> TreeTable:
    """Prepare every party's bins, once a job."""
    rows = own.shape[0]
    held = {
        rank: await e.private_bins(rank, own if rank == e.session.rank else None, (rows, count), layout.bins_of_column)
        for rank, count in enumerate(layout.columns)
        if count
    }
    return TreeTable(held, own, layout)


async def grow(e: Engine, table: TreeTable, gradients: Share, growth: Growth) -> tuple[list[Tree], Share]:
    """A tree for each group, and the leaf indicators of all trees, (groups·leaves, rows): 1 where a row is in a leaf.

    ``gradients`` (groups, 2, rows): each group's gradients and hessians, quantised as ``growth`` says.
    """
    groups, _, rows = gradients.shape
    levels: list[_Level] = []
    indicators = e.public(np.ones((groups, rows), dtype=np.uint64))  # (nodes, rows): 1 where a row is in a node
    vectors = gradients  # (nodes, 2, rows): gradients and hessians of the rows in a node, 0 for all others
    histograms = await _histograms(e, table, vectors, growth)
    for depth in range(growth.depth):
        level = await _split(e, growth, histograms)
        levels.append(level)
        goes_left = _goes_left(table.own, level.splits, len(level.owners))
        if depth == growth.depth - 1:
            indicators = (await _children(e, goes_left, indicators[:, None], level.owners))[:, 0]
        else:
            both = await _children(e, goes_left, _side_by_side(indicators[:, None], vectors), level.owners)
            indicators, vectors = both[:, 0], both[:, 1:]
            # Only left children are summed: a right child's histogram is its parent's less the left child's.
            left = await _histograms(e, table, vectors[0::2], growth)
            histograms = {rank: _interleaved(sums, histograms[rank] - sums) for rank, sums in left.items()}
    leaves, facts = await _leaf_weights(e, levels, growth)
    return _trees(levels, groups, leaves, facts), indicators


async def descend(e: Engine, trees: Sequence[Tree], own: Bins) -> Share:
    """The leaf indicators (trees·leaves, rows) of new rows. ``own``: every party's own bins of them; trees of one depth.

    Rounds and bytes: at each level one ``private_mask`` of a vector for each node.
    """
    indicators = e.public(np.ones((len(trees), len(own)), dtype=np.uint64))
    for level in range(trees[0].depth):
        first, nodes = (1 << level) - 1, 1 << level
        owners = [owner for tree in trees for owner in tree.owners[first : first + nodes]]
        splits = {
            number * nodes + node: tree.splits[first + node]
            for number, tree in enumerate(trees)
            for node in range(nodes)
            if first + node in tree.splits
        }
        goes_left = _goes_left(own, splits, len(owners))
        indicators = (await _children(e, goes_left, indicators[:, None], owners))[:, 0]
    return indicators


async def _histograms(e: Engine, table: TreeTable, vectors: Share, growth: Growth) -> dict[int, Share]:
    """For every party, the sums of vectors (nodes, 2, rows) over each bin of its columns: (nodes, 2, columns, bins)."""
    nodes, two, rows = vectors.shape
    sums = await e.select_sum(list(table.held.values()), vectors.reshape(nodes * two, rows), growth.bits)
    return {
        rank: each.reshape(nodes, two, *each.shape[1:]).times(1 << growth.drop)
        for rank, each in zip(table.held, sums, strict=True)
    }


async def _split(e: Engine, growth: Growth, histograms: Mapping[int, Share]) -> _Level:
    """Each node's best split. Opens its owner to all, and to its owner which candidate it is.

    The candidates of all parties stand in one line, party by party: the winner's place in that line says whose it is.
    """
    candidates, total = growth.candidates, totals(histograms)
    left, sets = await left_sums(e, candidates, histograms, growth.penalty)
    best = await best_splits(e, left, sets, total, growth.penalty)
    ends = np.cumsum(candidates.widths)
    nodes = best.place.size
    # The owner is the last rank, less one for each earlier party before whose end the place lies.
    owner = e.public(np.full(nodes, len(ends) - 1, dtype=np.uint64))
    for end in ends[:-1]:
        owner -= await e.b2a(await e.msb(e.add_public(best.place, -int(end))))
    (opened,) = await e.open(owner, what=leakage.SPLIT_OWNERS)
    owners: list[int] = opened.astype(np.int64).tolist()
    splits: dict[int, Split] = {}
    for rank in sorted(set(owners)):
        mine = np.flatnonzero(opened == rank)
        start = int(ends[rank]) - candidates.widths[rank]
        told = [e.add_public(best.place[mine], -start)]
        told += [] if best.chosen is None else [best.chosen[mine]]
        found = await e.open_to(rank, *told, what=leakage.splits_of(rank))
        if found is not None:
            places = (each.tolist() for each in found)
            splits = {node: candidates.split(rank, *which) for node, *which in zip(mine.tolist(), *places, strict=True)}
    return _Level(total, best, owners, splits)


def _goes_left(own: Bins, splits: Mapping[int, Split], nodes: int) -> Bins:
    """1 where a row goes left, (nodes, rows). Only the nodes of this party are filled in; the engine reads no others."""
    goes_left = np.zeros((nodes, len(own)), dtype=np.uint8)
    for node, split in splits.items():
        goes_left[node] = split.sides(own)
    return goes_left


async def _children(e: Engine, goes_left: Bins, vectors: Share, owners: Sequence[int]) -> Share:
    """Vectors (nodes, v, rows), cut to the rows of each child: (2·nodes, v, rows)."""
    left = await e.private_mask(owners, goes_left, vectors)
    return _interleaved(left, vectors - left)


def _side_by_side(one: Share, other: Share) -> Share:
    """Vectors (nodes, a, rows) and (nodes, b, rows) as (nodes, a + b, rows)."""
    return concatenate((one.moveaxis(1, 0), other.moveaxis(1, 0))).moveaxis(0, 1)


def _interleaved(left: Share, right: Share) -> Share:
    """Left and right children in turn, along the first axis."""
    parts = [np.stack((a, b), axis=1).reshape(-1, *a.shape[1:]) for a, b in zip(left.parts, right.parts, strict=True)]
    return Share(tuple(parts))


async def _leaf_weights(e: Engine, levels: Sequence[_Level], growth: Growth) -> tuple[Share, list[Share]]:
    """The weights of all leaves, and the facts of each level's nodes, (3, nodes); see ``Tree``.

    1. Every node at every level gets its weight -T(G)/(H + lambda), clipped.
    2. From the root down, a node splits unless it or a node above it is stopped. Children of a node that splits have
       their own weights; all others have their parent's value.
    3. The values of the last level, times the learning rate.
    """
    last = levels[-1]
    leaf_sums = _interleaved(last.best.left, last.total - last.best.left)
    sums = concatenate([level.total for level in levels] + [leaf_sums])
    weights = -await ratios(e, await _numerators(e, sums[:, 0], growth.penalty), sums[:, 1], growth.penalty)
    if growth.max_step:
        weights = await between(e, weights, -growth.max_step, growth.max_step)
    groups = len(levels[0].owners)
    value, splits = weights[:groups], e.public(np.ones(groups, dtype=np.uint64))
    facts, first = [], 0  # ``first`` is the place of the children's weights
    for level, stopped in zip(levels, await _as_numbers(e, [level.best.stopped for level in levels]), strict=True):
        nodes = len(level.owners)
        first += nodes
        splits -= await integer_product(e, splits, stopped)
        parent_splits, parent_value = _interleaved(splits, splits), _interleaved(value, value)
        change = weights[first : first + 2 * nodes] - parent_value
        masked = await integer_product(
            e,
            concatenate((level.best.gain, level.total[:, 1], change)),
            concatenate((splits, splits, parent_splits)),
        )
        facts.append(concatenate((splits, masked[: 2 * nodes])).reshape(3, nodes))
        value, splits = parent_value + masked[2 * nodes :], parent_splits
    factor = round(growth.learning_rate * (1 << e.frac_bits))
    return await e.truncate(value.times(factor), e.frac_bits), facts


async def _numerators(e: Engine, gradients: Share, penalty: Penalty) -> Share:
    return gradients if penalty.alpha is None else await thresholded(e, gradients, penalty.alpha)


async def _as_numbers(e: Engine, items: Sequence[BitShare]) -> list[Share]:
    """Vectors of bits as ring elements, 0 or 1, all at once. Rounds and bytes: those of one ``b2a``."""
    joined = tuple(np.concatenate(parts, axis=1) for parts in zip(*(item.parts for item in items), strict=True))
    ring = await e.b2a(BitShare(joined, 64 * joined[0].shape[1]))
    starts = np.cumsum([0, *(64 * item.parts[0].shape[1] for item in items)])  # each vector fills whole words
    return [ring[start : start + item.length] for start, item in zip(starts.tolist(), items, strict=False)]


def _trees(levels: Sequence[_Level], groups: int, leaves: Share, facts: Sequence[Share]) -> list[Tree]:
    """Levels of all trees as one ``Tree`` for each group."""
    leaves_by_tree = leaves.reshape(groups, -1)
    facts_by_tree = [fact.reshape(3, groups, -1) for fact in facts]
    trees = []
    for number in range(groups):
        owners: list[int] = []
        splits: dict[int, Split] = {}
        for depth, level in enumerate(levels):
            start = number << depth
            own_nodes = range(start, start + (1 << depth))
            splits |= {len(owners) + node - start: level.splits[node] for node in own_nodes if node in level.splits}
            owners += level.owners[start : start + (1 << depth)]
        own_facts = concatenate([fact[:, number].moveaxis(1, 0) for fact in facts_by_tree]).moveaxis(1, 0)
        trees.append(Tree(tuple(owners), splits, leaves_by_tree[number], own_facts))
    return trees
