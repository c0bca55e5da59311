"""Punctured trees: all leaves but the one on the path that the choices spell."""

from __future__ import annotations

import os

import numpy as np
import pytest

from hansa.protocols.mpc.ot.trees import grow, regrow, widths_of


@pytest.mark.parametrize("w", [1, 2, 3, 4, 5, 8])
def test_all_leaves_but_one(w: int) -> None:
    widths = widths_of(16, w)
    keys = np.frombuffer(os.urandom(16 * 2 * 16), dtype=np.uint8).reshape(16, 2, 16)
    choices = (np.frombuffer(os.urandom(16), dtype=np.uint8) & 1).astype(np.bool_)
    trees, message = grow(keys, widths)
    known, missing = regrow(keys[np.arange(16), choices.astype(int)], choices, message, widths)
    assert [len(tree) for tree in trees] == [2**width for width in widths]
    assert sum(len(set(tree)) for tree in trees) == sum(map(len, trees))
    at = 0
    for tree, mine, hole, width in zip(trees, known, missing, widths, strict=True):
        path = "".join(str(1 - int(choice)) for choice in choices[at : at + width])
        assert hole == int(path, 2)
        assert mine == [b"" if i == hole else leaf for i, leaf in enumerate(tree)]
        at += width


def test_another_key_gives_other_leaves() -> None:
    keys = np.zeros((4, 2, 16), dtype=np.uint8)
    choices = np.zeros(4, dtype=np.bool_)
    trees, message = grow(keys, [4])
    wrong = keys[:, 0] ^ np.uint8(1)
    known, _ = regrow(wrong, choices, message, [4])
    assert not set(known[0]) & set(trees[0])


def test_widths() -> None:
    assert widths_of(128, 4) == [4] * 32
    assert widths_of(128, 3) == [3] * 42 + [2]
    assert widths_of(16, 5) == [5, 5, 5, 1]
