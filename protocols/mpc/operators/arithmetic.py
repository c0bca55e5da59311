"""Fixed-point products: Beaver's or replicated ones of whole arrays, truncated once.

Numbers have ``engine.frac_bits`` = f fraction bits; every product, and every sum of products, must stay below
2^62 as an integer (2^(62 - 2f) as a number), where truncation is floor or one more: an error of 2^-f at most.
"""

from __future__ import annotations

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.shares import Share


async def product(e: Engine, x: Share, y: Share, bits: int) -> Share:
    """x·y / 2^bits, elementwise: floor or one more, for |x·y| < 2^62.

    Rounds and bytes: those of the engine's ``mul`` and ``truncate`` (replicated: 2 rounds, 16 bytes an element).
    """
    return await e.truncate(await e.mul(x, y), bits)


async def mul(e: Engine, x: Share, y: Share) -> Share:
    """The fixed-point product, elementwise; costs as ``product``."""
    return await product(e, x, y, e.frac_bits)


async def square(e: Engine, x: Share) -> Share:
    """x², elementwise; costs as ``product``."""
    return await product(e, x, x, e.frac_bits)


async def integer_product(e: Engine, x: Share, y: Share) -> Share:
    """x·y modulo 2^64, elementwise, exactly: for products by integers and bits.

    Rounds and bytes: those of the engine's ``mul`` and ``reshare`` (replicated: 1 round, 8 bytes an element).
    """
    return await e.reshare(await e.mul(x, y))


async def inner(e: Engine, x: Share, y: Share) -> Share:
    """The fixed-point inner product of two vectors, as a vector of one element; truncated once, error 2^-f at most.

    Rounds and bytes: those of a (1, n) by (n, 1) ``matmul``.
    """
    if x.shape != y.shape or len(x.shape) != 1:
        raise ProtocolError(
            f"an inner product of shapes {x.shape} and {y.shape}", remedy="give two vectors of one size"
        )
    return (await matmul(e, x.reshape(1, -1), y.reshape(-1, 1))).reshape(1)


async def matmul(e: Engine, x: Share, y: Share) -> Share:
    """The fixed-point product of (n, k) and (k, m); each entry is truncated once, error 2^-f at most.

    Rounds and bytes: those of the engine's ``matmul``, and of ``truncate`` for the n·m entries of the result.
    """
    return await e.truncate(await e.matmul(x, y), e.frac_bits)
