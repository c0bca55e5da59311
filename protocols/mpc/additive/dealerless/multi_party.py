"""Three parties or more without a dealer: what their summands carry and wrap around, by adders of bit triples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.additive.bits import a2b, and_bits, two_addends
from hansa.protocols.mpc.additive.comparison import b2a, borrow
from hansa.protocols.mpc.additive.party import AdditiveParty
from hansa.protocols.mpc.shares import BitShare, Share, words_of


async def top_bits(e: AdditiveParty, own: Ring, offsets: Sequence[int]) -> Ring:
    """The top bits of the sum of all parties' ``own`` (n,) plus each offset, modulo 2^64, exactly: (offsets, words).

    The summands become two numbers u and v; u + v carries into its top bit what a tree of (u & v, u ^ v) says, which
    joins as blocks' (less, equal) do.

    Rounds: those of ``bits.two_addends`` (1 for 3 parties, 2 for 4, 3 for 5), 1 and 6. Bytes sent per party:
    16·64·words·(n_parties - 1) for each party but two, 16·63·words·(n_parties - 1), and ``borrow`` of 63 blocks.
    """
    words = words_of(own.size)
    numbers = np.zeros((len(offsets), 64 * words), dtype=np.uint64)
    for number, offset in zip(numbers, offsets, strict=True):
        number[: own.size] = own + np.uint64(offset % (1 << 64)) if e.first else own
    first, second = await two_addends(e, Share((numbers.reshape(-1),)), 64)
    both = await and_bits(e, first[:63], second[:63])
    carry = await borrow(e, both.parts[0], (first ^ second).parts[0][:63])
    return ((first ^ second).parts[0][63:] ^ carry).reshape(len(offsets), words)


def digit_bits(n_parties: int) -> int:
    """Bits of each party's digits for ``carries``: N - 1 <= 2^(bits - 1)."""
    return 1 + (n_parties - 2).bit_length()


async def carries(e: AdditiveParty, digits: Ring) -> Share:
    """(H + N - 1) >> k for the sum H of all parties' digits of k = ``digit_bits`` bits, (n,).

    Rounds and bytes: as ``bits.a2b`` for k + log2 N bits, and ``b2a`` for log2 N.
    """
    n = e.session.n_parties
    k, counted = digit_bits(n), (n - 1).bit_length()
    own = digits + np.uint64(n - 1) if e.first else digits
    planes = (await a2b(e, Share((own,)), k + counted)).parts[0][k:]
    length = 64 * planes.shape[1]
    numbers = await b2a(e, BitShare((planes.reshape(1, -1),), counted * length))
    weights = np.uint64(1) << np.arange(counted, dtype=np.uint64)
    return numbers.reshape(counted, length).times(weights[:, None]).sum(axis=0)[: digits.size]


async def quotient(e: AdditiveParty, own: Ring, bits: int) -> Ring:
    """A summand of z / 2^bits, floor or one more, for the sum z < 2^63 of all parties' ``own`` modulo 2^64.

    The summands' quotients add up to z's, less what the remainders carry, and more by w 2^(64-bits) if the sum wraps w times.
    Both are read off the highest digits, of k bits, of summands and remainders. Let H be the sum of the summands' digits: the
    sum, in units of 2^(64-k), is 2^k w + y with 0 <= y < 2^(k-1), and above H by less than N; so H + N - 1 is from 2^k w up to
    2^k w + 2^(k-1) + N - 2, whose higher bits are w. Of the remainders, H + N - 1 is at most N - 1 < 2^k units
    above their sum, and not below it: so what they carry, or one more, and exactly that if their sum is a multiple of 2^bits.

    Rounds and bytes: as ``carries`` for twice as many elements.
    """
    k = digit_bits(e.session.n_parties)
    rest = own & np.uint64((1 << bits) - 1)
    low = rest >> np.uint64(bits - k) if bits >= k else rest << np.uint64(k - bits)
    found = (await carries(e, np.concatenate((own >> np.uint64(64 - k), low)))).parts[0]
    wrapped, carried = found[: own.size], found[own.size :]
    return (own >> np.uint64(bits)) + carried - (wrapped << np.uint64(64 - bits))
