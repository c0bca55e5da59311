"""exp, log and softmax."""

from __future__ import annotations

from typing import Final

from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.operators.arithmetic import integer_product, mul
from hansa.protocols.mpc.operators.bits import b2a_planes, not_bits
from hansa.protocols.mpc.operators.division import reciprocal
from hansa.protocols.mpc.operators.extremes import axis_of, maximum
from hansa.protocols.mpc.operators.normalise import (
    MAGNITUDE,
    MANTISSA,
    check_precision,
    in_pieces,
    normalise,
    polynomial,
    wide_product,
)
from hansa.protocols.mpc.shares import Share, concatenate, stack_planes

_LOG2_E: Final = 1549082005
_LN_2: Final = 744261118
_LN: Final = (-308896273, 357913949, -59652332, 13255915, -3313925, 884599, -245874, 68224, -19725, 7870, -2430)
"""ln m by powers of u = 4m - 3 on [1/2, 1], 30 fraction bits, error 2^-29."""
_EXP2: Final = (759250125, 263136052, 45598002, 5267608, 456405, 31795, 1835)
"""2^(r-1) by powers of u = 2r - 1 on [0, 1], 30 fraction bits, error 2^-28.7. (tests/protocols/mpc/operators fit both anew)"""
_WHOLE: Final = 6
"""Bits of a power's whole part."""
_GUARD: Final = 2
"""Results below 2^-(f + 2) are 0."""


async def exp(e: Engine, x: Share) -> Share:
    """exp(x) for -2^min(30-f, 13) < x < (44-f) ln 2 (-4096 to 18 at f = 18; 12 to 20 fraction bits); shape kept.

    Error: relative 2^-24 and absolute 2·2^-f. Above the domain the result is without meaning.

    1. t = x log2 e + f + 2, with 30 fraction bits; its bits from 2^0 to 2^5, and its sign.
    2. 2^t's whole part: the product of 1 + b_i (2^(2^i) - 1), 0 where t is negative.
    3. 2^t's fraction: a polynomial of degree 6.

    Rounds and bytes: a truncation, ``a2b`` of 45 bits, ``b2a`` of 7 planes, 6 integer products in 3 rounds, the polynomial,
    a ``wide_product``; replicated: 27 rounds, 292 bytes an element. Source: the split is that of Aly, Smart (ACNS'19, section 4).
    """
    check_precision(e)
    return await in_pieces(e, _exp, x)


async def _exp(e: Engine, x: Share) -> Share:
    t = await e.truncate(x.times(_LOG2_E), e.frac_bits)
    t = e.add_public(t, (e.frac_bits + _GUARD) << MANTISSA)
    bits = await e.a2b(t, MAGNITUDE + 1)
    kept = stack_planes(bits[MANTISSA : MANTISSA + _WHOLE], not_bits(e, bits[MAGNITUDE:]))
    ring = await b2a_planes(e, kept)
    fraction = t
    factors = []
    for place in range(_WHOLE):
        fraction = fraction - ring[place].times(1 << (MANTISSA + place))
        factors.append(e.add_public(ring[place].times((1 << (1 << place)) - 1), 1))
    whole = await _product_of(e, [*factors, ring[_WHOLE]])
    part = await polynomial(e, e.add_public(fraction.times(2), -1 << MANTISSA), _EXP2)
    return await wide_product(e, whole, part, _GUARD - 1)


async def _product_of(e: Engine, factors: list[Share]) -> Share:
    """The product of integers, pairs at a time."""
    n = factors[0].size
    while len(factors) > 1:
        odd, pairs = factors[len(factors) // 2 * 2 :], len(factors) // 2
        both = await integer_product(
            e, concatenate(factors[0 : 2 * pairs : 2]), concatenate(factors[1 : 2 * pairs : 2])
        )
        factors = [both[place * n : (place + 1) * n] for place in range(pairs)] + odd
    return factors[0]


async def log(e: Engine, x: Share) -> Share:
    """The natural logarithm for 2^-f <= x < 2^(44-f) (f fraction bits, 12 to 20); shape kept. Error: 2·2^-f.

    ln x = ln m + (q - f) ln 2. Of 0 and of negative numbers the result is without meaning, but harms nothing else.
    Rounds and bytes: ``normalise``, a ``polynomial`` of degree 10 (9 products in 4 rounds), a truncation;
    replicated: 30 rounds, 585 bytes an element.
    """
    return await in_pieces(e, _log, x)


async def _log(e: Engine, x: Share) -> Share:
    normal = await normalise(e, x)
    whole = normal.of_place([(q - e.frac_bits) * _LN_2 for q in normal.range_of_places])
    u = e.add_public(normal.mantissa.times(4), -3 << MANTISSA)
    total = await polynomial(e, u, _LN) + whole
    return await e.truncate(total, MANTISSA - e.frac_bits)


async def softmax(e: Engine, x: Share, axis: int = -1) -> Share:
    """exp(x) over its sum along an axis, by exp(x - max); differences along it must be below 2^(30-f).

    Error: 6·2^-f. Rounds and bytes: ``maximum`` along the axis, ``exp`` of all, ``reciprocal`` of each sum, a ``mul`` of all.
    """
    place = axis_of(x, axis)
    last = x.moveaxis(place, len(x.shape) - 1)
    shape = last.shape
    if not x.size:
        return x
    greatest = (await maximum(e, last, len(shape) - 1)).reshape(*shape[:-1], 1)
    powers = await exp(e, last - greatest.broadcast(shape))
    total = await reciprocal(e, powers.sum(axis=len(shape) - 1))
    scaled = await mul(e, powers, total.reshape(*shape[:-1], 1).broadcast(shape))
    return scaled.moveaxis(len(shape) - 1, place)
