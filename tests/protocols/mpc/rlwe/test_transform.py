"""Transforms against multiplication by the book."""

from __future__ import annotations

import secrets

import numpy as np
import pytest

from hansa.protocols.mpc.rlwe.params import linear_params
from hansa.protocols.mpc.rlwe.transform import Transform, transform

PRIMES = linear_params(8, 8).primes[:3]


def residues(degree: int) -> np.ndarray:
    words = np.frombuffer(secrets.token_bytes(8 * 3 * degree), dtype=np.uint64).reshape(3, degree)
    return (words % np.array(PRIMES, dtype=np.uint64)[:, None]).astype(np.uint32)


def negacyclic(x: np.ndarray, y: np.ndarray, p: int) -> np.ndarray:
    n = x.size
    full = np.zeros(2 * n, dtype=object)
    for i in range(n):
        full[i : i + n] += int(x[i]) * y.astype(object)
    return (full[:n] - full[n:]) % p


@pytest.mark.parametrize("degree", [32, 64, 256])
def test_product_of_values_is_product_of_polynomials(degree: int) -> None:
    t = transform(degree, PRIMES)
    x, y = residues(degree), residues(degree)
    x[:, 0] = [p - 1 for p in PRIMES]
    y[:, -1] = [p - 1 for p in PRIMES]
    values = t.forward(x.copy()).astype(np.uint64) * t.forward(y.copy()) % t.primes[:, None]
    got = t.inverse(values.astype(np.uint32))
    for k, p in enumerate(PRIMES):
        np.testing.assert_array_equal(got[k], negacyclic(x[k], y[k], p))


@pytest.mark.parametrize("degree", [32, 512, 8192, 16384])
@pytest.mark.parametrize("fill", ["random", "largest", "zero"])
def test_back_and_forth(degree: int, fill: str) -> None:
    t = transform(degree, PRIMES)
    largest = np.repeat(t.primes[:, None] - np.uint32(1), degree, axis=1)
    x = {"random": residues(degree), "largest": largest, "zero": np.zeros_like(largest)}[fill]
    values = t.forward(x.copy())
    assert (values < t.primes[:, None]).all()
    np.testing.assert_array_equal(t.inverse(values), x)


@pytest.mark.parametrize("size", [1, 2, 16])
def test_a_sparse_polynomial_has_few_values(size: int) -> None:
    degree = 256
    t = transform(degree, PRIMES)
    short = residues(size)[None]
    sparse = np.zeros((3, degree), dtype=np.uint32)
    sparse[:, :: degree // size] = short[0]
    expected = t.forward(sparse)
    runs = np.repeat(t.forward_short(short)[0], degree // 16 // size, axis=1)
    np.testing.assert_array_equal(np.tile(runs, (1, 16)), expected)


def test_primes_that_have_no_root_are_refused() -> None:
    with pytest.raises(AssertionError):
        Transform(64, (1009,))
