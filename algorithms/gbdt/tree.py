"""One tree, grown level by level: every node is split, and what must not split passes its value to both children.

Opened: for each node whose party's candidate won, to all; which of its own candidates, to that party alone. Node
sizes, gradients, sums, leaf weights, and whether a node should have split, stay shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms import leakage
from hansa.algorithms.gbdt.gain import Best, best_splits, candidates, ratios, totals
from hansa.algorithms.gbdt.params import Params
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.operators.bits import mux, or_bits
from hansa.protocols.mpc.shares import BitShare, Share, concatenate

Bins = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Table:
    """All parties' bins: as the engine holds them, this party's own in plain, and how many candidates each party has."""

    held: tuple[Any, ...] = field(repr=False)
    own: Bins = field(repr=False)
    n_bins: int
    widths: tuple[int, ...]

    @property
    def rows(self) -> int:
        """How many rows."""
        return int(self.own.shape[0])


@dataclass(frozen=True, slots=True)
class Tree:
    """``owners`` of all inner nodes, level by level; ``splits``: of this party's own, (column, bin): the left side is
    up to this bin; ``leaves`` shared, (2^depth,)."""

    owners: tuple[int, ...]
    splits: dict[int, tuple[int, int]] = field(repr=False)
    leaves: Share = field(repr=False)

    @property
    def depth(self) -> int:
        """Levels of inner nodes."""
        return (len(self.owners) + 1).bit_length() - 1


@dataclass(slots=True)
class _Grown:
    """What the levels leave behind: node sums (2^depth - 1 and the leaves', 2), stop bits of inner nodes by level."""

    owners: list[int]
    splits: dict[int, tuple[int, int]]
    sums: list[Share]
    stops: list[BitShare]


async def table_of(e: Engine, own: Bins, columns: Sequence[int], n_bins: int) -> Table:
    """Prepare every party's bins, once a job; ``columns``: how many each party has."""
    rows = own.shape[0]
    held = [
        await e.private_bins(rank, own if rank == e.session.rank else None, (rows, count), n_bins)
        for rank, count in enumerate(columns)
        if count
    ]
    return Table(tuple(held), own, n_bins, tuple(count * (n_bins - 1) for count in columns))


async def grow(e: Engine, table: Table, gradients: Share, bits: int, params: Params) -> tuple[Tree, Share]:
    """A tree for gradients and hessians (2, rows), below 2^bits, and how it sorts the rows: leaf indicators (leaves, rows).

    Leaves are times the learning rate.
    """
    rows, depth = table.rows, params.max_depth
    grown = _Grown([], {}, [], [])
    members = e.public(np.ones((1, rows), dtype=np.uint64))
    vectors = gradients.reshape(1, 2, rows)
    histograms = await _histograms(e, table, vectors, bits)
    for level in range(depth):
        best, total = await _split(e, table, histograms, params, grown)
        chosen = _sides(table.own, grown.splits, level)
        owners = grown.owners[-len(chosen) :]
        if level == depth - 1:
            members = (await _children(e, chosen, members[:, None], owners))[:, 0]
            left = concatenate((best.left_gradient.reshape(1, -1), best.left_hessian.reshape(1, -1))).moveaxis(0, 1)
            grown.sums.append(_interleaved(left, total - left))
        else:
            both = await _children(e, chosen, _beside(members[:, None], vectors), owners)
            members, vectors = both[:, 0], both[:, 1:]
            left_sums = await _histograms(e, table, vectors[0::2], bits)
            pairs = zip(left_sums, histograms, strict=True)
            histograms = [_interleaved(left, parent - left) for left, parent in pairs]
    leaves = await _leaves(e, grown, params, rows)
    return Tree(tuple(grown.owners), grown.splits, leaves), members


async def descend(e: Engine, tree: Tree, own: Bins) -> Share:
    """How a tree sorts rows, of which every party gives its own bins (rows, columns): leaf indicators (leaves, rows).

    Rounds and bytes: ``private_mask`` of each level's nodes, a vector each.
    """
    members = e.public(np.ones((1, len(own)), dtype=np.uint64))
    for level in range(tree.depth):
        first, nodes = (1 << level) - 1, 1 << level
        owners = tree.owners[first : first + nodes]
        members = (await _children(e, _sides(own, tree.splits, level), members[:, None], owners))[:, 0]
    return members


async def _histograms(e: Engine, table: Table, vectors: Share, bits: int) -> list[Share]:
    """Sums of vectors (nodes, 2, rows) over every party's bins: (nodes, 2, columns, bins) each."""
    nodes, two, rows = vectors.shape
    sums = await e.select_sum(table.held, vectors.reshape(nodes * two, rows), bits)
    back = e.frac_bits - (bits - 1)
    return [each.reshape(nodes, two, *each.shape[1:]).times(1 << back) for each in sums]


async def _split(e: Engine, table: Table, histograms: list[Share], params: Params, grown: _Grown) -> tuple[Best, Share]:
    """Every node's best split, opened as far as the module says."""
    total = totals(histograms)
    best = await best_splits(e, candidates(histograms), total, params, table.rows)
    grown.sums.append(total)
    grown.stops.append(best.stopped)
    ends = np.cumsum(table.widths)
    nodes = best.place.size
    at_least = [best.place - e.public(np.full(nodes, end, dtype=np.uint64)) for end in ends[:-1]]
    owner = e.public(np.full(nodes, len(ends) - 1, dtype=np.uint64))
    for before in at_least:  # a place before a party's end is not of those after it
        owner -= await e.b2a(await e.msb(before))
    (opened,) = await e.open(owner, what=leakage.SPLIT_OWNERS)
    first = len(grown.owners)
    grown.owners += opened.astype(np.int64).tolist()
    for rank in sorted(set(grown.owners[first:])):
        mine = np.array([node for node in range(nodes) if grown.owners[first + node] == rank], dtype=np.int64)
        start = int(ends[rank]) - table.widths[rank]
        places = e.add_public(best.place[mine], -start)
        found = await e.open_to(rank, places, what=leakage.splits_of(rank))
        if found is not None:
            for node, place in zip(mine.tolist(), found[0].tolist(), strict=True):
                grown.splits[first + node] = divmod(place, table.n_bins - 1)
    return best, total


def _sides(own: Bins, splits: dict[int, tuple[int, int]], level: int) -> Bins:
    """Which rows go left at each node of a level, at the node's owner: (nodes, rows); zeros at the others."""
    first = (1 << level) - 1
    sides = np.zeros((1 << level, len(own)), dtype=np.uint8)
    for node in range(1 << level):
        if first + node in splits:
            column, cut = splits[first + node]
            sides[node] = own[:, column] <= cut
    return sides


async def _children(e: Engine, sides: Bins, vectors: Share, owners: Sequence[int]) -> Share:
    """Vectors (nodes, v, rows) of left and right children in turn: (2·nodes, v, rows)."""
    left = await e.private_mask(owners, sides, vectors)
    return _interleaved(left, vectors - left)


def _beside(one: Share, other: Share) -> Share:
    """Two arrays of vectors (nodes, v, rows) as one."""
    return concatenate((one.moveaxis(1, 0), other.moveaxis(1, 0))).moveaxis(0, 1)


def _interleaved(left: Share, right: Share) -> Share:
    """Left and right children in turn."""
    parts = [np.stack((a, b), axis=1).reshape(-1, *a.shape[1:]) for a, b in zip(left.parts, right.parts, strict=True)]
    return Share(tuple(parts))


async def _leaves(e: Engine, grown: _Grown, params: Params, rows: int) -> Share:
    """Leaf weights: a stopped node's children have its own, whatever they would be."""
    everyone = concatenate(grown.sums)
    weights = -await ratios(e, everyone[:, 0], everyone[:, 1], params, rows)
    value, at = weights[:1], 1
    stopped: BitShare | None = None
    for stop in grown.stops:
        nodes = value.size
        here = stop if stopped is None else await or_bits(e, stopped, stop)
        stopped = _doubled(here)
        own = weights[at : at + 2 * nodes]
        value = await mux(e, stopped, _interleaved(value, value), own)
        at += 2 * nodes
    factor = round(params.learning_rate * (1 << e.frac_bits))
    return await e.truncate(value.times(factor), e.frac_bits)


def _doubled(bits: BitShare) -> BitShare:
    """Every bit twice, one after the other."""
    parts = []
    for part in bits.parts:
        flat = np.unpackbits(part.view(np.uint8), bitorder="little")[: bits.length]
        out = np.zeros(64 * -(-2 * bits.length // 64), dtype=np.uint8)
        out[: 2 * bits.length] = np.repeat(flat, 2)
        parts.append(np.packbits(out, bitorder="little").view(np.uint64).reshape(1, -1))
    return BitShare(tuple(parts), 2 * bits.length)
