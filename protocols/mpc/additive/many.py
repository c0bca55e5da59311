"""Three parties or more without a dealer: what their summands carry and wrap around, by adders of bit triples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hansa.protocols.mpc.additive.bits import a2b, and_bits, two_addends
from hansa.protocols.mpc.additive.comparison import borrow
from hansa.protocols.mpc.shares import BitShare, Ring, Share

if TYPE_CHECKING:
    from hansa.protocols.mpc.additive.direct import Direct


async def top_bit(e: Direct, own: Ring) -> BitShare:
    """The top bit of the sum of all parties' ``own`` (n,) modulo 2^64, exactly.

    The summands become two numbers u and v; u + v carries into its top bit what a tree of (u & v, u ^ v) says, which
    joins as blocks' (less, equal) do.

    Rounds: those of ``bits.two_addends`` (1 for 3 parties, 2 for 4, 3 for 5), 1 and 6. Bytes sent per party:
    16·64·words·(n_parties - 1) for each party but two, 16·63·words·(n_parties - 1), and ``borrow`` of 63 blocks.
    """
    first, second = await two_addends(e, Share((own,)), 64)
    both = await and_bits(e, first[:63], second[:63])
    carry = await borrow(e, both.parts[0], (first ^ second).parts[0][:63])
    return BitShare(((first ^ second).parts[0][63:] ^ carry,), own.size)


async def wraps(e: Direct, own: Ring) -> Share:
    """How often the sum of all parties' ``own`` (n,) wraps around 2^64, if what is left of it is below 2^63.

    Let H be the sum of the k highest bits of the summands as numbers, of N parties with N - 1 <= 2^(k-1). The sum, in units
    of 2^(64-k), is 2^k w + z with 0 <= z < 2^(k-1), and H is at most that and above it less N: so H + N - 1 is from 2^k w
    up to 2^k w + 2^(k-1) + N - 2, whose higher bits are w.

    Rounds and bytes: as ``bits.a2b`` for k + log2 N bits, and ``b2a`` for log2 N.
    """
    n = e.session.n_parties
    k = 1 + (n - 2).bit_length()
    counted = (n - 1).bit_length()
    high = own >> np.uint64(64 - k)
    if e.first:
        high += np.uint64(n - 1)
    planes = (await a2b(e, Share((high,)), k + counted)).parts[0][k:]
    length = 64 * planes.shape[1]
    numbers = await e.b2a(BitShare((planes.reshape(1, -1),), counted * length))
    weights = np.uint64(1) << np.arange(counted, dtype=np.uint64)
    return numbers.reshape(counted, length).times(weights[:, None]).sum(axis=0)[: own.size]
