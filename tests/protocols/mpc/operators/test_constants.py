"""The constants are what their comments say: fitted anew, and within the errors that the analysis uses."""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial import chebyshev, polynomial

from hansa.protocols.mpc.operators import division, exponential, roots
from hansa.protocols.mpc.operators.normalise import ONE

U = np.linspace(-1, 1, 100_001)
M = (U + 3) / 4


def refitted(function: object, degree: int) -> np.ndarray:
    series = chebyshev.chebinterpolate(function, 60)[: degree + 1]
    return np.rint(chebyshev.cheb2poly(series) * ONE).astype(np.int64)


def value(coefficients: tuple[int, ...]) -> np.ndarray:
    return np.asarray(polynomial.polyval(U, np.array(coefficients) / ONE))


def test_logarithm() -> None:
    assert np.abs(value(exponential._LN) - np.log(M)).max() < 2.0**-28.9
    assert np.abs(refitted(lambda u: np.log((u + 3) / 4), 10) - np.array(exponential._LN)).max() <= 1
    assert round(math.log(2) * ONE) == exponential._LN_2


def test_power() -> None:
    assert np.abs(value(exponential._EXP2) - 2 ** ((U + 1) / 2) / 2).max() < 2.0**-28.7
    assert np.abs(refitted(lambda u: 2 ** ((u + 1) / 2) / 2, 6) - np.array(exponential._EXP2)).max() <= 1
    assert round(math.log2(math.e) * ONE) == exponential._LOG2_E


def test_roots_converge_from_their_start() -> None:
    h = value(roots._START)
    g = 2 * h * M
    assert np.abs(2 * h * np.sqrt(M) - 1).max() < 0.0033
    for _ in range(roots._STEPS):
        r = 0.5 - g * h
        g, h = g + g * r, h + h * r
    assert np.abs(g / np.sqrt(M) - 1).max() < 2.0**-31


def test_reciprocals_converge_from_their_start() -> None:
    start = division._START / ONE - 2 * M
    assert np.abs(start * M - 1).max() < 0.0858
    assert 0.0858 ** (2**division._STEPS) < 2.0**-28.3


def test_sums_of_coefficients_leave_room() -> None:
    for coefficients in (exponential._LN, exponential._EXP2, roots._START):
        assert sum(map(abs, coefficients)) < 4 * ONE
