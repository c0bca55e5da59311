"""Exact products with small secrets, against multiplication by the book."""

from __future__ import annotations

import numpy as np
import pytest

from hansa.protocols.mpc.rlwe.ring_product import RingFactor, errors_ring, ternary_ring
from hansa.protocols.mpc.rlwe.sampling import fresh_coins


@pytest.mark.parametrize("degree", [64, 2048])
@pytest.mark.parametrize("secret", ["random", "ones", "minus ones"])
def test_products_are_exact(degree: int, secret: str) -> None:
    coins = fresh_coins()
    fixed = {"ones": 1, "minus ones": 2**64 - 1}
    s = np.full(degree, fixed[secret], dtype=np.uint64) if secret in fixed else ternary_ring(coins, degree)
    for a in (coins.words(degree), np.full(degree, 2**64 - 1, dtype=np.uint64), np.zeros(degree, dtype=np.uint64)):
        expected = np.zeros(2 * degree, dtype=np.uint64)
        for i in range(degree):
            expected[i : i + degree] += s[i] * a
        np.testing.assert_array_equal(RingFactor(s).times(a), expected[:degree] - expected[degree:])


def test_samples_modulo_the_ring_are_small() -> None:
    coins = fresh_coins()
    assert set(np.unique(ternary_ring(coins, 4096).view(np.int64))) == {-1, 0, 1}
    e = errors_ring(coins, 65536).view(np.int64)
    assert np.abs(e).max() <= 21
    assert abs(e.mean()) < 0.1
    assert abs(e.var() - 10.5) < 0.5
