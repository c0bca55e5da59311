"""What counts as an integer and as a number, in files and from peers."""

import math

import pytest

from hansa.config.bounds import is_real, is_whole


@pytest.mark.parametrize("value", [-1, 0, 3])
def test_integers_in_bounds(value):
    assert is_whole(value, -1, 3)
    assert is_real(value, -1, 3)


@pytest.mark.parametrize("value", [-2, 4, True, False, "1", None, [1], math.nan, math.inf])
def test_what_is_neither(value):
    assert not is_whole(value, -1, 3)
    assert not is_real(value, -1, 3)


def test_a_float_is_a_number_and_no_integer():
    assert is_real(1.0, -1, 3)
    assert not is_whole(1.0, -1, 3)
