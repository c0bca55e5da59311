"""Which rows are trained on, which are held out, and in which batches: all from the contract's public seed.

The generator is AES in counter mode: every party, with any version of numpy, and the plaintext reference choose alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.mpc.prf import Keystream


def permutation(seed: bytes, label: str, size: int) -> NDArray[np.int64]:
    """A permutation of ``size`` that the 16-byte public seed decides."""
    words = Keystream(seed, b"hansa-public-" + label.encode()).words(size)
    return np.argsort(words, kind="stable")


def test_size(rows: int, fraction: float) -> int:
    """How many rows are held out."""
    return math.ceil(fraction * rows)


def split_order(seed: bytes, rows: int, fraction: float) -> tuple[NDArray[np.int64], int]:
    """All rows, those to train on first, in the fixed order of the job; and how many train."""
    order = permutation(seed, "split", rows)
    held_out = test_size(rows, fraction)
    return np.concatenate((order[held_out:], order[:held_out])), rows - held_out


def batches(seed: bytes, epoch: int, train: int, batch_size: int) -> Iterator[slice]:
    """The fixed batches of the training rows, in the order of this epoch."""
    starts = np.arange(0, train, batch_size)
    for at in permutation(seed, f"epoch-{epoch}", len(starts)):
        start = int(starts[at])
        yield slice(start, min(start + batch_size, train))
