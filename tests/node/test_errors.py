"""Hints in errors of this node."""

import pytest

from hansa.node.errors import nearest


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [("agee", ["age"], " (did you mean 'age'?)"), ("x", ["age", "b"], " (there is: age, b)"), ("x", [], "")],
)
def test_nearest(name, known, text):
    assert nearest(name, known) == text
