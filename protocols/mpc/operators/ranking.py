"""AUC and KS of shared scores against shared labels: neither is opened, nor how many of each label there are.

Scores are sorted with their labels. With 1-based places i, P_i the labels 1 up to i, P all of them and N = n - P:
places where a group of equal scores ends are the points (i - P_i, P_i) of the ROC curve, all else is a sum over them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.operators.arithmetic import integer_product
from hansa.protocols.mpc.operators.division import divide
from hansa.protocols.mpc.operators.extremes import maximum
from hansa.protocols.mpc.operators.sorting import sort
from hansa.protocols.mpc.shares import Share, concatenate

MAX_ROWS: Final = 1 << 22
"""Rows n of which 2 P N, n²/2 at most, can be divided by (``divide`` takes numbers below 2^44)."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Labels by score, the least first: whether a group of equal scores ends (n,), P_i where it does else 0 (n,), P (1,)."""

    ends: Share = field(repr=False)
    points: Share = field(repr=False)
    positives: Share = field(repr=False)


async def rank(e: Engine, scores: Share, labels: Share) -> Ranked:
    """What ``auc`` and ``ks`` have in common; ``labels`` are 0 and 1 as integers, scores differ by less than 2^63.

    Rounds and bytes: ``sort`` of the scores with a payload, ``less`` and ``b2a`` of n, and an integer product.
    """
    n = scores.size
    if scores.shape != labels.shape or len(scores.shape) != 1 or not 0 < n <= MAX_ROWS:
        raise ProtocolError(
            f"scores of shape {scores.shape} with labels of shape {labels.shape}",
            remedy=f"give two vectors of one size, 1 to {MAX_ROWS}",
        )
    ordered, found = await sort(e, scores, labels)
    last = e.public(np.ones(1, dtype=np.uint64))
    ends = last
    if n > 1:
        differs = await e.less(ordered[:-1], ordered[1:])
        ends = concatenate((await e.b2a(differs), last))
    up_to = found.cumsum()
    return Ranked(ends, await integer_product(e, ends, up_to), up_to[n - 1 :])


async def auc(e: Engine, ranked: Ranked) -> Share:
    """The area under the ROC curve, (1,), equal scores counting half; 0 where there is but one label.

    2PN·AUC = PN - sum of (i P_prev - i_prev P_i) over the ends i, prev being the end before (the trapezoids' cross
    products). Error: 2·2^-f. Rounds: ceil(log2 n) integer products for prev, 2 more, and ``divide``. Bytes: 3 integer
    products an element for each of the log2 n levels.
    """
    n = ranked.ends.size
    places = np.arange(1, n + 1, dtype=np.uint64)
    at_ends = ranked.ends.times(places)
    before, points_before = await _end_before(e, ranked.ends, at_ends, ranked.points)
    cross = await e.matmul(
        concatenate((at_ends, -before)).reshape(1, -1), concatenate((points_before, ranked.points)).reshape(-1, 1)
    )
    pairs = await _pairs(e, ranked)
    return await divide(e, pairs - (await e.reshare(cross)).reshape(1), pairs.times(2))


async def ks(e: Engine, ranked: Ranked) -> Share:
    """The greatest distance of the two labels' cumulative distributions, (1,); 0 where there is but one label.

    PN·KS is the maximum over the ends of |n P_i - i P|. Error: 2·2^-f. Rounds: 1, ``maximum`` of 2n, 1 and ``divide``.
    """
    n = ranked.ends.size
    at_ends = ranked.ends.times(np.arange(1, n + 1, dtype=np.uint64))
    share = await integer_product(e, at_ends, ranked.positives.broadcast((n,)))
    distance = ranked.points.times(n) - share
    greatest = await maximum(e, concatenate((distance, -distance)))
    return await divide(e, greatest.reshape(1), await _pairs(e, ranked))


async def _pairs(e: Engine, ranked: Ranked) -> Share:
    """P·N."""
    negatives = e.add_public(-ranked.positives, ranked.ends.size)
    return await integer_product(e, ranked.positives, negatives)


async def _end_before(e: Engine, ends: Share, *values: Share) -> list[Share]:
    """For each place the values at the last end before it (they are 0 elsewhere): doubling distances, log2 n rounds."""
    n, count = ends.size, len(values)
    none = e.public(np.zeros(1, dtype=np.uint64))
    open_ = e.add_public(-ends, 1)
    carried = [concatenate((none, value[:-1])) for value in values]
    gaps = concatenate((none, open_[:-1]))
    step = 1
    while step < n:
        rest = n - step
        left = concatenate([gaps[step:]] * (count + 1))
        right = concatenate([*(value[:rest] for value in carried), gaps[:rest]])
        found = await integer_product(e, left, right)
        added = [found[place * rest : (place + 1) * rest] for place in range(count)]
        carried = [concatenate((old[:step], old[step:] + new)) for old, new in zip(carried, added, strict=True)]
        gaps = concatenate((gaps[:step], found[count * rest :]))
        step *= 2
    return carried
