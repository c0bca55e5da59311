"""Whether bytes look uniform, and whether two lots of bytes look alike: Pearson's statistic over byte values.

255 degrees of freedom: of uniform bytes it has mean 255 and deviation 22.6.
"""

from __future__ import annotations

import numpy as np

UNIFORM = 500.0
"""Eleven deviations away."""


def chi_square(data: bytes) -> float:
    """Pearson's statistic of byte values against the uniform distribution."""
    counts = np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256)
    expected = len(data) / 256
    return float(((counts - expected) ** 2 / expected).sum())


def chi_square_of_two(one: bytes, other: bytes) -> float:
    """Pearson's statistic of two samples of byte values having one distribution."""
    a, b = (np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256) for data in (one, other))
    total, seen = len(one) + len(other), np.maximum(a + b, 1)
    return float(
        sum(((c - seen * len(d) / total) ** 2 / (seen * len(d) / total)).sum() for c, d in ((a, one), (b, other)))
    )
