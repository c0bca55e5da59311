"""The logistic function from one masked opening: Fourier series and both saturations use the same mask.

With c = x + r public, sin(k(c - r)) is a public combination of the shared sines and cosines of r, and the signs of
x + 9 and x - 9 are comparisons of c + 9 and c - 9 with the shared bits of the same r.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.additive.comparison import from_dabit
from hansa.protocols.mpc.additive.correlations import sigmoid_bits
from hansa.protocols.mpc.additive.dealer.comparison import top_bit, under_mask
from hansa.protocols.mpc.additive.party import MaskedParty
from hansa.protocols.mpc.concurrency import offload
from hansa.protocols.mpc.fourier import TRIG_BITS, check_scale, edge, series
from hansa.protocols.mpc.kernels.bits import unpack_bits
from hansa.protocols.mpc.masked_truncation import OFFSET, unmask
from hansa.protocols.mpc.shares import Linear, Product, Share, words_of


class MaskedSigmoidParty(MaskedParty, Protocol):
    """A party whose engine also has the products that a sigmoid ends with."""

    frac_bits: int

    def add_public(self, x: Share, values: Ring | int) -> Share:
        """As ``Engine.add_public``."""
        ...

    async def mul(self, x: Share, y: Share) -> Product:
        """As ``Engine.mul``."""
        ...

    async def reshare(self, product: Product) -> Share:
        """As ``Engine.reshare``."""
        ...

    async def sum_and_xor(self, ring: Ring, bits: Ring) -> tuple[Ring, Ring]:
        """A sum and an XOR of masked summands, in one round."""
        ...


async def sigmoid(e: MaskedSigmoidParty, x: Linear, scale_bits: int) -> Share:
    """1 / (1 + exp(-x)), elementwise and flat, of fixed point with ``scale_bits`` fraction bits; |x| < 2^(62 - scale).

    1. c = x + r is opened under a mask with shared sines and cosines of r, and products of its highest bits.
    2. The series, and whether blocks of c + 9 and c - 9 are less than r's, are local; a tree joins the blocks.
    3. The signs of x + 9 and x - 9 become ring elements and the series is truncated to ``frac_bits``, in one round.
    4. y = inside * series + above.

    Max error 5e-4 everywhere; well beyond |x| = 9 exactly 0 or 1 (the comparisons drop low bits, so they may turn up
    to 1/16 early). Nothing is opened but what masks hide.

    Rounds: 6 for scale 36 (3 + ceil(log2 of the blocks compared), 8 there and 13 at scale 18). Bytes sent per party
    at scale 36: (32·size + 8·38·words)·(n_parties - 1), words = ceil(size / 64).
    """
    check_scale(scale_bits)
    size, below = x.size, sigmoid_bits(scale_bits)
    masks = await e.correlations.trig_masks(size, scale_bits)
    (c,) = await e.sums(x.parts[0].reshape(-1) + masks.r)
    # sin(k(c - r)) = sin(kc) cos(kr) - cos(kc) sin(kr)
    turned = np.stack((np.uint64(0) - masks.trig[0], masks.trig[1]))
    smooth = await offload(32 * size, _series, turned, c, scale_bits, e.first)
    end, words = edge(scale_bits), words_of(size)
    sides = [await under_mask(e, shifted, masks.planes, below) for shifted in (c + end, c - end)]
    signs = (await top_bit(e, np.concatenate(sides, axis=1), size)).parts[0][0]  # words of x < -9, then of x < 9

    hidden, ring = await e.correlations.dabits(2 * 64 * words)
    bits = 2 * TRIG_BITS - e.frac_bits
    r, t, m = await e.correlations.truncation_masks(size, bits)
    masked = smooth + r + (OFFSET if e.first else np.uint64(0))
    opened, v = await e.sum_and_xor(masked, signs ^ hidden)
    cut = Share((unmask(opened, t, m, bits, first=e.first),))
    low, high = (
        Share((from_dabit(e, unpack_bits(v[part], size), ring[64 * part.start :][:size]),))
        for part in (slice(0, words), slice(words, 2 * words))
    )
    # inside = high - low, above = 1 - high
    kept = await e.reshare(await e.mul(high - low, cut))
    return kept + e.add_public(-high, 1).times(1 << e.frac_bits)


def _series(trig: Ring, c: Ring, scale_bits: int, first: bool) -> Ring:
    return series(trig, c, scale_bits, constant=first)
