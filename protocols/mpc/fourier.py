"""The sigmoid's Fourier series: constants and angles, the same for every engine that sums sines of masked numbers.

sigma(x) - 1/2 is approximated on [-9, 9] by odd sines of period 32. The period is a power of two, so ring elements
are reduced modulo it exactly, and sin(k(u + v)) = sin ku cos kv + cos ku sin kv splits the series over two summands.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.fixed_point import encode

HARMONICS: Final = (1, 3, 5, 7, 9, 11)
HARMONIC_COUNT: Final = len(HARMONICS)
COEFFICIENTS: Final = (
    0.5981267729766405,
    0.12643706903192414,
    0.03617535350553602,
    0.010396694521318103,
    0.0032395160209453605,
    0.0009715764317795936,
)
"""Minimax fit of sigma(x) - 1/2 by sum_k c_k sin(k pi x / 16) on [-9, 9].

tests/protocols/mpc/replicated/test_sigmoid.py fits it anew."""
PERIOD_BITS: Final = 5
DOMAIN: Final = 9.0
MAX_ERROR: Final = 5e-4
"""Of the whole: series 3.94e-4, saturation 1.32e-4 (beyond the domain), fixed point below 2e-5 at 18 bits."""
TRIG_BITS: Final = 20
"""Fraction bits of sines and cosines; the series has twice as many."""


def check_scale(scale_bits: int) -> None:
    """A sigmoid's argument has 16 to 44 fraction bits; anything else is a bug."""
    if not 16 <= scale_bits <= 44:
        raise ProtocolError(f"a sigmoid of scale 2^{scale_bits}", remedy="report this as a bug")


def edge(scale_bits: int) -> np.uint64:
    """The end of the series' domain at a scale."""
    return np.uint64(int(DOMAIN) << scale_bits)


def angles(x: Ring, scale_bits: int) -> NDArray[np.float64]:
    """(harmonics, n): k·2 pi·x / period, x reduced modulo the period exactly."""
    period = 1 << (PERIOD_BITS + scale_bits)
    turn = (x & np.uint64(period - 1)).astype(np.float64) * (2 * math.pi / period)
    return np.multiply.outer(np.array(HARMONICS, dtype=np.float64), turn)


def sines_and_cosines(x: Ring, scale_bits: int) -> Ring:
    """(2, harmonics, n) fixed point: sin and cos of the angles of x."""
    turns = angles(x, scale_bits)
    return encode(np.stack((np.sin(turns), np.cos(turns))), TRIG_BITS)


def series(trig: Ring, known: Ring, scale_bits: int, *, constant: bool) -> Ring:
    """One summand of 1/2 + sum c_k sin(a_k + b_k), at twice ``TRIG_BITS``.

    ``trig`` (2, harmonics, n) is a summand of sin and cos of the a_k, ``known`` (n,) the number whose angles are the
    b_k; ``constant``: whether this summand has the 1/2.
    """
    turns = angles(known, scale_bits)
    weights = np.array(COEFFICIENTS)[:, None]
    cosines, sines = encode(weights * np.cos(turns), TRIG_BITS), encode(weights * np.sin(turns), TRIG_BITS)
    total = np.asarray((trig[0] * cosines + trig[1] * sines).sum(axis=0, dtype=np.uint64))
    return total + np.uint64(1 << (2 * TRIG_BITS - 1)) if constant else total
