"""The step size in fixed point: it overflows nothing, and is near what was asked."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.algorithms.errors import DataError
from hansa.algorithms.lr.standardise import CLIP
from hansa.algorithms.lr.step_size import MOST_WEIGHT, PRODUCT_BITS, refuse_diverged, step_size


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
