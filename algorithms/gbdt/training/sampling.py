"""Which rows and columns a tree is grown on: from the contract's public seed alone, so that every party chooses alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.split import permutation
from hansa.protocols.mpc.prf import Keystream


def rows(seed: bytes, number: int, count: int, fraction: float) -> NDArray[np.uint64] | None:
    """1 for each row that round ``number`` trains on, else 0; each by itself with probability ``fraction``. None: all rows."""
    if fraction >= 1:
        return None
    words = Keystream(seed, f"hansa-public-rows-{number}".encode()).words(count)
    return (words < np.uint64(int(fraction * 2.0**64))).astype(np.uint64)


def columns(seed: bytes, number: int, counts: Sequence[int], fraction: float) -> list[NDArray[np.int64]] | None:
    """Of each party's columns those that round ``number`` may split on: ``fraction`` of all, at least one. None: all columns."""
    if fraction >= 1:
        return None
    total = sum(counts)
    chosen = np.sort(permutation(seed, f"columns-{number}", total)[: max(1, int(fraction * total))])
    ends = np.cumsum(counts)
    starts = ends - np.array(counts)
    return [chosen[(chosen >= start) & (chosen < end)] - start for start, end in zip(starts, ends, strict=True)]
