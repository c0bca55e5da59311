"""Releases trees to all parties: each owner sends its splits, leaves are opened, the label's owner sends the label's unit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms import leakage
from hansa.algorithms.gbdt.bins import MAX_CATEGORIES, Cuts, category_bins
from hansa.algorithms.gbdt.layout import Split
from hansa.algorithms.gbdt.model.tree_model import TreeModel
from hansa.algorithms.gbdt.model.xgboost_format import PlainSplit, ReleasedTrees
from hansa.algorithms.gbdt.objectives import Objective, SquaredError, Unit, base_score, objective_of
from hansa.algorithms.gbdt.params import TreeParams
from hansa.algorithms.learner import Step
from hansa.algorithms.terms import Terms
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import decode
from hansa.protocols.wire import canonical

_PER_NODE = 1024
_PER_COLUMN = 1 << 18
_LONGEST = 1024
"""Characters of a category's name, and bytes that a node's and a column's message take at most."""


async def release(e: Engine, terms: Terms, params: TreeParams, model: TreeModel, step: Step) -> ReleasedTrees:
    """Open the model to all.

    Raises ``PeerMisbehaved`` where a party sends other than one split on its own columns for each of its nodes.
    """
    objective = objective_of(params.objective, params.num_class)
    owners = np.array([tree.owners for tree in model.trees], dtype=np.int64)
    with step("open"):
        shares = [e.share_from_state(tree.leaves) for tree in model.trees]
        leaves = [decode(opened, e.frac_bits) for opened in await e.open(*shares, what=leakage.LEAVES)]
        base = await _base(e, objective, params, model)
    with step("release"):
        unit = await label_unit(e, terms, objective, model.unit)
        told = await _splits(e, terms, model, owners)
    splits, categories = [], dict[str, tuple[str, ...]]()
    for rank, (_, names) in enumerate(told):
        for column, kept in names.items():
            categories[f"{terms.names[rank]}.{terms.column_names[rank][column]}"] = kept
    queues = [iter(own) for own, _ in told]
    starts = np.cumsum([0, *terms.columns]).tolist()
    for tree in owners.tolist():
        nodes = ((starts[rank], next(queues[rank])) for rank in tree)
        splits.append(tuple(split._replace(feature=start + split.feature) for start, split in nodes))
    return ReleasedTrees(
        tuple(zip(terms.names, terms.column_names, strict=True)),
        params.objective,
        objective.groups,
        base_score(objective, params, unit._replace(base=base)),
        tuple(splits),
        tuple(each * unit.scale for each in leaves),
        categories,
    )


async def label_unit(e: Engine, terms: Terms, objective: Objective, own: Unit | None) -> Unit:
    """The label's unit, at all parties. Only that of the squared error is secret; its owner sends it to the others."""
    if not isinstance(objective, SquaredError):
        return Unit(0.0, 1.0, 0.0)
    s = e.session
    s.declare_opening(leakage.LABEL_UNIT, tuple(range(s.n_parties)), 2)
    if own is not None:
        for peer in s.peers:
            await s.send(peer, np.array([own.center, own.scale]))
        return own
    center, scale = (await s.recv(terms.label_rank, np.float64, 2)).tolist()
    if not (math.isfinite(center) and math.isfinite(scale) and scale > 0):
        raise _wrong(terms, terms.label_rank, "a unit of its label that is none")
    return Unit(center, scale, 0.0)


async def _base(e: Engine, objective: Objective, params: TreeParams, model: TreeModel) -> float:
    """The margin before all trees, opened where it is not public."""
    public = objective.public_base(params.base_score)
    if public is not None:
        return public
    (opened,) = await e.open(e.share_from_state(model.base), what=leakage.BASE)
    return float(decode(opened, e.frac_bits)[0])


