"""Every split's gain and each node's best one, from shared sums of gradients and hessians.

Candidates of all parties lie in one line (``layout.Candidates``). With a = G_L, b = H_L + lambda, S = H + 2 lambda, the gain is
a²/b + (G - a)²/(S - b) - G²/(H + lambda), and the first two are

    S·u²/(t(1 - t)) + G²/S    with t = b/S and u = a/S - t·G/S

so that one reciprocal a node, and one quotient a candidate of numbers below one, rank a node's candidates. These numbers
have ``FRACTION`` bits, whatever the node's size. With ``reg_alpha``, sums are thresholded before they are squared: then
a = T(G_L), and G = T(G_L) + T(G_R) is a candidate's own, so that G²/S counts in its rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import encode
from hansa.protocols.mpc.operators.arithmetic import product
from hansa.protocols.mpc.operators.bits import mux, not_bits, or_bits, padded
from hansa.protocols.mpc.operators.division import divide_positive, inverse_mantissa
from hansa.protocols.mpc.operators.normalise import MAGNITUDE, MANTISSA, normalise
from hansa.protocols.mpc.operators.sorting import sort
from hansa.protocols.mpc.shares import BitShare, Share, concatenate

FRACTION: Final = 24
"""Fraction bits of sums over a node's own."""
_FINER: Final = 4
"""Bits below the last of a quotient that its product with u is still right in."""
_SLACK: Final = 9
"""Sums that fall short of ``min_child_weight`` by 2^-9 have it: the first tree's hessians are all 1/4, and equality is common."""
ROOM_BITS: Final = 14
"""Gains of nodes of more rows than 2^14 are in larger units."""
SET_BACK: Final = 1 << 50
"""What a candidate that must not be taken is behind all others: so that a node without a candidate still opens its best."""


@dataclass(frozen=True, slots=True)
class Penalty:
    """What holds trees back, in the units of gradients; ``alpha`` None for 0.

    ``width``: bits of a node's hessians with twice lambda; gains are in units of 2^``shift``, and so is ``gamma``, (1,), which
    one must exceed.
    """

    reg_lambda: float
    min_child_weight: float
    alpha: Share | None
    gamma: Share
    width: int
    shift: int


@dataclass(frozen=True, slots=True)
class Best:
    """For each node: the place of its best candidate, the set it carries (if any do), its left sums, its gain, and whether it
    must not split."""

    place: Share
    chosen: Share | None
    left: Share
    gain: Share
    stopped: BitShare


def scale_shift(rows: int) -> int:
    """Units of scores for so many rows, as a power of two."""
    return max(0, rows.bit_length() - ROOM_BITS)


