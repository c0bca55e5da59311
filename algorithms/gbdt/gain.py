"""Every split's gain and each node's best one, from shared sums of gradients and hessians.

A candidate is a cut of one party's column; candidates of all parties lie in one line, in rank order. With a = G_L, b = H_L +
lambda, S = H + 2 lambda, the gain is a²/b + (G - a)²/(S - b) - G²/(H + lambda), and the first two are

    S·u²/(t(1 - t)) + G²/S    with t = b/S and u = a/S - t·G/S

so that one reciprocal a node, and one quotient a candidate of numbers below one, rank a node's candidates. These numbers
have ``FRACTION`` bits, whatever the node's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.gbdt.params import Params
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import encode
from hansa.protocols.mpc.operators.arithmetic import product
from hansa.protocols.mpc.operators.bits import mux
from hansa.protocols.mpc.operators.division import divide_positive, inverse_mantissa
from hansa.protocols.mpc.operators.normalise import MAGNITUDE, MANTISSA, normalise
from hansa.protocols.mpc.operators.sorting import sort
from hansa.protocols.mpc.shares import BitShare, Share, concatenate

FRACTION: Final = 24
"""Fraction bits of sums over a node's own."""
_FINER: Final = 4
"""Bits below the last of a quotient that its product with u is still right in."""
ROOM_BITS: Final = 14
"""Gains of nodes of more rows than 2^14 are in larger units."""
SET_BACK: Final = 1 << 50
"""What a candidate that must not be taken is behind all others: so that a node without a candidate still opens its best."""


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

    1. Which candidates have ``min_child_weight`` on both sides.
    2. a/S, b/S and G/S, G/(H + lambda): S is normalised, once a node.
    3. u²/(t(1 - t)), and the greatest of each node by a tournament.
    4. The winner's gain, and whether it is below ``gamma``.

    Right while |G_L| < 128 (H + 2 lambda) on either side, that is, for leaf weights below some 100; a candidate beyond is
    ranked wrongly, and nothing else is touched.

    Rounds: those of two comparisons, ``normalise`` and ``divide_positive``, ten products, and log2(candidates) of ``less`` and
    ``mux``.
    """
    nodes, _, count = left.shape
    allowed = await _heavy_enough(e, left, total, params)
    smoothing = int(encode(params.reg_lambda, e.frac_bits))
    gradient, hessian = total[:, 0], total[:, 1]
    whole = e.add_public(hessian, 2 * smoothing)
    a, b = left[:, 0], e.add_public(left[:, 1], smoothing)
    scale = await _scale(e, concatenate((whole, e.add_public(hessian, smoothing))), params, rows)
    parts = concatenate((a.reshape(-1), b.reshape(-1), gradient, gradient))
    wide = [np.repeat(np.arange(nodes), count)] * 2
    share = await _over(e, parts, scale, np.concatenate((*wide, np.arange(2 * nodes))))
    alpha, t = share[: nodes * count], share[nodes * count : 2 * nodes * count]
    over_whole, over_own = share[2 * nodes * count : -nodes], share[-nodes:]
    both = await product(e, concatenate((t, t)), concatenate((over_whole[wide[0]], t)), FRACTION)
    u, spread = alpha - both[: t.size], t - both[t.size :]
    ratio = await divide_positive(e, u.times(1 << _FINER), spread, FRACTION - 1)
    score = await product(e, u, ratio, e.frac_bits + _FINER)
    line = (await mux(e, allowed, score, e.add_public(score, -SET_BACK))).reshape(nodes, count).moveaxis(1, 0)
    place = np.ascontiguousarray(np.broadcast_to(np.arange(count, dtype=np.uint64)[:, None], (count, nodes)))
    payloads = e.public(place), a.moveaxis(1, 0), left[:, 1].moveaxis(1, 0)
    best, place_, left_gradient, left_hessian = await sort(e, line, *payloads, largest_first=True, first=1)
    shift = scale_shift(rows)
    reduced = concatenate((whole, gradient))
    if shift:
        reduced = await e.truncate(reduced, shift)
    found = await product(e, concatenate((best[0], over_whole - over_own)), reduced, FRACTION)
    least = int(encode(params.gamma / 2.0**shift, e.frac_bits)) + 1
    stopped = await e.less(found[:nodes] + found[nodes:], e.public(np.full(nodes, least, dtype=np.uint64)))
    return Best(place_[0], left_gradient[0], left_hessian[0], stopped)


@dataclass(frozen=True, slots=True)
class _Scale:
    """What divides by numbers: 2^(44 - q) and 1/m at 30 bits, for numbers m·2^q."""

    power: Share
    inverse: Share


async def _scale(e: Engine, numbers: Share, params: Params, rows: int) -> _Scale:
    normal = await normalise(e, numbers, _width(e, params, rows))
    power = normal.of_place([1 << (MAGNITUDE - q) for q in normal.range_of_places])
    return _Scale(power, await inverse_mantissa(e, normal))


async def _over(e: Engine, parts: Share, scale: _Scale, which: NDArray[np.int64]) -> Share:
    """Each part over one of the scale's numbers, ``FRACTION`` bits; for quotients below 128."""
    scaled = await product(e, parts, scale.power[which], MAGNITUDE - FRACTION)
    return await product(e, scaled, scale.inverse[which], MANTISSA)


def _width(e: Engine, params: Params, rows: int) -> int:
    """Bits of a node's hessians, which are at most a quarter of ``rows`` up to rounding, and lambda."""
    return int(encode(rows / 4 + 2 * params.reg_lambda + 1, e.frac_bits)).bit_length()


async def ratios(e: Engine, gradients: Share, hessians: Share, params: Params, rows: int) -> Share:
    """G/(H + lambda), elementwise; 0 if H + lambda is 0."""
    divisors = e.add_public(hessians, int(encode(params.reg_lambda, e.frac_bits)))
    return await divide_positive(e, gradients, divisors, _width(e, params, rows))


async def _heavy_enough(e: Engine, left: Share, total: Share, params: Params) -> BitShare:
    """Whether both sides of every candidate have ``min_child_weight``; flat."""
    nodes, _, count = left.shape
    size = nodes * count
    words = -(-size // 64)
    least = int(encode(params.min_child_weight, e.frac_bits))
    hessians = left[:, 1].reshape(1, size)
    others = total[:, 1].reshape(nodes, 1).broadcast((nodes, count)).reshape(1, size) - hessians
    missing = e.add_public(concatenate((hessians, others)), -least)
    padded = Share(tuple(np.pad(part, ((0, 0), (0, 64 * words - size))) for part in missing.parts))
    light = await e.msb(padded.reshape(-1))
    low, high = (BitShare(tuple(part[:, half] for part in light.parts), size) for half in _halves(words))
    ones = e.public_bits(np.full((1, words), ~np.uint64(0)), size)
    return await e.and_bits(low ^ ones, high ^ ones)


def _halves(words: int) -> tuple[slice, slice]:
    return slice(0, words), slice(words, 2 * words)
