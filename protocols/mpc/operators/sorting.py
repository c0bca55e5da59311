"""Sorting by a fixed network of comparisons: which elements are compared tells nothing of their values.

Batcher's merge exchange (Knuth, TAOCP 3, 5.2.2, algorithm M) on any number of elements; a level is one batch of
comparisons and choices. It needs nothing of an engine but ``less`` and ``mux``, so that all have it; of a network
whose first k results alone are wanted, the comparisons that do not matter to them are left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.operators.bits import b2a_planes, padded, repeated
from hansa.protocols.mpc.operators.randomness import random_bits
from hansa.protocols.mpc.shares import Share, concatenate

Places = NDArray[np.int64]
_KEY_BITS = 61
"""Bits of random keys of a shuffle: two of n are equal with probability n²/2^62."""


def network(n: int, first: int | None = None) -> list[tuple[Places, Places]]:
    """Levels of comparators (low places, high places) that sort n elements, or bring the least ``first`` to the front.

    At most t(t + 1)/2 levels, t = ceil(log2 n), of about n/2 comparators; t levels and n - 1 in all for ``first`` 1.
    """
    levels: list[tuple[Places, Places]] = []
    steps = max(n - 1, 0).bit_length()
    for p in (1 << k for k in reversed(range(steps))):
        q, r, d = 1 << (steps - 1), 0, p
        while True:
            low = np.arange(n - d, dtype=np.int64)
            low = low[(low & p) == r]
            levels.append((low, low + d))
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
    needed = np.zeros(n, dtype=bool)
    needed[: n if first is None else first] = True
    kept = []
    for low, high in reversed(levels):
        matters = needed[low] | needed[high]
        needed[low[matters]] = needed[high[matters]] = True
        if matters.any():
            kept.append((low[matters], high[matters]))
    return kept[::-1]


async def sort(
    e: Engine, keys: Share, *payloads: Share, largest_first: bool = False, first: int | None = None
) -> tuple[Share, ...]:
    """Keys in order along their first axis, and payloads of the same shape moved with them; equal keys in any order.

    Keys are compared as signed numbers and must differ by less than 2^63. ``first``: only so many are wanted, and
    returned. Rounds: those of ``less`` and ``mux`` for each level of ``network``. Bytes: a ``less`` for each
    comparator, a ``mux`` for it and each array. Memory: as the arrays, and a level's.
    """
    n = keys.shape[0] if keys.shape else 0
    if not keys.shape or any(payload.shape != keys.shape for payload in payloads):
        raise ProtocolError("what is sorted has not the shape of its keys", remedy="give arrays of one shape")
    if first is not None and not 0 <= first <= n:
        raise ProtocolError(f"the first {first} of {n} elements", remedy="ask for as many as there are, or fewer")
    arrays = [_writable(array) for array in (keys, *payloads)]
    for low, high in network(n, first):
        lows, highs = [array[low] for array in arrays], [array[high] for array in arrays]
        before, after = (lows[0], highs[0]) if largest_first else (highs[0], lows[0])
        swapped = await e.less(padded(before.reshape(-1)), padded(after.reshape(-1)))
        everything = [padded(x.reshape(-1)) for x in highs], [padded(x.reshape(-1)) for x in lows]
        chosen = await e.mux(repeated(swapped, len(arrays)), concatenate(everything[0]), concatenate(everything[1]))
        size, each = lows[0].size, swapped.length
        for place, (array, x, y) in enumerate(zip(arrays, lows, highs, strict=True)):
            new = chosen[place * each : place * each + size].reshape(*x.shape)
            _put(array, low, new)
            _put(array, high, x + y - new)
    return tuple(array if first is None else array[:first] for array in arrays)


async def permute(e: Engine, places: Share, *arrays: Share) -> tuple[Share, ...]:
    """Element i of each vector moved to the secret place ``places[i]``, a permutation of 0 to n - 1; costs as ``sort``."""
    return (await sort(e, places, *arrays))[1:]


async def shuffle(e: Engine, *arrays: Share) -> tuple[Share, ...]:
    """Vectors of one size in an order that is random, the same for all, and known to nobody: sorted by random keys.

    Rounds and bytes: ``b2a`` of 61 planes, and ``sort``. The order is uniform up to n²/2^62.
    """
    if not arrays or any(len(array.shape) != 1 for array in arrays):
        raise ProtocolError("only vectors are shuffled", remedy="give vectors of one size")
    planes = await b2a_planes(e, random_bits(e, arrays[0].size, _KEY_BITS))
    weights = np.uint64(1) << np.arange(_KEY_BITS, dtype=np.uint64)
    return await permute(e, planes.times(weights[:, None]).sum(axis=0), *arrays)


def _writable(x: Share) -> Share:
    return Share(tuple(part.copy() for part in x.parts))


def _put(x: Share, places: Places, new: Share) -> None:
    for part, values in zip(x.parts, new.parts, strict=True):
        part[places] = values
