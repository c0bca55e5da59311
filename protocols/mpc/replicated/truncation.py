"""Truncation that is never grossly wrong: floor or one more, for every |x| < 2^62.

The local truncation of ABY3 and SecureML errs by 2^(64 - bits) with probability about |x|/2^63. Here P0, who sees
nothing that is opened, knows the mask's parts, so the wrap is known exactly (the idea of SecureQ8's probabilistic
truncation, Dalskov, Escudero, Keller, PoPETs'20, section 4, with P0 in the place of the preprocessing).
"""

from __future__ import annotations

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.kernels.ring import mask_corrections
from hansa.protocols.mpc.masked_truncation import OFFSET, check_bits, unmask
from hansa.protocols.mpc.replicated.party import ReplicatedParty
from hansa.protocols.mpc.shares import Product, Share


async def truncate(e: ReplicatedParty, z: Product, bits: int) -> Share:
    """z / 2^bits for an additive sharing z with |z| < 2^62: floor(z / 2^bits) or one more, never anything else.

    1. z' = z + 2^62, in [0, 2^63). r0 is drawn by P0 and P2, r1 by P0 and P1; the mask is r = r0 + r1 - z0, which
       P0 alone knows, so that c = z' + r = (z1 + 2^62 + r1) + (z2 + r0) needs nothing of P0.
    2. P1 and P2 tell each other these two summands, and so learn c (P0 does not). In the same round P0 shares between
       them, additively, t = (r mod 2^63) >> bits and m = the top bit of r.
    3. From c and these, P1 and P2 hold an additive sharing of the result (``masked_truncation.unmask``).
    4. ``settle``: that sharing becomes a Share.

    What is seen: P0 nothing. P1 lacks r0 and P2's part of what P0 shares, P2 lacks r1: all they receive is uniform to
    each alone.

    Rounds: 2. Bytes sent per party: 16·size.
    """
    check_bits(bits)
    size = z.size
    shape = z.shape
    own = z.parts[0].reshape(-1)
    if e.rank == 0:
        t, m = masks_of_first(e, size, bits, own)
        await e.session.exchange({1: [t, m]}, {})
        return (await settle(e, None, size)).reshape(*shape)
    if e.rank == 1:
        c1 = e.key_own.words(size)
        c1 += own
        c1 += OFFSET
        got = await e.session.exchange({2: [c1]}, {0: [size, size], 2: [size]})
        t, m = got[0]
        c = got[2][0]
        c += c1
    else:
        r0, t, m = e.key_next.words(3, size)
        c2 = r0
        c2 += own
        c = (await e.session.exchange({1: [c2]}, {1: [size]}))[1][0]
        c += c2
    return (await settle(e, unmask(c, t, m, bits, first=e.rank == 1), size)).reshape(*shape)


def masks_of_first(e: ReplicatedParty, size: int, bits: int, z0: Ring | None = None) -> tuple[Ring, Ring]:
    """Steps 1 and 2 at P0, whose summand is ``z0`` (None: zero): draw r0, r1; P1's summands of t and m.

    P2 draws its own, with r0, from keystream 0.
    """
    r0, t2, m2 = e.key_own.words(3, size)
    r1 = e.key_next.words(size)
    mask_corrections(r0, r1, np.zeros_like(r0) if z0 is None else z0, t2, m2, bits)
    return t2, m2


async def settle(e: ReplicatedParty, summand: Ring | None, size: int) -> Share:
    """An additive sharing between P1 and P2 (P0 passes None) as a Share.

    Components 0 and 1 are drawn by P0 with P2 and with P1; P1 and P2 tell each other the masked rest, component 2.
    Rounds: 1. Bytes sent: 8·size each by P1 and P2, none by P0.
    """
    if e.rank == 0:
        y0, y1 = e.key_own.words(size), e.key_next.words(size)
        await e.session.exchange({}, {})
        return Share((y0, y1))
    if summand is None:
        raise ProtocolError("no summand to settle", remedy="report this as a bug")
    other = 3 - e.rank
    mask = e.key_own.words(size) if e.rank == 1 else e.key_next.words(size)
    mine = summand - mask
    y2 = (await e.session.exchange({other: [mine]}, {other: [size]}))[other][0]
    y2 += mine
    return Share((mask, y2)) if e.rank == 1 else Share((y2, mask))
