"""Every split's gain and each node's best one, from shared sums of gradients and hessians.

A candidate is a cut of one party's column; candidates of all parties lie in one line, in rank order. Its score is
G_L²/(H_L + lambda) + G_R²/(H_R + lambda), its gain that less the node's own G²/(H + lambda), as XGBoost counts it. Sums have
``engine.frac_bits`` fraction bits, scores as many in units of 2^``shift``, so that products stay below 2^62.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hansa.algorithms.gbdt.params import Params
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import encode
from hansa.protocols.mpc.operators.arithmetic import product
from hansa.protocols.mpc.operators.bits import mux
from hansa.protocols.mpc.operators.division import divide_positive
from hansa.protocols.mpc.operators.sorting import sort
from hansa.protocols.mpc.shares import BitShare, Share, concatenate

ROOM_BITS = 14
"""Sums of gradients of more rows than 2^14 are scaled down before they are squared."""
WORST = -(1 << 58)
"""The score of a candidate that must not be taken."""


@dataclass(frozen=True, slots=True)
class Best:
    """For each node: the place of its best candidate, its left sums, and whether it must not split."""

    place: Share
    left_gradient: Share
    left_hessian: Share
    stopped: BitShare


def scale_shift(rows: int) -> int:
    """Units of scores for so many rows, as a power of two."""
    return max(0, rows.bit_length() - ROOM_BITS)


def candidates(histograms: Sequence[Share]) -> Share:
    """Left sums of all candidates, (nodes, 2, candidates), of all parties' (nodes, 2, columns, bins). Local."""
    lines = []
    for sums in histograms:
        nodes, two, columns, bins = sums.shape
        left = sums.cumsum(3)[..., : bins - 1].reshape(nodes, two, columns * (bins - 1))
        lines.append(left.moveaxis(2, 0))
    return concatenate(lines).moveaxis(0, 2)


def totals(histograms: Sequence[Share]) -> Share:
    """Every node's own sums, (nodes, 2), from the first column there is. Local."""
    return histograms[0][:, :, 0, :].sum(axis=2)


async def best_splits(e: Engine, left: Share, total: Share, params: Params, rows: int) -> Best:
    """Each node's best candidate, from left sums (nodes, 2, candidates) and totals (nodes, 2).

    Rounds: those of two comparisons and ``divide_positive`` at once, a product, and log2(candidates) of ``less`` and ``mux``.
    """
    nodes, _, count = left.shape
    right = total.reshape(nodes, 2, 1).broadcast(left.shape) - left
    sides = concatenate((left.moveaxis(1, 0), right.moveaxis(1, 0)))  # left G, left H, right G, right H
    gradients, hessians = sides[0::2], sides[1::2]
    own = total.moveaxis(1, 0)
    allowed = await _heavy_enough(e, hessians, params)
    scored = concatenate((gradients.reshape(-1), own[0]))
    divisors = concatenate((hessians.reshape(-1), own[1]))
    scores = await _scores(e, scored, divisors, params, rows)
    both, node = scores[: 2 * nodes * count].reshape(2, nodes, count), scores[2 * nodes * count :]
    worst = e.public(np.full((nodes, count), WORST % (1 << 64), dtype=np.uint64))
    gain = await mux(e, allowed, both[0] + both[1], worst)
    line = gain.moveaxis(1, 0)
    place = np.ascontiguousarray(np.broadcast_to(np.arange(count, dtype=np.uint64)[:, None], (count, nodes)))
    payloads = e.public(place), left[:, 0].moveaxis(1, 0), left[:, 1].moveaxis(1, 0)
    best, place_, gradient, hessian = await sort(e, line, *payloads, largest_first=True, first=1)
    least = int(encode(params.gamma / 2.0 ** scale_shift(rows), e.frac_bits)) + 1
    stopped = await e.less(best[0] - node, e.public(np.full(nodes, least, dtype=np.uint64)))
    return Best(place_[0], gradient[0], hessian[0], stopped)


async def ratios(e: Engine, gradients: Share, hessians: Share, params: Params, rows: int) -> Share:
    """G/(H + lambda), elementwise. H is at most a quarter of ``rows``, up to rounding; 0 if H + lambda is 0."""
    divisors = e.add_public(hessians, int(encode(params.reg_lambda, e.frac_bits)))
    width = int(encode(rows / 4 + params.reg_lambda + 1, e.frac_bits)).bit_length()
    return await divide_positive(e, gradients, divisors, width)


async def _scores(e: Engine, gradients: Share, hessians: Share, params: Params, rows: int) -> Share:
    """G²/(H + lambda), in units of 2^``scale_shift``."""
    shift = scale_shift(rows)
    ratio = await ratios(e, gradients, hessians, params, rows)
    reduced = await e.truncate(gradients, shift) if shift else gradients
    return await product(e, reduced, ratio, e.frac_bits)


async def _heavy_enough(e: Engine, hessians: Share, params: Params) -> BitShare:
    """Whether both sides of every candidate have ``min_child_weight``: hessians (2, nodes, candidates), bits flat."""
    size = hessians.size // 2
    words = -(-size // 64)
    least = e.public(np.full(hessians.shape, int(encode(params.min_child_weight, e.frac_bits)), dtype=np.uint64))
    missing = (hessians - least).reshape(2, size)
    padded = Share(tuple(np.pad(part, ((0, 0), (0, 64 * words - size))) for part in missing.parts))
    light = await e.msb(padded.reshape(-1))
    left, right = (BitShare(tuple(part[:, half] for part in light.parts), size) for half in _halves(words))
    ones = e.public_bits(np.full((1, words), ~np.uint64(0)), size)
    return await e.and_bits(left ^ ones, right ^ ones)


def _halves(words: int) -> tuple[slice, slice]:
    return slice(0, words), slice(words, 2 * words)
