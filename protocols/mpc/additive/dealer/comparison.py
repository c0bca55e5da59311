"""Comparison by a masked opening: the borrow of c - r for public c and secret r, blocks of four bits, then a tree.

With x = c - r, the top bit of x is that of c, xor that of r, xor whether the lower bits of c are less than r's. Inside
a block this is local, since the products of r's bits come with the mask (``MaskCorrelations.comparison_masks``).
"""

from __future__ import annotations

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.additive.comparison import borrow
from hansa.protocols.mpc.additive.correlations import TOP_BITS
from hansa.protocols.mpc.additive.party import AdditiveParty, MaskedParty
from hansa.protocols.mpc.concurrency import offload
from hansa.protocols.mpc.kernels.additive import block_less
from hansa.protocols.mpc.kernels.bits import slice_bits
from hansa.protocols.mpc.shares import BitShare, Share


async def msb(e: MaskedParty, x: Share) -> BitShare:
    """The top bit of each element, flat, exactly.

    1. c = x + r is opened under a comparison mask.
    2. [c < r] and [c == r] of each of the 16 blocks, locally; then the tree of ``borrow``.

    Rounds: 5. Bytes sent per party: (8·size + 8·41·words)·(n_parties - 1), words = ceil(size / 64).
    Preprocessing: a comparison mask each, 11·words bit triples of width 2 and 4·words of width 1.
    """
    r, planes = await e.correlations.comparison_masks(x.size)
    (c,) = await e.sums(x.parts[0].reshape(-1) + r)
    return await top_bit(e, await under_mask(e, c, planes, TOP_BITS), x.size)


async def under_mask(e: AdditiveParty, c: Ring, planes: Ring, below: int) -> Ring:
    """[c < r] and [c == r] of each block of the ``below`` bits under the top bit, then c's top bit ^ r's. Local.

    The mask's words of bits may be more than c's.
    """
    bits: Ring = await offload(8 * c.size, slice_bits, np.ascontiguousarray(c), 63 - below, below + 1)
    compared: Ring = await offload(
        8 * c.size, block_less, bits, np.ascontiguousarray(planes[:, : bits.shape[1]]), e.first
    )
    return compared


async def top_bit(e: AdditiveParty, compared: Ring, length: int) -> BitShare:
    """The top bit of c - r from the result of ``under_mask``. Costs as ``borrow``."""
    blocks = compared.shape[0] // 2
    borrowed = await borrow(e, compared[:blocks], compared[blocks : 2 * blocks])
    return BitShare((compared[2 * blocks :] ^ borrowed,), length)