async def _splits(
    e: Engine, terms: Terms, model: TreeModel, owners: NDArray[np.int64]
) -> list[tuple[list[PlainSplit], dict[int, tuple[str, ...]]]]:
    """Of each party: the splits of its nodes, whose features count its own columns, and the categories of its columns."""
    s = e.session
    s.declare_opening(leakage.RELEASED_SPLITS, tuple(range(s.n_parties)), int(owners.size))
    own = [plain_split(model.cuts, split) for tree in model.trees for _, split in sorted(tree.splits.items())]
    names = {column: kept for column, kept in enumerate(model.cuts.columns) if isinstance(kept, tuple)}
    message = canonical.encode(
        [
            [[each.feature, each.cut, each.empty_left, each.right and list(each.right)] for each in own],
            [[column, list(kept)] for column, kept in names.items()],
        ]
    )
    for peer in s.peers:
        await s.send_bytes(peer, message)
    told = []
    for rank in range(s.n_parties):
        if rank == s.rank:
            told.append((own, names))
            continue
        columns, nodes = terms.columns[rank], int(np.count_nonzero(owners == rank))
        most = _PER_NODE * (nodes + 1) + _PER_COLUMN * (columns + 1)
        told.append(_read(terms, rank, canonical.decode_untrusted(await s.recv_bytes(rank, most), most), nodes))
    return told


def plain_split(cuts: Cuts, split: Split) -> PlainSplit:
    """A split in its column's own unit. Of categories, the code after the last is for all others."""
    kept = cuts.columns[split.column]
    if isinstance(kept, tuple):
        bins = (*range(len(kept)), category_bins(cuts.n_bins) - 1)
        right = tuple(code for code, cell in enumerate(bins) if not split.left >> cell & 1)
        return PlainSplit(split.column, 0.0, len(kept) not in right, right)
    below = split.left & ((1 << cuts.n_bins) - 1)
    cut = cuts.threshold(split.column, below.bit_length() - 1)
    return PlainSplit(split.column, cut, bool(split.left >> cuts.n_bins), None)


def _read(terms: Terms, rank: int, told: Any, nodes: int) -> tuple[list[PlainSplit], dict[int, tuple[str, ...]]]:
    """What a party sent. Raises ``PeerMisbehaved`` where it is not splits on its own columns."""
    match told:
        case [list(splits), list(names)] if len(splits) == nodes:
            categories = {}
            for each in names:
                match each:
                    case [int(column), list(kept)] if _is_column(terms, rank, column) and _are_names(kept):
                        categories[column] = tuple(kept)
                    case _:
                        raise _wrong(terms, rank, "categories that are none of its columns'")
            return [_read_split(terms, rank, each, categories) for each in splits], categories
        case _:
            raise _wrong(terms, rank, "other than one split for each of its nodes")


def _read_split(terms: Terms, rank: int, told: Any, categories: dict[int, tuple[str, ...]]) -> PlainSplit:
    match told:
        case [int(column), float(cut), bool(empty_left), None] if (
            _is_column(terms, rank, column) and column not in categories and math.isfinite(cut)
        ):
            return PlainSplit(column, cut, empty_left, None)
        case [int(column), float(cut), bool(empty_left), list(right)] if column in categories and all(
            type(code) is int and 0 <= code <= len(categories[column]) for code in right
        ):
            return PlainSplit(column, cut, empty_left, tuple(right))
        case _:
            raise _wrong(terms, rank, "splits that are none of its columns'")


def _is_column(terms: Terms, rank: int, column: int) -> bool:
    return type(column) is int and 0 <= column < terms.columns[rank]


def _are_names(kept: list[Any]) -> bool:
    return len(kept) < MAX_CATEGORIES and all(isinstance(name, str) and len(name) <= _LONGEST for name in kept)


def _wrong(terms: Terms, rank: int, what: str) -> PeerMisbehaved:
    return PeerMisbehaved(
        f"{terms.names[rank]} sent {what}",
        remedy="check that all parties run the same version of hansa",
        peer=rank,
        step="release",
    )
