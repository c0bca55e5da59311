"""The code of 16 words and the map from 240 bits to 128: distance, and that no difference loses secrecy."""

from __future__ import annotations

import os

import numpy as np
import pytest

from hansa.protocols.mpc.kernels import ot_code
from hansa.protocols.mpc.ot import code


def words() -> np.ndarray:
    """The sixteen words, (16, 15) bits."""
    choices = np.arange(16, dtype=np.uint8)
    planes = np.empty((16, 1), dtype=np.uint64)
    ot_code.codeword_planes(choices, planes)
    return ((planes.T >> choices[:, None].astype(np.uint64)) & np.uint64(1)).astype(np.uint8)[:, 1:]


def test_two_words_differ_in_128_columns() -> None:
    code_words = words()
    for a in range(16):
        for b in range(a):
            distance = int((code_words[a] ^ code_words[b]).sum())
            assert distance == 8
            assert distance * (code.COLUMNS_EACH) == 128


def image_rows() -> np.ndarray:
    """(240, 16, 128) bits: what each single bit of D contributes to the offset of each word."""
    rows = []
    for column in range(code.COLUMNS):
        delta = np.zeros(code.COLUMNS, dtype=np.bool_)
        delta[column] = True
        rows.append(np.unpackbits(np.ascontiguousarray(code.offsets(delta)).view(np.uint8), axis=-1))
    return np.stack(rows)


@pytest.fixture(scope="module")
def contributions() -> np.ndarray:
    return image_rows()


def rank(matrix: np.ndarray) -> int:
    rows = [int("".join(map(str, row)), 2) for row in matrix.tolist()]
    found = 0
    while rows:
        pivot = max(rows)
        if not pivot:
            break
        found += 1
        high = pivot.bit_length() - 1
        rows = [row ^ pivot if row >> high & 1 else row for row in rows if row is not pivot]
    return found


@pytest.mark.parametrize("word", range(1, 16))
def test_d_masked_by_a_word_keeps_128_bits_of_secrecy(word: int, contributions: np.ndarray) -> None:
    """On the 128 columns where the word is 1 the map is invertible; elsewhere it is not moved at all."""
    inside = np.repeat(words()[word].astype(bool), code.COLUMNS_EACH)
    assert int(inside.sum()) == 128
    assert not contributions[~inside, word].any()
    assert rank(contributions[inside, word]) == 128


def test_the_word_of_zero_has_no_offset(contributions: np.ndarray) -> None:
    assert not contributions[:, 0].any()


def test_offsets_are_linear(contributions: np.ndarray) -> None:
    """What the receiver knows is the offset of the difference of two words: y ^ z."""
    delta = np.frombuffer(os.urandom(code.COLUMNS), dtype=np.uint8) & 1
    offsets = code.offsets(delta.astype(np.bool_))
    for y in range(16):
        for z in range(16):
            assert np.array_equal(offsets[y] ^ offsets[z], offsets[y ^ z])
    bits = np.unpackbits(np.ascontiguousarray(offsets).view(np.uint8), axis=-1)
    assert np.array_equal(bits, (contributions * delta[:, None, None]).sum(axis=0) & 1)


def test_leaving_columns_away_would_lose_secrecy() -> None:
    """Why the map is needed: the first 128 columns alone leave a word with 16 unknown bits."""
    unknown = [int(np.repeat(words()[word], 16)[:128].sum()) for word in range(1, 16)]
    assert min(unknown) == 16
