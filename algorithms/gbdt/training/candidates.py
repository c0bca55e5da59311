"""The left sums of all candidate splits, from histograms. Categories may stand in an order that nobody learns.

Histograms are (nodes, 2, columns, bins): the sums of gradients and of hessians over each bin of each column.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hansa.algorithms.gbdt.layout import Candidates
from hansa.algorithms.gbdt.training.gain import Penalty, ratios
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.operators.sorting import sort
from hansa.protocols.mpc.shares import Share, concatenate


async def left_sums(
    e: Engine, c: Candidates, histograms: Mapping[int, Share], penalty: Penalty
) -> tuple[Share, Share | None]:
    """The left sums of all parties' candidates, (nodes, 2, candidates), and the sets they carry, (nodes, candidates), if any.

    Local, unless categories are partitioned. Then the bins of each such column are sorted by G/(H + lambda) in each node,
    and the prefixes of that order are the candidates. Rounds and bytes: a quotient for each bin and node, and one
    ``sort`` along the bins, of all nodes' and parties' columns at once.

    Source: Fisher (1958): the best of all sets is a prefix of this order; XGBoost's "partition".
    """
    layout = c.layout
    nodes = next(iter(histograms.values())).shape[0]
    categories = {rank: sums[:, :, c.categorical[rank], : layout.categories] for rank, sums in histograms.items()}
    partitions: dict[int, tuple[Share, Share]] = {}
    if layout.carries_sets and any(map(len, c.categorical)):
        partitions = await _partitions(e, {rank: sums for rank, sums in categories.items() if sums.size}, penalty)
    sums_in_line, sets_in_line = [], []  # party by party; of each first its numbers, then its categories
    for rank, sums in histograms.items():
        numbers = _of_numbers(c, sums[:, :, c.numbers[rank]])
        sums_in_line.append(numbers)
        sets_in_line.append(e.public(np.zeros((numbers.shape[0], nodes), dtype=np.uint64)))
        if rank in partitions:
            sums_in_line.append(partitions[rank][0])
            sets_in_line.append(partitions[rank][1])
        elif layout.one_hot and len(c.categorical[rank]):
            sums_in_line.append(_flat(categories[rank]))
    carried = concatenate(sets_in_line).moveaxis(0, 1) if layout.carries_sets else None
    return concatenate(sums_in_line).moveaxis(0, 2), carried


def totals(histograms: Mapping[int, Share]) -> Share:
    """Each node's own sums, (nodes, 2): those over all bins of any one column. Local."""
    return next(iter(histograms.values()))[:, :, 0, :].sum(axis=2)


def _flat(sums: Share) -> Share:
    """(nodes, 2, columns, candidates of a column) as (candidates, nodes, 2)."""
    nodes, two, columns, each = sums.shape
    return sums.reshape(nodes, two, columns * each).moveaxis(2, 0)


def _of_numbers(c: Candidates, sums: Share) -> Share:
    """Prefix sums over the bins of numbers. Where cells may be empty: first with the empty ones right, then left."""
    layout = c.layout
    prefixes = sums[..., : layout.n_bins].cumsum(3)
    if not layout.missing:
        return _flat(prefixes[..., : layout.n_bins - 1])
    empty = sums[..., layout.n_bins :].broadcast((*sums.shape[:3], layout.n_bins - 1))
    with_empty = prefixes[..., : layout.n_bins - 1] + empty
    both = concatenate((prefixes.moveaxis(3, 0), with_empty.moveaxis(3, 0))).moveaxis(0, 3)
    return _flat(both)


async def _partitions(e: Engine, sums: Mapping[int, Share], penalty: Penalty) -> dict[int, tuple[Share, Share]]:
    """For each rank's (nodes, 2, columns, bins): left sums (candidates, nodes, 2) and sets (candidates, nodes)."""
    together = concatenate([each.moveaxis(2, 0) for each in sums.values()]).moveaxis(3, 0)  # bins, columns, nodes, 2
    bins, columns, nodes, _ = together.shape
    gradients, hessians = together[..., 0], together[..., 1]
    # Bin b travels as 2^b, so that a prefix sum of the sorted bins is the set of bins on the left.
    powers = np.uint64(1) << np.arange(bins, dtype=np.uint64)
    sets = e.public(np.ascontiguousarray(np.broadcast_to(powers[:, None, None], (bins, columns, nodes))))
    _, *ordered = await sort(e, await ratios(e, gradients, hessians, penalty), gradients, hessians, sets)
    left_g, left_h, left_sets = (each.cumsum(0)[: bins - 1].moveaxis(0, 1) for each in ordered)
    out, start = {}, 0
    for rank, each in sums.items():
        mine = slice(start, start + each.shape[2])
        pair = [part[mine].reshape(1, -1, nodes) for part in (left_g, left_h)]
        out[rank] = concatenate(pair).moveaxis(0, 2), left_sets[mine].reshape(-1, nodes)
        start = mine.stop
    return out
