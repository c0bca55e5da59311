"""The linear maps behind 1-of-16 OTs: a code of 16 words, and 240 bits to 128 without losing their secrecy.

A choice y becomes the word of the simplex code [15, 4, 8]: position p = 1..15 is the parity of y & p. Each position stands
for 16 columns, so two different words differ in 8 * 16 = 128 columns, each of which the sender's secret D enters by a bit
(Kolesnikov and Kumaresan, CRYPTO 2013, with this code in place of Walsh-Hadamard's 256 columns).

To hash 128 bits a row and not 240, the 15 positions are mapped to 8 by ``MAP``, the check matrix of the cyclic code of
length 15 with generator (x^4 + x + 1)(x^4 + x^3 + 1), position x^i at the point z^i of F_16. On the 8 positions where any
word other than 0 is 1, its columns are independent (a cyclic shift takes one such set to the next;
tests/protocols/mpc/ot/test_code.py checks all 15). So there the map is a bijection of 128 bits: D masked by a word goes to a
uniform 128-bit value.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.kernels import ot as kernels
from hansa.protocols.mpc.kernels import ot_code

POSITIONS: Final = 15
COLUMNS_EACH: Final = 16
COLUMNS: Final = COLUMNS_EACH * POSITIONS
MAP: Final = np.array([1, 2, 16, 4, 187, 32, 33, 8, 221, 205, 128, 64, 179, 66, 132], dtype=np.uint8)
"""Column p - 1: which of the 8 groups that come out have position p in their sum."""


def offsets(delta: NDArray[np.bool_]) -> Ring:
    """(16, 2) words: row y is sigma of the image of D masked by the word of y, to be XORed into hash inputs."""
    planes = np.zeros((1, 8 * COLUMNS + 8), dtype=np.uint64)
    for position in range(POSITIONS):
        word = sum(((y & (position + 1)).bit_count() & 1) << y for y in range(16))  # bit y: the word of y here
        for column in range(COLUMNS_EACH * position, COLUMNS_EACH * (position + 1)):
            planes[0, 8 * column] = word if delta[column] else 0
    combined = np.empty((1, 8 * 128 + 8), dtype=np.uint64)
    ot_code.combine(planes, MAP, combined)
    return _first_lane(combined)[:16]


def offset(delta: NDArray[np.bool_]) -> Ring:
    """(2,) words: sigma of D itself, for 128 columns."""
    planes = np.zeros((1, 8 * 128 + 8), dtype=np.uint64)
    planes[0, : 8 * 128 : 8] = delta
    first: Ring = _first_lane(planes)[0]
    return first


def _first_lane(planes: Ring) -> Ring:
    rows = np.empty((512, 2), dtype=np.uint64)
    kernels.hash_inputs(planes, 0, rows)
    rows[:, 0] ^= np.arange(512, dtype=np.uint64)  # without the tweak
    return rows[::8].copy()
