"""Split and batches: what every party and the plaintext reference must do alike."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.algorithms.split import batches, permutation, split_order

SEED = bytes(range(16))
GOLDEN = [0, 3, 6, 2, 5, 1, 7, 4]


@given(rows=st.integers(0, 400), fraction=st.floats(0, 0.9), seed=st.binary(min_size=16, max_size=16))
@settings(max_examples=50, deadline=None)
def test_a_split_is_a_permutation_that_only_the_seed_decides(rows, fraction, seed):
    order, train = split_order(seed, rows, fraction)
    assert sorted(order.tolist()) == list(range(rows))
    assert train == rows - math.ceil(fraction * rows)
    np.testing.assert_array_equal(order, split_order(seed, rows, fraction)[0])


@given(train=st.integers(1, 400), size=st.integers(1, 100), epoch=st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_batches_are_fixed_and_cover_the_training_rows(train, size, epoch):
    found = list(batches(SEED, epoch, train, size))
    assert sorted(row for rows in found for row in range(rows.start, rows.stop)) == list(range(train))
    assert set(map(str, found)) == set(map(str, batches(SEED, epoch + 1, train, size)))


def test_epochs_permute_the_batches():
    starts = [[rows.start for rows in batches(SEED, epoch, 100, 5)] for epoch in range(3)]
    assert starts[0] != starts[1] != starts[2]


def test_the_permutation_is_written_down():
    """A golden value: another version of numpy or hansa that splits otherwise would train another model."""
    assert permutation(SEED, "split", 8).tolist() == GOLDEN
    assert permutation(SEED, "epoch-0", 8).tolist() != GOLDEN
    assert permutation(bytes(16), "split", 8).tolist() != GOLDEN
