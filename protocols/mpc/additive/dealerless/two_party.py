"""Two parties without a dealer: each knows its own summand, so comparisons and products start from plain numbers.

Everything here is a transfer or an encrypted product of the two parties' private numbers, whose result is shared; nothing
is opened. The elements are halved between the two directions of transfers, which run at the same time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import trio
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.additive.comparison import borrow
from hansa.protocols.mpc.additive.correlations import blocks_of
from hansa.protocols.mpc.additive.dealerless.pairs import Pair
from hansa.protocols.mpc.additive.party import AdditiveParty
from hansa.protocols.mpc.concurrency import gather
from hansa.protocols.mpc.kernels.additive import leaf_choices, leaf_planes, leaf_tables
from hansa.protocols.mpc.kernels.bits import slice_bits, unpack_bits
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.shares import BitShare, Share, words_of


class PairedParty(AdditiveParty, Protocol):
    """One of two parties."""

    @property
    def pair(self) -> Pair:
        """Its ends with the other."""
        ...


PIECE: Final = 1 << 11
"""Words of elements compared at once in a direction (131,072 elements)."""


async def top_bits(e: PairedParty, own: Ring, below: int, offsets: Sequence[int] = (0,)) -> Ring:
    """The top bits of the sum of both parties' ``own`` (n,) plus each offset, from the ``below`` bits under it: (offsets, words).

    x0 + x1 carries into the top bit if the complement of x0's lower bits is less than x1's: one party offers for each block
    of four bits a table of (less, equal), masked, from which the other takes the entry of its own block; then the tree of
    ``borrow``. The offering party adds the offsets, so that one choice serves them all. With ``below`` under 63 (a multiple
    of 4) the sum counts as up to one unit of the lowest bit looked at less.

    Rounds: 2 for each 131,072 elements, and ceil(log2(blocks)). Bytes sent per party, per element and block: 2 for each
    offset's tables, and as much as SoftSpoken needs (``OtReceiver.one_of_16``) for half of them; the tree as ``borrow``.
    """
    words, blocks = words_of(own.size), blocks_of(below)
    low = 63 - below
    half = 64 * ((words + 1) // 2)
    parts = [np.ascontiguousarray(own[:half]), np.ascontiguousarray(own[half:])]
    mine = 0 if e.rank == 0 else 1
    offered = parts[mine] + np.array([offset % (1 << 64) for offset in offsets], dtype=np.uint64)[:, None]
    sent, chosen = await gather(
        _offer(e.pair, offered, low, blocks), _choose(e.pair, parts[1 - mine], low, blocks, len(offsets))
    )
    planes = np.concatenate((sent, chosen) if mine == 0 else (chosen, sent), axis=2)
    less, equal = planes.reshape(2, blocks, len(offsets) * words)
    carry = await borrow(e, less, equal)
    tops = [
        _tops(offered),
        np.broadcast_to(_tops(parts[1 - mine][None]), (len(offsets), words_of(parts[1 - mine].size))),
    ]
    return carry.reshape(len(offsets), words) ^ np.concatenate(tops if mine == 0 else tops[::-1], axis=1)


def _tops(numbers: Ring) -> Ring:
    """The top bits of numbers (k, n), packed: (k, words)."""
    return np.stack([slice_bits(each, 63, 1)[0] for each in numbers])


async def _offer(pair: Pair, own: Ring, low: int, blocks: int) -> Ring:
    """The sending half of the leaves, of numbers (k, n): masks that are this party's summands, (2·blocks, k, words)."""
    random = Keystream(os.urandom(32), b"leaves")
    pieces = []
    for part in _pieces(own.shape[1]):
        masks = random.words(len(own), 2 * blocks, words_of(own[:, part].shape[1]))
        await pair.sends.one_of_16(await trio.to_thread.run_sync(_tables, own[:, part], low, masks))
        pieces.append(masks.swapaxes(0, 1))
    return np.concatenate(pieces, axis=2)


async def _choose(pair: Pair, own: Ring, low: int, blocks: int, count: int) -> Ring:
    """The choosing half, of numbers (n,) that are compared with ``count`` others each."""
    pieces = []
    for part in _pieces(own.size):
        choices = await trio.to_thread.run_sync(leaf_choices, own[part], low, blocks, words_of(own[part].size))
        entries = await pair.chooses.one_of_16(choices, count)
        pieces.append(await trio.to_thread.run_sync(_planes, entries, blocks))
    return np.concatenate(pieces, axis=2)


def _tables(own: Ring, low: int, masks: Ring) -> NDArray[np.uint32]:
    """Tables for each of the numbers, (k, 64·blocks·words)."""
    return np.stack([leaf_tables(np.ascontiguousarray(x), low, mask) for x, mask in zip(own, masks, strict=True)])


def _planes(entries: NDArray[np.uint8], blocks: int) -> Ring:
    """Entries (k, 64·blocks·words) as (2·blocks, k, words)."""
    return np.stack([leaf_planes(each, blocks) for each in entries], axis=1)


def _pieces(size: int) -> list[slice]:
    step = 64 * PIECE
    return [slice(low, low + step) for low in range(0, max(size, 1), step)]


async def bit_products(e: PairedParty, own: Ring, bits: int) -> Ring:
    """A summand modulo 2^bits of the product of both parties' bits (n,), 0 or 1. One correlated transfer each.

    Rounds: 2. Bytes sent: for half of the elements each as ``OtSender.correlated`` and ``OtReceiver.correlated``.
    """
    half = 64 * ((words_of(own.size) + 1) // 2)
    parts = [own[:half], own[half:]]
    mine = 0 if e.rank == 0 else 1
    packed = slice_bits(np.ascontiguousarray(parts[1 - mine]), 0, 1)[0]
    sent, chosen = await gather(
        e.pair.sends.correlated(parts[mine], bits), e.pair.chooses.correlated(packed, parts[1 - mine].size, bits)
    )
    return np.concatenate((sent, chosen) if mine == 0 else (chosen, sent))


async def quotient(e: PairedParty, own: Ring, bits: int) -> Ring:
    """A summand of z / 2^bits, floor or one more, for the sum z < 2^63 of both parties' ``own`` modulo 2^64.

    The sum wraps exactly if one of the top bits is set. One summand is divided rounding down, the other rounding up, which is
    exact for multiples of 2^bits. Rounds and bytes: as ``bit_products``.
    """
    top = own >> np.uint64(63)
    wrapped = top - await bit_products(e, top, bits)
    divided = own >> np.uint64(bits)
    if not e.first:
        divided += (own & np.uint64((1 << bits) - 1)) != 0
    return divided - (wrapped << np.uint64(64 - bits))


async def times_bit(e: PairedParty, bits: BitShare, x: Share) -> Share:
    """Each number where its bit is 1, else 0, flat: (b_0 ^ b_1)·x_i = b_i x_i + b_j (1 - 2 b_i) x_i, two transfers.

    Rounds: 2. Bytes sent: as ``OtSender.correlated`` and ``OtReceiver.correlated`` for all elements.
    """
    own, number = bits.parts[0][0], x.parts[0].reshape(-1)
    plain = unpack_bits(own, number.size)
    sent, chosen = await gather(
        e.pair.sends.correlated(number * (np.uint64(1) - plain - plain)), e.pair.chooses.correlated(own, number.size)
    )
    return Share((plain * number + sent + chosen,))
