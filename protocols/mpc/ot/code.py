"""The linear maps behind 1-of-16 transfers: a code of 16 words, and 240 bits to 128 without losing their secrecy.

A choice y becomes the word of the simplex code [15, 4, 8]: position p = 1..15 is the parity of y & p. Each position stands
for 16 columns, so two different words differ in 8 * 16 = 128 columns, each of which the sender's secret D enters by a bit
(Kolesnikov and Kumaresan, CRYPTO 2013, with this code in place of Walsh-Hadamard's 256 columns).

The sixteen columns of a position are four symbols of F_16. For each of the four, the code [15, 8] of Reed and Solomon maps
the 15 symbols to 8: 128 bits in all. Any 8 of its columns are independent, so on the 8 positions where a given difference
of words is 1 the map is a bijection of 128 bits: D masked by that word goes to a uniform 128-bit value, and one call of the
hash a pad is enough. tests/mpc/ot/test_code.py checks all 15 words.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.mpc.kernels import ot as kernels
from hansa.protocols.mpc.kernels import ot_code

Ring = NDArray[np.uint64]
Indices = NDArray[np.int64]
POSITIONS = 15
COLUMNS = 16 * POSITIONS
_SYMBOLS = 8


@lru_cache(maxsize=1)
def combination() -> tuple[Indices, Indices]:
    """The map 240 -> 128 as lists of quadruples to XOR, for ``kernels.ot_code.combine``.

    Quadruple 4p + a holds bit a of the four symbols of position p + 1; so does 4r + b of what comes out.
    """
    lists = [
        [4 * p + a for p in range(POSITIONS) for a in range(4) if (_times(_coefficient(r, p), 1 << a) >> b) & 1]
        for r in range(_SYMBOLS)
        for b in range(4)
    ]
    starts = np.cumsum([0, *(len(terms) for terms in lists)]).astype(np.int64)
    return starts, np.array([term for terms in lists for term in terms], dtype=np.int64)


def offsets(delta: NDArray[np.bool_]) -> Ring:
    """(16, 2) words: row y is sigma of the image of D masked by the word of y, to be XORed into hash inputs."""
    planes = np.zeros((1, 8 * COLUMNS + 8), dtype=np.uint64)
    for position in range(POSITIONS):
        word = sum(((y & (position + 1)).bit_count() & 1) << y for y in range(16))  # bit y: the word of y here
        for column in range(16 * position, 16 * position + 16):
            planes[0, 8 * column] = word if delta[column] else 0
    combined = np.empty((1, 8 * 128 + 8), dtype=np.uint64)
    ot_code.combine(planes, *combination(), combined)
    return _first_lane(combined)[:16]


def offset(delta: NDArray[np.bool_]) -> Ring:
    """(2,) words: sigma of D itself, for 128 columns."""
    planes = np.zeros((1, 8 * 128 + 8), dtype=np.uint64)
    planes[0, : 8 * 128 : 8] = delta
    first: Ring = _first_lane(planes)[0]
    return first.copy()


def _first_lane(planes: Ring) -> Ring:
    rows = np.empty((512, 2), dtype=np.uint64)
    kernels.hash_inputs(planes, 0, rows)
    rows[:, 0] ^= np.arange(512, dtype=np.uint64)  # without the tweak
    return rows[::8]


def _times(x: int, y: int) -> int:
    """The product in F_16 = F_2[z] / (z^4 + z + 1)."""
    product = 0
    for bit in range(4):
        product ^= (x << bit) if (y >> bit) & 1 else 0
    for bit in (6, 5, 4):
        product ^= (0b10011 << (bit - 4)) if (product >> bit) & 1 else 0
    return product


@lru_cache(maxsize=_SYMBOLS * POSITIONS)
def _coefficient(row: int, position: int) -> int:
    """Entry of the systematic generator matrix: the Lagrange basis on the points 1..8, evaluated at 1..15."""
    value = 1
    for other in range(1, _SYMBOLS + 1):
        if other != row + 1:
            value = _times(value, _times((position + 1) ^ other, _inverse((row + 1) ^ other)))
    return value


def _inverse(x: int) -> int:
    return next(y for y in range(1, 16) if _times(x, y) == 1)
