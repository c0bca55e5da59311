"""Square roots and their reciprocals."""

from __future__ import annotations

from math import isqrt
from typing import Final

from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.operators.arithmetic import product
from hansa.protocols.mpc.operators.normalise import BIG, MANTISSA, in_pieces, normalise, polynomial, wide_product
from hansa.protocols.mpc.shares import Share, concatenate

_START: Final = (619630185, -109130176, 28120698)
"""1/(2 sqrt m) by powers of u = 4m - 3, 30 fraction bits: within 0.33 % on [1/2, 1] (tests fit it anew)."""
_STEPS: Final = 2


async def sqrt(e: Engine, x: Share) -> Share:
    """The square root for 0 <= x < 2^(44-f) (f fraction bits, 12 to 20); shape kept.

    Error: relative 2^-26 and absolute 2·2^-f. Negative numbers are outside the domain.
    Rounds and bytes: ``normalise``, a ``polynomial`` of degree 2, 5 products one after another (7 an element), a
    ``wide_product``; replicated: 36 rounds, 601 bytes an element. Source: Goldschmidt's coupled iteration (Markstein,
    RNC'04).
    """
    return await in_pieces(e, _sqrt, x)


async def _sqrt(e: Engine, x: Share) -> Share:
    normal = await normalise(e, x)
    root, _ = await _roots(e, normal.mantissa)
    # 2^f sqrt(x / 2^f) = sqrt(m)·2^((q + f)/2)
    guard = BIG - (BIG + e.frac_bits) // 2
    power = normal.of_place([_half_power(q + e.frac_bits + 2 * guard) for q in normal.range_of_places])
    return await wide_product(e, power, root, guard)


async def rsqrt(e: Engine, x: Share) -> Share:
    """1/sqrt(x) for 2^-f <= x < 2^(44-f) (f fraction bits, 12 to 20); shape kept.

    Error: relative 2^-26 and absolute 2·2^-f; of 0 it is 0 up to 2^-f. Costs as ``sqrt``.
    """
    return await in_pieces(e, _rsqrt, x)


async def _rsqrt(e: Engine, x: Share) -> Share:
    normal = await normalise(e, x)
    _, half = await _roots(e, normal.mantissa)
    # 2^f / sqrt(x / 2^f) = 2·(1/(2 sqrt m))·2^((3f - q)/2)
    guard = BIG - 2 - (3 * e.frac_bits) // 2
    power = normal.of_place([_half_power(3 * e.frac_bits - q + 2 + 2 * guard) for q in normal.range_of_places])
    return await wide_product(e, power, half, guard)


def _half_power(twice: int) -> int:
    """2^(twice / 2), rounded down, exactly the same at every party."""
    return isqrt(1 << twice)


async def _roots(e: Engine, m: Share) -> tuple[Share, Share]:
    """sqrt m and 1/(2 sqrt m) for 1/2 <= m <= 1, with 30 fraction bits; relative error 2^-27.

    r = 1/2 - g·h, then g += g·r and h += h·r: the distance from the root is squared (and times 3/2) each time.
    """
    u = e.add_public(m.times(4), -3 << MANTISSA)
    h = await polynomial(e, u, _START)
    g = (await product(e, m, h, MANTISSA)).times(2)
    for _ in range(_STEPS):
        r = e.add_public(-(await product(e, g, h, MANTISSA)), 1 << (MANTISSA - 1))
        more = await product(e, concatenate((g, h)), concatenate((r, r)), MANTISSA)
        g, h = g + more[: g.size], h + more[g.size :]
    return g, h
