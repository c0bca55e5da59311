"""The network sorts whatever it is given: by the 0-1 principle it is enough to try all inputs of zeros and ones."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hansa.protocols.mpc.operators.sorting import network


def run_network(n: int, columns: np.ndarray, first: int | None = None) -> np.ndarray:
    x = columns.copy()
    for low, high in network(n, first):
        assert len({*low, *high}) == 2 * low.size
        x[low], x[high] = np.minimum(x[low], x[high]), np.maximum(x[low], x[high])
    return x


@pytest.mark.parametrize("n", range(11))
def test_all_inputs_of_zeros_and_ones(n: int) -> None:
    columns = np.array(list(product((0, 1), repeat=n)), dtype=np.int64).reshape(2**n, n).T
    np.testing.assert_array_equal(run_network(n, columns), np.sort(columns, axis=0))
    for first in range(n + 1):
        np.testing.assert_array_equal(run_network(n, columns, first)[:first], np.sort(columns, axis=0)[:first])


@pytest.mark.parametrize("n", [1, 2, 3, 64, 65, 1000])
def test_sizes(n: int) -> None:
    levels = (n - 1).bit_length()
    assert len(network(n)) == levels * (levels + 1) // 2
    assert len(network(n, 1)) == levels
    assert sum(low.size for low, _ in network(n, 1)) == n - 1
    values = np.random.default_rng(n).permutation(n)[:, None]
    np.testing.assert_array_equal(run_network(n, values)[:, 0], np.arange(n))
