"""The array types by name: dtypes only, shapes stand in each function's docstring."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.uint64]
"""Elements of the ring Z_2^64, or words of 64 bits."""

Words = NDArray[np.uint32]
"""Words of 32 bits: residues modulo a prime, or indices."""

Bytes = NDArray[np.uint8]
"""Bytes, or bits one a byte."""

Vector = NDArray[np.float64]
"""Real numbers in the clear, (n,)."""

Matrix = NDArray[np.float64]
"""Real numbers in the clear, (n, d)."""
