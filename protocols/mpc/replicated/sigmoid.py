"""The logistic function by the Fourier series of ``fourier.py`` on a two-way split, saturated by two comparisons.

x = u + v with u known to P0 alone and v to P1 and P2. Each term sin(w(u + v)) = sin(wu) cos(wv) + cos(wu) sin(wv) is a
product of what P0 knows with what P1 and P2 know, so one message of P0 is all it takes (Fourier series of shares:
Squirrel, USENIX Security'23, section 4.3; the split is ours, argued in docs/protocols.md). The period is a power of
two, so reducing ring elements modulo it is exact. Beyond the domain, two comparisons replace the series by 0 or 1.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.fourier import HARMONIC_COUNT, TRIG_BITS, check_scale, edge, series, sines_and_cosines
from hansa.protocols.mpc.kernels.bits import slice_bits
from hansa.protocols.mpc.masked_truncation import OFFSET, unmask
from hansa.protocols.mpc.replicated import comparison
from hansa.protocols.mpc.replicated.party import ReplicatedParty
from hansa.protocols.mpc.replicated.truncation import masks_of_first, settle
from hansa.protocols.mpc.shares import BitShare, Linear, Product, Share, words_of


class ReplicatedSigmoidParty(ReplicatedParty, Protocol):
    """A party whose engine also has the products that a sigmoid ends with."""

    frac_bits: int

    def add_public(self, x: Share, values: Ring | int) -> Share:
        """As ``Engine.add_public``."""
        ...

    def cross(self, x: Share, y: Share) -> Ring:
        """This party's summand of x·y."""
        ...

    async def reshare(self, product: Product) -> Share:
        """As ``Engine.reshare``."""
        ...

    def zero_mask(self, *shape: int) -> Ring:
        """This party's summand of a random additive sharing of zero."""
        ...


async def sigmoid(e: ReplicatedSigmoidParty, x: Linear, scale_bits: int) -> Share:
    """1 / (1 + exp(-x)), elementwise and flat, of fixed point with ``scale_bits`` fraction bits; |x| < 2^(62 - scale).

    1. x = u + v: from a Share u = x0 + x1, v = x2; from a Product u = z0 masked, at P0, while P1 and P2 tell each other
       their masked summands, whose sum is v.
    2. In the same round P0 shares sin and cos of its angles, the bits of u + 9 and 9 - u, and the parts of a
       truncation mask.
    3. P1 and P2 combine the series, locally, and truncate it to ``frac_bits``.
    4. The signs of x + 9 and 9 - x say where the series does not hold: y = inside * series + above.

    Max error 5e-4 everywhere; well beyond |x| = 9 exactly 0 or 1 (the comparisons drop low bits, so they may turn up
    to 1/16 early). Nothing is opened. P0 receives masked words only, and so do P1 and P2 each.

    Rounds: 12 for scale 36. Bytes sent per element then: see docs/protocols.md.
    """
    check_scale(scale_bits)
    size = x.size
    width = min(64, 69 - scale_bits)
    own = x.parts[0].reshape(-1) + e.zero_mask(size) if isinstance(x, Product) else None
    if e.rank == 0:
        u = own if own is not None else (x.parts[0] + x.parts[1]).reshape(-1)
        smooth, u_bits, v_bits = await _tell(e, u, scale_bits, width)
    else:
        smooth, u_bits, v_bits = await _hear(e, x, own, scale_bits, width)
    outside = await comparison.b2a(e, await comparison.top_bit(e, u_bits, v_bits, 2 * size))
    below, above = outside[:size], outside[size:]
    inside = e.add_public(-(below + above), 1)
    kept = await e.reshare(Product((e.cross(inside, smooth),)))
    return kept + above.times(1 << e.frac_bits)


async def _tell(e: ReplicatedSigmoidParty, u: Ring, scale_bits: int, width: int) -> tuple[Share, BitShare, BitShare]:
    """Steps 2 and 3 at P0."""
    end = edge(scale_bits)
    bits = slice_bits(np.concatenate((u + end, end - u)), 64 - width, width)
    trig = sines_and_cosines(u, scale_bits)
    bit_mask = e.key_own.words(*bits.shape)
    trig_mask = e.key_own.words(*trig.shape)
    t, m = masks_of_first(e, u.size, _shift(e))
    rest = bits ^ bit_mask
    await e.session.exchange({1: [rest, trig - trig_mask, t, m]}, {})
    await e.session.exchange({}, {})
    smooth = await settle(e, None, u.size)
    zero = np.zeros_like(bits)
    length = 2 * u.size
    return smooth, BitShare((bit_mask, rest), length), BitShare((zero, zero), length)


async def _hear(
    e: ReplicatedSigmoidParty, x: Linear, own: Ring | None, scale_bits: int, width: int
) -> tuple[Share, BitShare, BitShare]:
    """Steps 1 to 3 at P1 and P2."""
    size, other = x.size, 3 - e.rank
    shapes = [(width, words_of(2 * size)), (2, HARMONIC_COUNT, size), (size,), (size,)]
    outgoing = {other: [own]} if own is not None else {}
    incoming = {other: [(size,)]} if own is not None else {}
    if e.rank == 1:
        got = await e.session.exchange(outgoing, incoming | {0: shapes})
        bits_of_u, trig, t, m = got[0]
        r = e.key_own.words(size)
    else:
        got = await e.session.exchange(outgoing, incoming)
        bits_of_u, trig = e.key_next.words(*shapes[0]), e.key_next.words(*shapes[1])
        r, t, m = e.key_next.words(3, size)
    v = own + got[other][0] if own is not None else x.parts[2 - e.rank].reshape(-1)
    masked = series(trig, v, scale_bits, constant=e.rank == 1) + r
    if e.rank == 1:
        masked += OFFSET
    c = masked + (await e.session.exchange({other: [masked]}, {other: [(size,)]}))[other][0]
    smooth = await settle(e, unmask(c, t, m, _shift(e), first=e.rank == 1), size)
    bits = slice_bits(np.concatenate((v, np.uint64(0) - v)), 64 - width, width)
    zero, length = np.zeros_like(bits), 2 * size
    if e.rank == 1:
        return smooth, BitShare((bits_of_u, zero), length), BitShare((zero, bits), length)
    return smooth, BitShare((zero, bits_of_u), length), BitShare((bits, zero), length)


def _shift(e: ReplicatedSigmoidParty) -> int:
    return 2 * TRIG_BITS - e.frac_bits
