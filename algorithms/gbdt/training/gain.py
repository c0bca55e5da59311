"""Finds each node's best split, from shared sums of gradients (G) and hessians (H).

A candidate whose left side has the sums G_L and H_L gains

    a²/b + (G - a)²/(S - b) - G²/(H + lambda)    with a = G_L, b = H_L + lambda, S = H + 2 lambda.

The first two terms equal (docs/protocols.md, "Boosted trees", 3)

    S·u²/(t(1 - t)) + G²/S    with t = b/S, u = a/S - t·G/S.

S and G are the same for all candidates of a node, so u²/(t(1 - t)) ranks them. That takes one reciprocal a node and one
quotient a candidate, of numbers below one. They have ``FRACTION`` fraction bits, whatever the size of the node.

With ``reg_alpha`` the thresholding T moves sums towards 0 before they are squared: a = T(G_L), and in place of G stands
T(G_L) + T(G_R), which differs from candidate to candidate. So its square over S² is added to the score.

The candidates of all parties stand in one line (``layout.Candidates``).
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
"""Fraction bits of sums over S."""
_FINER: Final = 4
"""More fraction bits of a quotient, so that its product with u is right to its last bit."""
_SLACK: Final = 9
"""A sum of hessians may fall short of ``min_child_weight`` by 2^-9. All hessians of the first tree are 1/4, so sums that
equal the minimum are common, and their rounding must not decide."""
ROOM_BITS: Final = 14
"""Gains of nodes of more than 2^14 rows are in larger units, so that they do not overflow."""
SET_BACK: Final = 1 << 50
"""Taken off the score of a candidate that must not be chosen. A node without any other candidate still opens one."""


@dataclass(frozen=True, slots=True)
class Penalty:
    """What holds trees back, in the units of gradients. ``alpha``: ``reg_alpha``, None for 0.

    A split must gain more than ``gamma`` (1,). Gains and ``gamma`` are in units of 2^``shift``. A node's hessians and twice
    ``reg_lambda`` together fit ``width`` bits.
    """

    reg_lambda: float
    min_child_weight: float
    alpha: Share | None
    gamma: Share
    width: int
    shift: int


@dataclass(frozen=True, slots=True)
class Best:
    """The best candidate of each node. ``place``: where it stands in the line; ``chosen``: the set of bins it carries, if
    candidates carry any; ``left`` (nodes, 2): its left sums; ``gain``; ``stopped``: whether the node must not split."""

    place: Share
    chosen: Share | None
    left: Share
    gain: Share
    stopped: BitShare


@dataclass(frozen=True, slots=True)
class _Ranked:
    """``score`` (nodes·candidates,): what a node's candidates are ranked by. A candidate gains ``whole``·score +
    ``gradient``·``rest``. These three belong to its node, (nodes,): ``whole`` is S, ``gradient`` is G, or T(G)
    with ``reg_alpha``."""

    score: Share
    whole: Share
    gradient: Share
    rest: Share


def scale_shift(rows: int) -> int:
    """The unit of gains for so many rows, as a power of two."""
    return max(0, rows.bit_length() - ROOM_BITS)


async def best_splits(e: Engine, left: Share, sets: Share | None, total: Share, penalty: Penalty) -> Best:
    """Each node's best candidate, from left sums (nodes, 2, candidates) and totals (nodes, 2); ``sets`` (nodes, candidates).

    1. Find which candidates have ``min_child_weight`` on both sides.
    2. Rank the candidates (``_ranked``); set back those that have not.
    3. The greatest of each node wins, by a tournament.
    4. Work out the winner's gain. The node is stopped if the gain is not above ``gamma``, or if the winner was set back.

    Right while |G_L| < 128 (H + 2 lambda) on either side, that is for leaf weights below about 100. A candidate beyond is
    ranked wrongly; nothing else is touched.

    Rounds: those of two comparisons, ``normalise`` and ``divide_positive``, ten products, and log2(candidates) of ``less`` and
    ``mux``; with ``reg_alpha`` one more of each of these three.
    """
    nodes, _, count = left.shape
    allowed = await _heavy_enough(e, left, total, penalty)
    ranked = await _ranked(e, left, total, penalty)
    score = await mux(e, allowed, ranked.score, e.add_public(ranked.score, -SET_BACK))
    place = np.ascontiguousarray(np.broadcast_to(np.arange(count, dtype=np.uint64)[:, None], (count, nodes)))
    carried = () if sets is None else (sets.moveaxis(1, 0),)
    by_candidate = left.moveaxis(2, 0)
    first, *winner = await sort(
        e,
        score.reshape(nodes, count).moveaxis(1, 0),
        e.public(place),
        by_candidate[:, :, 0],
        by_candidate[:, :, 1],
        *carried,
        largest_first=True,
        first=1,
    )
    gain = await _gain(
        e, concatenate((first[0], ranked.rest)), concatenate((ranked.whole, ranked.gradient)), penalty.shift
    )
    too_little = padded(gain - e.add_public(penalty.gamma.broadcast((nodes,)), 1))
    set_back = padded(
        e.add_public(first[0], SET_BACK // 2)
    )  # the gain of such a winner has overflowed and means nothing
    stopped = await or_bits(e, *_in_two(await e.msb(concatenate((too_little, set_back))), nodes))
    left_of_best = concatenate((winner[1].reshape(1, nodes), winner[2].reshape(1, nodes))).moveaxis(0, 1)
    return Best(winner[0][0], winner[3][0] if carried else None, left_of_best, gain, stopped)


async def _ranked(e: Engine, left: Share, total: Share, penalty: Penalty) -> _Ranked:
    """Scores of all candidates; see the module for the letters.

    1. With ``reg_alpha``, threshold G_L, G_R and G.
    2. a/S, b/S, G/S and G/(H + lambda); S and H + lambda are normalised once a node.
    3. u²/(t(1 - t)), and with ``reg_alpha`` (G/S)².
    """
    nodes, _, count = left.shape
    size, of_node, every_node = nodes * count, np.repeat(np.arange(nodes), count), np.arange(nodes)
    smoothing = int(encode(penalty.reg_lambda, e.frac_bits))
    whole = e.add_public(total[:, 1], 2 * smoothing)
    a, b = left[:, 0].reshape(size), e.add_public(left[:, 1].reshape(size), smoothing)
    gradient = both = total[:, 0]
    if penalty.alpha is not None:
        lower = await thresholded(e, concatenate((a, gradient[of_node] - a, gradient)), penalty.alpha)
        a, both, gradient = lower[:size], lower[:size] + lower[size : 2 * size], lower[2 * size :]
    divisors = await _divisors(e, concatenate((whole, e.add_public(total[:, 1], smoothing))), penalty.width)
    which = (of_node, of_node, every_node if penalty.alpha is None else of_node, every_node + nodes)
    quotients = await _over(e, concatenate((a, b, both, gradient)), divisors, np.concatenate(which))
    a_over, t = quotients[:size], quotients[size : 2 * size]
    both_over, gradient_over = quotients[2 * size : -nodes], quotients[-nodes:]
    both_of_each = both_over[of_node] if penalty.alpha is None else both_over
    products = await product(e, concatenate((t, t)), concatenate((both_of_each, t)), FRACTION)
    u, spread = a_over - products[:size], t - products[size:]
    ratio = await divide_positive(e, u.times(1 << _FINER), spread, FRACTION - 1)
    score = await product(e, u, ratio, e.frac_bits + _FINER)
    if penalty.alpha is None:
        return _Ranked(score, whole, gradient, both_over - gradient_over)
    return _Ranked(score + await product(e, both_of_each, both_of_each, FRACTION), whole, gradient, -gradient_over)


async def _gain(e: Engine, parts: Share, sums: Share, shift: int) -> Share:
    """The sum of two products, whose factors ``parts`` and ``sums`` are each joined end to end."""
    reduced = await e.truncate(sums, shift) if shift else sums
    found = await product(e, parts, reduced, FRACTION)
    return found[: found.size // 2] + found[found.size // 2 :]


async def thresholded(e: Engine, x: Share, alpha: Share) -> Share:
    """T(x): a vector moved towards 0 by alpha, 0 where it is nearer. Rounds: those of a ``less`` and a ``mux``."""
    edge = alpha.broadcast(x.shape)
    beyond = concatenate((padded(x - edge), padded(-x - edge)))
    kept = await e.mux(await e.msb(beyond), e.public(np.zeros(beyond.shape, dtype=np.uint64)), beyond)
    return kept[: x.size] - kept[beyond.size // 2 :][: x.size]


@dataclass(frozen=True, slots=True)
class _Divisors:
    """Numbers m·2^q to divide by: ``power`` is 2^(44 - q), ``inverse`` is 1/m at 30 bits."""

    power: Share
    inverse: Share


async def _divisors(e: Engine, numbers: Share, width: int) -> _Divisors:
    normal = await normalise(e, numbers, width)
    power = normal.of_place([1 << (MAGNITUDE - q) for q in normal.range_of_places])
    return _Divisors(power, await inverse_mantissa(e, normal))


async def _over(e: Engine, parts: Share, divisors: _Divisors, which: NDArray[np.int64]) -> Share:
    """Each part over the divisor that ``which`` names, with ``FRACTION`` bits; right for quotients below 128."""
    scaled = await product(e, parts, divisors.power[which], MAGNITUDE - FRACTION)
    return await product(e, scaled, divisors.inverse[which], MANTISSA)


async def ratios(e: Engine, gradients: Share, hessians: Share, penalty: Penalty) -> Share:
    """G/(H + lambda), elementwise; 0 if H + lambda is 0."""
    divisors = e.add_public(hessians, int(encode(penalty.reg_lambda, e.frac_bits)))
    return await divide_positive(e, gradients, divisors, penalty.width)


async def _heavy_enough(e: Engine, left: Share, total: Share, penalty: Penalty) -> BitShare:
    """Whether both sides of every candidate have ``min_child_weight``, (nodes·candidates,). A sum that equals it has."""
    nodes, _, count = left.shape
    size = nodes * count
    least = max(0, int(encode(penalty.min_child_weight, e.frac_bits)) - (1 << (e.frac_bits - _SLACK)))
    hessians = left[:, 1].reshape(size)
    others = total[:, 1].reshape(nodes, 1).broadcast((nodes, count)).reshape(size) - hessians
    light = await e.msb(concatenate([padded(e.add_public(side, -least)) for side in (hessians, others)]))
    return not_bits(e, await or_bits(e, *_in_two(light, size)))


def _in_two(bits: BitShare, length: int) -> tuple[BitShare, BitShare]:
    """The bits of two padded vectors that were joined, each of ``length`` bits."""
    words = bits.parts[0].shape[1] // 2
    low, high = (tuple(part[:, half] for part in bits.parts) for half in (slice(0, words), slice(words, None)))
    return BitShare(low, length), BitShare(high, length)
