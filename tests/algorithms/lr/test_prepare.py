"""Standardisation, split, batches and step size: what every party and the plaintext reference must do alike."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.algorithms.errors import DataError
from hansa.algorithms.lr.standardise import CLIP, Standardisation
from hansa.algorithms.lr.step_size import MOST_WEIGHT, PRODUCT_BITS, refuse_diverged, step_size
from hansa.algorithms.split import batches, permutation, split_order

SEED = bytes(range(16))
GOLDEN = [0, 3, 6, 2, 5, 1, 7, 4]


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


@given(
    rate=st.floats(1e-3, 10),
    l2=st.floats(0, 0.05),
    batch=st.integers(1, 100_000),
    train=st.integers(1, 10_000_000),
)
@settings(max_examples=200, deadline=None)
def test_no_step_overflows(rate, l2, batch, train):
    """The largest gradient a batch can have, and weights up to 2^9, stay below 2^62 after scaling."""
    batch = min(batch, train)
    try:
        step = step_size(rate, l2, batch, train)
    except DataError:
        assert min(batch * CLIP, math.sqrt(batch * train)) * 1.01 > 2.0**23
        return
    gradient = min(batch * CLIP, math.sqrt(batch * train)) * 1.001 * 2.0**PRODUCT_BITS
    assert step.factor * gradient + step.decay * 2.0 ** (PRODUCT_BITS + 9) < 2.0**62
    assert 0 < PRODUCT_BITS - 18 + step.shift < 62
    assert step.rate == pytest.approx(rate / batch, abs=0.5 / 2.0**step.shift)
    assert step.decay_rate == pytest.approx(rate * l2, abs=0.5 / 2.0**step.shift)


def test_the_usual_step_is_close_to_what_was_asked():
    step = step_size(0.5, 0.0001, 1024, 20_000)
    assert step.rate == pytest.approx(0.5 / 1024, rel=2**-8)
    assert step.decay_rate == pytest.approx(0.5e-4, rel=0.1)


@pytest.mark.parametrize(
    ("rate", "l2", "batch", "message"),
    [(100.0, 0.01, 64, "turns weights over"), (0.5, 0.0, 10**6, "does not fit fixed point")],
)
def test_steps_that_cannot_be(rate, l2, batch, message):
    with pytest.raises(DataError, match=message):
        step_size(rate, l2, batch, 10**9)


def test_weights_for_which_the_arithmetic_does_not_hold_are_refused():
    refuse_diverged({"age": MOST_WEIGHT - 1, "income": 1 - MOST_WEIGHT})
    with pytest.raises(DataError, match="the training diverged") as first:
        refuse_diverged({"age": 0.5, "income": -MOST_WEIGHT})
    with pytest.raises(DataError) as second:
        refuse_diverged({"debt": 777.0})
    assert first.value.as_dict() == second.value.as_dict()  # all parties are told: nothing of weights that one may see
