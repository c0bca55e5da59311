"""Left sums of all candidates, from sums over bins; categories in an order that nobody learns."""

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
    """Of all parties' (nodes, 2, columns, cells): (nodes, 2, candidates), and the sets they carry, (nodes, candidates), if any.

    Local, but for columns of categories that are ordered, by gradients over hessians: a quotient for each bin of a node, and
    ``sort`` along the bins, of all parties' columns at once. Source: Fisher (1958): the best of all sets is a prefix of this
    order; XGBoost's "partition".
    """
    layout = c.layout
    nodes = next(iter(histograms.values())).shape[0]
    grouped = {rank: sums[:, :, c.classes[rank], : layout.categories] for rank, sums in histograms.items()}
    parted: dict[int, tuple[Share, Share]] = {}
    if layout.carries_sets and any(map(len, c.classes)):
        parted = await _parted(e, {rank: sums for rank, sums in grouped.items() if sums.size}, penalty)
    lines, sets = [], []
    for rank, sums in histograms.items():
        numbers = _of_numbers(c, sums[:, :, c.numbers[rank]])
        lines.append(numbers)
        sets.append(e.public(np.zeros((numbers.shape[0], nodes), dtype=np.uint64)))
        if rank in parted:
            lines.append(parted[rank][0])
            sets.append(parted[rank][1])
        elif layout.one_hot and len(c.classes[rank]):
            lines.append(_flat(grouped[rank]))
    carried = concatenate(sets).moveaxis(0, 1) if layout.carries_sets else None
    return concatenate(lines).moveaxis(0, 2), carried


def totals(histograms: Mapping[int, Share]) -> Share:
    """Every node's own sums, (nodes, 2), from the first column there is. Local."""
    return next(iter(histograms.values()))[:, :, 0, :].sum(axis=2)


def _flat(sums: Share) -> Share:
    """(nodes, 2, columns, candidates of one) as (candidates, nodes, 2)."""
    nodes, two, columns, each = sums.shape
    return sums.reshape(nodes, two, columns * each).moveaxis(2, 0)


def _of_numbers(c: Candidates, sums: Share) -> Share:
    """Prefix sums over bins; where cells may be empty, first without them, then with."""
    layout = c.layout
    prefixes = sums[..., : layout.n_bins].cumsum(3)
    right = prefixes if layout.missing else prefixes[..., : layout.n_bins - 1]
    if not layout.missing:
        return _flat(right)
    left = prefixes[..., : layout.n_bins - 1] + sums[..., layout.n_bins :].broadcast(
        (*sums.shape[:3], layout.n_bins - 1)
    )
    both = concatenate((right.moveaxis(3, 0), left.moveaxis(3, 0))).moveaxis(0, 3)
    return _flat(both)


async def _parted(e: Engine, sums: Mapping[int, Share], penalty: Penalty) -> dict[int, tuple[Share, Share]]:
    """For each rank's (nodes, 2, columns, bins): candidates (columns·(bins - 1), nodes, 2) and their sets (.., nodes)."""
    together = concatenate([each.moveaxis(2, 0) for each in sums.values()]).moveaxis(3, 0)  # bins, columns, nodes, 2
    bins, columns, nodes, _ = together.shape
    gradients, hessians = together[..., 0], together[..., 1]
    places = np.uint64(1) << np.arange(bins, dtype=np.uint64)
    sets = e.public(np.ascontiguousarray(np.broadcast_to(places[:, None, None], (bins, columns, nodes))))
    _, *ordered = await sort(e, await ratios(e, gradients, hessians, penalty), gradients, hessians, sets)
    first_g, first_h, first_sets = (each.cumsum(0)[: bins - 1].moveaxis(0, 1) for each in ordered)
    out, start = {}, 0
    for rank, each in sums.items():
        mine = slice(start, start + each.shape[2])
        pair = [part[mine].reshape(1, -1, nodes) for part in (first_g, first_h)]
        out[rank] = concatenate(pair).moveaxis(0, 2), first_sets[mine].reshape(-1, nodes)
        start = mine.stop
    return out
