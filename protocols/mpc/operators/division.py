"""Reciprocals and quotients, of either sign."""

from __future__ import annotations

from typing import Final

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.operators.arithmetic import product
from hansa.protocols.mpc.operators.normalise import (
    BIG,
    MAGNITUDE,
    MANTISSA,
    ONE,
    Normal,
    in_pieces,
    normalise,
    normalise_signed,
    wide_product,
)
from hansa.protocols.mpc.shares import Share, concatenate

_START: Final = 3129112986
"""2.9142 at 30 bits: 2.9142 - 2m is within 8.6 % of 1/m on [1/2, 1]."""
_STEPS: Final = 3
_GUARD: Final = 9
"""Bits below the last of a quotient that are kept until its end."""


async def reciprocal(e: Engine, x: Share) -> Share:
    """1/x for 2^-f <= |x| < 2^(44-f), of either sign (f fraction bits, 12 to 20); shape kept.

    Error: relative 2^-26 and absolute 2·2^-f. 1/0 is without meaning, but harms nothing else.
    Rounds and bytes: ``normalise_signed``, 4 products one after another (7 an element in all), a ``wide_product``;
    replicated: 30 rounds, 571 bytes an element.
    Source: Goldschmidt's iteration as in Catrina, Saxena (FC'10, section 5); scaling by one-hot places is ours.
    """
    return await in_pieces(e, _reciprocal, x)


async def _reciprocal(e: Engine, x: Share) -> Share:
    normal = await normalise_signed(e, x)
    power = normal.of_place([1 << (BIG - q) for q in normal.range_of_places])
    return await wide_product(e, power, await inverse_mantissa(e, normal), BIG - 2 * e.frac_bits)


async def divide(e: Engine, x: Share, y: Share) -> Share:
    """x/y for 0 < |y| < 2^(44-f) and |x/y| < 2^min(36-f, 18), of either sign; shape kept.

    x and y may have any common scale: for integers as they are it is the quotient as well. Error: relative 2^-26 and
    absolute 2·2^-f. 0/0 is 0 up to 2^-f; other quotients by 0 are without meaning, but harm nothing else.
    Rounds and bytes: as ``reciprocal``, and a ``product``; replicated: 32 rounds, 587 bytes an element.
    """
    if x.shape != y.shape:
        raise ProtocolError(
            f"a quotient of shapes {x.shape} and {y.shape}", remedy="give both one shape (``broadcast``)"
        )
    return await in_pieces(e, _divide, x, y)


async def divide_positive(e: Engine, x: Share, y: Share, width: int) -> Share:
    """x/y as ``divide``, where 0 < y < 2^width as an integer is known: fewer bits to look at, less to send.

    Rounds and bytes: as ``divide``, with ``normalise`` of ``width`` bits. x/0 is 0.
    """

    async def quotients(e: Engine, x: Share, y: Share) -> Share:
        return await _quotient(e, x, await normalise(e, y, width))

    return await in_pieces(e, quotients, x, y)


async def _divide(e: Engine, x: Share, y: Share) -> Share:
    return await _quotient(e, x, await normalise_signed(e, y))


async def _quotient(e: Engine, x: Share, normal: Normal) -> Share:
    power = normal.of_place([1 << (MAGNITUDE - q) for q in normal.range_of_places])
    scaled = await product(e, x, power, MAGNITUDE - e.frac_bits - _GUARD)
    return await wide_product(e, scaled, await inverse_mantissa(e, normal), _GUARD)


async def inverse_mantissa(e: Engine, normal: Normal) -> Share:
    """1/m for mantissas 1/2 <= |m| <= 1, with 30 fraction bits; relative error 2^-27.

    n = 2.9142 sign - 2m (sign 1 where there is none) and d = m·n, then three times (n, d) = (n, d)·(2 - d): d goes to 1 as its
    distance is squared (0.0858, then below 2^-7, 2^-14, 2^-28).
    """
    twice = normal.mantissa.times(2)
    n = e.add_public(-twice, _START) if normal.sign is None else normal.sign.times(_START) - twice
    d = await product(e, normal.mantissa, n, MANTISSA)
    for step in range(_STEPS):
        factor = e.add_public(-d, 2 * ONE)
        if step == _STEPS - 1:
            return await product(e, n, factor, MANTISSA)
        both = await product(e, concatenate((n, d)), concatenate((factor, factor)), MANTISSA)
        n, d = both[: n.size], both[n.size :]
    raise AssertionError("the last step returns")
