"""Standardisation, by the training rows alone."""

import math

import numpy as np
import pytest

from hansa.algorithms.lr.standardise import CLIP, Standardisation


def test_standardised_columns_have_mean_zero_and_deviation_one():
    x = np.random.default_rng(1).normal(50, 7, (500, 3)) * [1, 1e6, 1e-6]
    z = Standardisation.fit(x).apply(x)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(z.std(axis=0), 1, atol=1e-9)


def test_constant_columns_become_zero_and_outliers_are_cut_off():
    x = np.column_stack([np.full(10_000, 3.3), np.append(np.zeros(9999), 1e9)])
    z = Standardisation.fit(x).apply(x)
    assert np.abs(z[:, 0]).max() < 2**-30  # nothing in fixed point
    assert z[-1, 1] == CLIP
    assert Standardisation.fit(x).apply(np.array([[3.3, -1e300]]))[0, 1] == -CLIP
    assert Standardisation.fit(x[:, :0]).apply(x[:, :0]).shape == (10_000, 0)


def test_test_rows_do_not_enter_the_means():
    x = np.arange(10.0)[:, None]
    fitted = Standardisation.fit(x[:5])
    assert fitted.mean == 2.0
    assert fitted.apply(x)[9] == pytest.approx((9 - 2) / math.sqrt(2))