async def best_splits(e: Engine, left: Share, sets: Share | None, total: Share, penalty: Penalty) -> Best:
    """Each node's best candidate, from left sums (nodes, 2, candidates) and totals (nodes, 2); ``sets`` (nodes, candidates).

    1. Which candidates have ``min_child_weight`` on both sides; with ``reg_alpha``, thresholds.
    2. a/S, b/S and G/S, T(G)/(H + lambda): S is normalised, once a node.
    3. u²/(t(1 - t)), and the greatest of each node by a tournament.
    4. The winner's gain, and whether it is not above ``gamma``, or the winner one that must not be taken.

    Right while |G_L| < 128 (H + 2 lambda) on either side, that is, for leaf weights below some 100; a candidate beyond is
    ranked wrongly, and nothing else is touched.

    Rounds: those of two comparisons, ``normalise`` and ``divide_positive``, ten products, and log2(candidates) of ``less`` and
    ``mux``; with ``reg_alpha`` one more of each of these three.
    """
    nodes, _, count = left.shape
    size, of_node = nodes * count, np.repeat(np.arange(nodes), count)
    allowed = await _heavy_enough(e, left, total, penalty)
    smoothing = int(encode(penalty.reg_lambda, e.frac_bits))
    whole = e.add_public(total[:, 1], 2 * smoothing)
    a, b = left[:, 0].reshape(size), e.add_public(left[:, 1].reshape(size), smoothing)
    own = both = total[:, 0]
    if penalty.alpha is not None:
        others = own[of_node] - a
        lower = await thresholded(e, concatenate((a, others, own)), penalty.alpha)
        a, both, own = lower[:size], lower[:size] + lower[size : 2 * size], lower[2 * size :]
    scale = await _scale(e, concatenate((whole, e.add_public(total[:, 1], smoothing))), penalty.width)
    which = [of_node, of_node, of_node if penalty.alpha is not None else np.arange(nodes), np.arange(nodes) + nodes]
    share = await _over(e, concatenate((a, b, both, own)), scale, np.concatenate(which))
    alpha, t, over_own = share[:size], share[size : 2 * size], share[-nodes:]
    over_whole = share[2 * size : -nodes]
    of_both = over_whole if penalty.alpha is not None else over_whole[of_node]
    products = await product(e, concatenate((t, t)), concatenate((of_both, t)), FRACTION)
    u, spread = alpha - products[:size], t - products[size:]
    ratio = await divide_positive(e, u.times(1 << _FINER), spread, FRACTION - 1)
    score = await product(e, u, ratio, e.frac_bits + _FINER)
    rest = over_whole - over_own if penalty.alpha is None else -over_own
    if penalty.alpha is not None:
        score += await product(e, of_both, of_both, FRACTION)
    line = (await mux(e, allowed, score, e.add_public(score, -SET_BACK))).reshape(nodes, count).moveaxis(1, 0)
    place = np.ascontiguousarray(np.broadcast_to(np.arange(count, dtype=np.uint64)[:, None], (count, nodes)))
    carried = () if sets is None else (sets.moveaxis(1, 0),)
    sums = left.moveaxis(2, 0)
    found = await sort(e, line, e.public(place), sums[:, :, 0], sums[:, :, 1], *carried, largest_first=True, first=1)
    gain = await _gain(e, concatenate((found[0][0], rest)), concatenate((whole, own)), penalty.shift)
    too_little = padded(gain - e.add_public(penalty.gamma.broadcast((nodes,)), 1))
    set_back = padded(e.add_public(found[0][0], SET_BACK // 2))  # then the gain has overflowed and means nothing
    stopped = await or_bits(e, *_in_two(await e.msb(concatenate((too_little, set_back))), nodes))
    winners = concatenate((found[2].reshape(1, nodes), found[3].reshape(1, nodes))).moveaxis(0, 1)
    return Best(found[1][0], found[4][0] if carried else None, winners, gain, stopped)


async def _gain(e: Engine, parts: Share, sums: Share, shift: int) -> Share:
    """The score times S, and what a node's own sums make of the rest."""
    reduced = await e.truncate(sums, shift) if shift else sums
    found = await product(e, parts, reduced, FRACTION)
    return found[: found.size // 2] + found[found.size // 2 :]


async def thresholded(e: Engine, x: Share, alpha: Share) -> Share:
    """x moved towards 0 by alpha, or 0 where it is nearer: a vector. Rounds: those of a ``less`` and a ``mux``."""
    edge = alpha.broadcast(x.shape)
    beyond = concatenate((padded(x - edge), padded(-x - edge)))
    kept = await e.mux(await e.msb(beyond), e.public(np.zeros(beyond.shape, dtype=np.uint64)), beyond)
    return kept[: x.size] - kept[beyond.size // 2 :][: x.size]


@dataclass(frozen=True, slots=True)
class _Scale:
    """What divides by numbers: 2^(44 - q) and 1/m at 30 bits, for numbers m·2^q."""

    power: Share
    inverse: Share


async def _scale(e: Engine, numbers: Share, width: int) -> _Scale:
    normal = await normalise(e, numbers, width)
    power = normal.of_place([1 << (MAGNITUDE - q) for q in normal.range_of_places])
    return _Scale(power, await inverse_mantissa(e, normal))


async def _over(e: Engine, parts: Share, scale: _Scale, which: NDArray[np.int64]) -> Share:
    """Each part over one of the scale's numbers, ``FRACTION`` bits; for quotients below 128."""
    scaled = await product(e, parts, scale.power[which], MAGNITUDE - FRACTION)
    return await product(e, scaled, scale.inverse[which], MANTISSA)


async def ratios(e: Engine, gradients: Share, hessians: Share, penalty: Penalty) -> Share:
    """G/(H + lambda), elementwise; 0 if H + lambda is 0."""
    divisors = e.add_public(hessians, int(encode(penalty.reg_lambda, e.frac_bits)))
    return await divide_positive(e, gradients, divisors, penalty.width)


async def _heavy_enough(e: Engine, left: Share, total: Share, penalty: Penalty) -> BitShare:
    """Whether both sides of every candidate have ``min_child_weight``; flat. A sum that equals it does, whatever its rounding."""
    nodes, _, count = left.shape
    size = nodes * count
    least = max(0, int(encode(penalty.min_child_weight, e.frac_bits)) - (1 << (e.frac_bits - _SLACK)))
    hessians = left[:, 1].reshape(size)
    others = total[:, 1].reshape(nodes, 1).broadcast((nodes, count)).reshape(size) - hessians
    light = await e.msb(concatenate([padded(e.add_public(side, -least)) for side in (hessians, others)]))
    return not_bits(e, await or_bits(e, *_in_two(light, size)))


def _in_two(bits: BitShare, length: int) -> tuple[BitShare, BitShare]:
    """The bits of two padded vectors that were joined."""
    words = bits.parts[0].shape[1] // 2
    low, high = (tuple(part[:, half] for part in bits.parts) for half in (slice(0, words), slice(words, None)))
    return BitShare(low, length), BitShare(high, length)
