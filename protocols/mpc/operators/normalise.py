"""Secret numbers as mantissa and place: what reciprocals, roots and logarithms begin with.

x = m·2^q with 1/2 <= |m| <= 1. Mantissas have ``MANTISSA`` fraction bits; the place q is a one-hot vector, so that any
public function of it is a local sum. The leading bit is found by a prefix OR on the bits of x (Catrina, Saxena, FC'10,
section 5, who do it on prime fields).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.operators.arithmetic import product
from hansa.protocols.mpc.operators.bits import b2a_planes, prefix_or, with_ones_below
from hansa.protocols.mpc.shares import Share, concatenate, stack_planes

MANTISSA: Final = 30
"""Fraction bits of mantissas: a product of two, each at most 2, is below 2^62."""
MAGNITUDE: Final = 44
"""Numbers that are normalised are below 2^44 as integers (2^26 at 18 fraction bits)."""
ONE: Final = 1 << MANTISSA
_LIMB: Final = MANTISSA // 2
BIG: Final = MAGNITUDE + 1
"""Bits of the greater factor of a ``wide_product``."""


@dataclass(frozen=True, slots=True)
class Normal:
    """Mantissas (n,), one-hot places (places, n), of which the first stands for q = ``lowest``; signs +-1 (n,) or None."""

    mantissa: Share = field(repr=False)
    places: Share = field(repr=False)
    lowest: int
    sign: Share | None = field(repr=False)

    def of_place(self, values: Sequence[int]) -> Share:
        """A public integer function of q, given by its values from ``lowest`` on; local. 0 where there is no place."""
        table = np.array([value % (1 << 64) for value in values], dtype=np.uint64)
        return self.places.times(table[:, None]).sum(axis=0)

    @property
    def range_of_places(self) -> range:
        """All q."""
        return range(self.lowest, self.lowest + self.places.shape[0])


PIECE: Final = 1 << 16
"""Elements that elementwise operators work on at once: some 25 MB for each array of one-hot places."""


async def in_pieces(e: Engine, operator: Callable[..., Awaitable[Share]], *arrays: Share) -> Share:
    """An operator on vectors of one size, applied to arrays of one shape piece by piece; rounds are those of each piece."""
    flat = [array.reshape(-1) for array in arrays]
    pieces = [
        await operator(e, *[vector[low : low + PIECE] for vector in flat])
        for low in range(0, max(flat[0].size, 1), PIECE)
    ]
    return concatenate(pieces).reshape(*arrays[0].shape)


def check_precision(e: Engine) -> None:
    """Operators that normalise are made for 12 to 20 fraction bits."""
    if not 12 <= e.frac_bits <= 20:
        raise ProtocolError(
            f"an engine of {e.frac_bits} fraction bits", remedy="use 12 to 20 where numbers are divided, or raised"
        )


async def normalise(e: Engine, x: Share, width: int = MAGNITUDE) -> Normal:
    """A vector x in [0, 2^width) as m·2^q, 1/2 <= m <= 1, q from 1 to width <= 44; 0 has the mantissa 0 and no place.

    1. The lowest bits of x, their prefix OR from the top; where it changes is the leading bit.
    2. All planes become ring elements.
    3. m = x·2^(44 - q), truncated to 30 bits: error 2^-30.

    Rounds and bytes: ``a2b`` of ``width`` bits, 6 rounds of ANDs (136 in all for 44), ``b2a`` of as many planes, a ``product``.
    Memory: some hundred words an element.
    """
    check_precision(e)
    if not 1 < width <= MAGNITUDE:
        raise ProtocolError(f"numbers of {width} bits to divide by", remedy=f"scale them below 2^{MAGNITUDE}")
    bits = await e.a2b(x, width)
    upto = await prefix_or(e, bits)
    hot = stack_planes(upto[:-1] ^ upto[1:], upto[-1:])
    places = await b2a_planes(e, hot)
    return await _scaled(e, x, places, 1, None)


async def normalise_signed(e: Engine, x: Share) -> Normal:
    """A vector x in (-2^44, 2^44), not 0, as m·2^q, 1/2 <= |m| <= 1, m of the sign of x, q from 0 to 44.

    As ``normalise``, with the bits y = x xor sign, which is |x| or |x| - 1: the leading bit of 2y + 1 is at q with
    2^(q - 1) <= |x| <= 2^q. Rounds and bytes: one plane more each.
    """
    check_precision(e)
    bits = await e.a2b(x, MAGNITUDE + 1)
    sign = bits[MAGNITUDE:]
    upto = await prefix_or(e, with_ones_below(e, bits[:MAGNITUDE] ^ sign))
    hot = stack_planes(upto[:-1] ^ upto[1:], upto[-1:], sign)
    ring = await b2a_planes(e, hot)
    plus_minus = e.add_public(ring[-1].times(-2), 1)
    return await _scaled(e, x, ring[:-1], 0, plus_minus)


async def _scaled(e: Engine, x: Share, places: Share, lowest: int, sign: Share | None) -> Normal:
    blank = Normal(x, places, lowest, sign)
    scale = blank.of_place([1 << (MAGNITUDE - q) for q in blank.range_of_places])
    return Normal(await product(e, x, scale, MAGNITUDE - MANTISSA), places, lowest, sign)


async def wide_product(e: Engine, big: Share, mantissa: Share, bits: int) -> Share:
    """big·mantissa / 2^(30 + bits), for |big| <= 2^45, |mantissa| <= 2^31, bits from -14 to 30.

    Both are cut into two limbs of 15 bits. With b' = big / 2^15, m' = mantissa / 2^15 (truncated) and m0 = mantissa -
    m'·2^15, which is exact, the product over 2^15 is big·m' + b'·m0, up to |m0|: less than one unit of the result.
    Error: between -1 and 2 times 2^-bits, and one unit.

    Rounds and bytes: two ``product``s of twice as many elements.
    """
    high = await e.truncate(concatenate((big, mantissa)), _LIMB)
    above, upper = high[: big.size], high[big.size :]
    lower = mantissa - upper.times(1 << _LIMB)
    both = await e.mul(concatenate((big, above)), concatenate((upper, lower)))
    return await e.truncate(both[: big.size] + both[big.size :], _LIMB + bits)


async def polynomial(e: Engine, u: Share, coefficients: Sequence[int]) -> Share:
    """sum of c_k u^k for |u| <= 1; u, coefficients (lowest first) and result with 30 fraction bits.

    The sum of |c_k| must be below 4. Error: about 2^-30 for each power, times its coefficient, and 2^-30.
    Rounds: ceil(log2(degree)) products and a truncation. Bytes: degree - 1 products and a truncation an element.
    """
    degree, n = len(coefficients) - 1, u.size
    powers = u.reshape(1, n)
    while powers.shape[0] < degree:
        known = powers.shape[0]
        more = min(known, degree - known)
        top = powers[known - 1 : known].broadcast((more, n))
        powers = concatenate((powers, await product(e, top, powers[:more], MANTISSA)))
    table = np.array([value % (1 << 64) for value in coefficients], dtype=np.uint64)
    total = powers.times(table[1:, None]).sum(axis=0)
    return await e.truncate(e.add_public(total, coefficients[0] << MANTISSA), MANTISSA)
