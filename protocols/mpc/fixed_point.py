"""Fixed-point numbers in the ring Z_2^64: two's complement, ``frac_bits`` fraction bits.

A value x is encoded as round(x·2^frac_bits) mod 2^64; |x| must stay below 2^(62 - frac_bits), so that one product of
two encodings, and truncation, have room.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.errors import ProtocolError

MAX_BITS = 62


def encode(x: NDArray[np.float64] | float, frac_bits: int) -> Ring:
    """Encode; raises ``ProtocolError`` for NaN, infinity and values out of range (error of an encoding: 1/2 ulp)."""
    scaled = np.rint(np.asarray(x, dtype=np.float64) * 2.0**frac_bits)
    if not np.all(np.abs(scaled) < 2.0**MAX_BITS):  # false for NaN too
        raise ProtocolError(
            f"a value is not a number or not below 2^{MAX_BITS - frac_bits}, the range of fixed point",
            remedy="check the data for missing and extreme values, or scale it",
        )
    return scaled.astype(np.int64).view(np.uint64)


def decode(x: Ring, frac_bits: int) -> NDArray[np.float64]:
    """Decode to floating point."""
    return np.asarray(x).view(np.int64).astype(np.float64) / 2.0**frac_bits
