"""Logic on bits, and between bits and numbers.

Bits are packed 64 elements a word; ``words`` below is ceil(elements / 64). One AND of one plane is 8·words bytes a
party in the replicated engine, 16·words to each other party in the additive one.
"""

from __future__ import annotations

import numpy as np

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.shares import BitShare, Share, concatenate, stack_planes

ALL_ONES = ~np.uint64(0)


def not_bits(e: Engine, x: BitShare) -> BitShare:
    """NOT; local."""
    return x ^ e.public_bits(np.full(x.parts[0].shape, ALL_ONES), x.length)


async def or_bits(e: Engine, x: BitShare, y: BitShare) -> BitShare:
    """OR, plane by plane: x ^ y ^ (x & y). Rounds: 1. Bytes: an AND a plane."""
    return x ^ y ^ await e.and_bits(x, y)


async def prefix_or(e: Engine, x: BitShare) -> BitShare:
    """Plane k becomes the OR of planes k and above, by Sklansky's tree (IRE Trans. EC 9, 1960).

    Rounds: ceil(log2(planes)). ANDs: about planes/2 a round.
    """
    planes, step = x.planes, 1
    while step < planes:
        index = np.arange(planes)
        lower = index[((planes - 1 - index) & step) != 0]
        from_top = planes - 1 - lower
        above = x[planes - 1 - (from_top // step * step - 1)]
        x = x.with_planes(lower, await or_bits(e, x[lower], above))
        step *= 2
    return x


async def equal(e: Engine, x: Share, y: Share) -> BitShare:
    """x = y elementwise, flat, for all ring elements: neither x - y nor y - x has its top bit set.

    Rounds and bytes: those of ``msb`` for twice as many elements, and an AND.
    """
    if x.shape != y.shape:
        raise ProtocolError(f"a comparison of shapes {x.shape} and {y.shape}", remedy="give both one shape")
    difference = padded((x - y).reshape(-1))
    words = difference.size // 64
    signs = await e.msb(concatenate((difference, -difference)))
    left, right = (BitShare(tuple(part[:, half] for part in signs.parts), x.size) for half in _halves(words))
    return await e.and_bits(not_bits(e, left), not_bits(e, right))


async def b2a_planes(e: Engine, bits: BitShare) -> Share:
    """All planes as ring elements 0 and 1: (planes, length).

    Rounds and bytes: those of ``b2a`` for planes·64·words elements.
    """
    planes, words = bits.parts[0].shape
    flat = BitShare(tuple(np.ascontiguousarray(part).reshape(1, -1) for part in bits.parts), 64 * planes * words)
    return (await e.b2a(flat)).reshape(planes, 64 * words)[:, : bits.length]


async def bits_to_ring(e: Engine, bits: BitShare) -> Share:
    """The number that the planes spell, plane k worth 2^k, modulo 2^64: (length,). Costs as ``b2a_planes``."""
    ring = await b2a_planes(e, bits)
    weights = np.uint64(1) << np.arange(bits.planes, dtype=np.uint64)
    return ring.times(weights[:, None]).sum(axis=0)


async def inject(e: Engine, bits: BitShare, x: Share) -> Share:
    """x where the bit is 1, else 0, in the shape of x. Rounds and bytes: those of the engine's ``mux``."""
    _fits(bits, x)
    return (await e.mux(bits, x, e.public(np.zeros(x.shape, dtype=np.uint64)))).reshape(*x.shape)


async def mux(e: Engine, bits: BitShare, x: Share, y: Share) -> Share:
    """x where the bit is 1, else y, in their shape. Rounds and bytes: those of the engine's ``mux``."""
    if x.shape != y.shape:
        raise ProtocolError(f"a choice between shapes {x.shape} and {y.shape}", remedy="give both one shape")
    _fits(bits, x)
    return (await e.mux(bits, x, y)).reshape(*x.shape)


def padded(x: Share) -> Share:
    """A vector followed by as many zeros as make its size a multiple of 64, so that its bits fill their words."""
    missing = -x.size % 64
    if not missing:
        return x
    return Share(tuple(np.concatenate((part, np.zeros(missing, dtype=np.uint64))) for part in x.parts))


def repeated(bits: BitShare, times: int) -> BitShare:
    """The same bits several times over, end to end; their length must be a multiple of 64."""
    return BitShare(tuple(np.tile(part, (1, times)) for part in bits.parts), bits.length * times)


def zero_planes(like: BitShare, planes: int) -> BitShare:
    """Planes of zeros of the same length; local."""
    return BitShare(tuple(np.zeros((planes, part.shape[1]), dtype=np.uint64) for part in like.parts), like.length)


def with_ones_below(e: Engine, bits: BitShare) -> BitShare:
    """The planes, with one of ones below them; local."""
    return stack_planes(not_bits(e, zero_planes(bits, 1)), bits)


def _halves(words: int) -> tuple[slice, slice]:
    return slice(0, words), slice(words, 2 * words)


def _fits(bits: BitShare, x: Share) -> None:
    if bits.planes != 1 or bits.length != x.size:
        raise ProtocolError(f"{bits.planes} x {bits.length} bits for {x.size} numbers", remedy="give a bit for each")
