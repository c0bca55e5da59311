"""The logistic function without a dealer: sines and cosines of each party's own summand, multiplied by encryption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.additive.dealerless.pairs import Pair
from hansa.protocols.mpc.concurrency import gather, offload
from hansa.protocols.mpc.fourier import COEFFICIENTS, HARMONIC_COUNT, TRIG_BITS, check_scale, edge, sines_and_cosines
from hansa.protocols.mpc.rlwe.products import best_terms
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.mpc.shares import BitShare, Linear, Share


class PairwiseSigmoidParty(Protocol):
    """A party with its pairs, and an engine that truncates, compares and chooses."""

    session: Session
    rank: int
    first: bool
    frac_bits: int
    pairs: list[Pair]

    async def signs(self, own: Ring, scale_bits: int, offsets: Sequence[int]) -> Ring:
        """The sign bits of the sum of all parties' ``own`` plus each offset, (offsets, words)."""
        ...

    def public(self, values: Ring) -> Share:
        """As ``Engine.public``."""
        ...

    async def truncate(self, x: Linear, bits: int) -> Share:
        """As ``Engine.truncate``."""
        ...

    async def b2a(self, bits: BitShare) -> Share:
        """As ``Engine.b2a``."""
        ...

    async def mux(self, bits: BitShare, x: Share, y: Share) -> Share:
        """As ``Engine.mux``."""
        ...


TRIG_WIDTH: Final = TRIG_BITS + 2
"""Bits of a sine at ``TRIG_BITS``, one at most, with its sign."""


async def sigmoid(e: PairwiseSigmoidParty, own: Ring, scale_bits: int) -> Share:
    """1 / (1 + exp(-x)) of the sum of all parties' ``own``, flat, |x| < 2^(62 - scale); error as ``dealer.sigmoid``.

    1. The signs of x + 9 and x - 9, between two parties from the highest bits, and the series.
    2. The series is truncated to ``frac_bits``, and x >= 9 becomes a number.
    3. The series is kept where x is between -9 and 9.

    Rounds and bytes: as the parts: ``_series``, ``top_bits`` for two offsets, ``truncate``, ``b2a`` and ``mux``.
    """
    check_scale(scale_bits)
    n, end = own.size, int(edge(scale_bits))
    if e.session.n_parties == 2:  # neither needs the engine's session but for the signs' tree
        smooth, signs = await gather(_series(e, own, scale_bits), e.signs(own, scale_bits, (end, -end)))
    else:
        smooth, signs = await _series(e, own, scale_bits), await e.signs(own, scale_bits, (end, -end))
    low, high = signs
    cut = await e.truncate(Share((smooth,)), 2 * TRIG_BITS - e.frac_bits)
    above = await e.b2a(BitShare((high[None] ^ (~np.uint64(0) if e.first else np.uint64(0)),), n))
    # x < -9 implies x < 9: between them exactly one of the two holds
    kept = await e.mux(BitShare(((low ^ high)[None],), n), cut, e.public(np.zeros(n, dtype=np.uint64)))
    return kept + above.times(1 << e.frac_bits)


async def _series(e: PairwiseSigmoidParty, own: Ring, scale_bits: int) -> Ring:
    """A summand of 1/2 + sum c_k sin(k x), at twice ``TRIG_BITS``, of x the sum of all parties' ``own``.

    Parties join one after another. u is the sum of those so far, whose sine and cosine all share; v is the next one's number,
    known to it alone. sin(k(u + v)) = sin ku cos kv + cos ku sin kv and cos(k(u + v)) = cos ku cos kv - sin ku sin kv. The last
    party's sines and cosines are multiplied by the coefficients, and the cosine of the whole sum is not computed.

    Rounds and bytes, as ``rlwe.products``: of two parties for 6 elements each, or fewer that are sums of several terms
    (``best_terms``). Of more parties for 12 between the first two, then for 12 of 64 bits between each next one and all others
    (6 for the last), and ``truncate`` between.
    """
    last = e.session.n_parties - 1
    trig = await offload(64 * own.size, sines_and_cosines, own, scale_bits)
    if e.rank == last:
        trig = _weighted(trig)
    own_sin, own_cos = trig.reshape(2, HARMONIC_COUNT * own.size)
    none = np.zeros_like(own_sin)
    sin, cos = (own_sin, own_cos) if e.first else (none, none)
    product: Ring = none
    for joining in range(1, last + 1):
        bits = TRIG_WIDTH if joining == 1 else 64
        wanted = [(sin, cos)] if joining == last else [(sin, cos), (cos, np.uint64(0) - sin)]
        # what each other party has of the sum, (a, b), meets the joining one's (sine, cosine): a·cos + b·sin
        left = _in_terms((np.concatenate([a for a, _ in wanted]), np.concatenate([b for _, b in wanted])), 1)
        right = _in_terms((np.tile(own_sin, len(wanted)), np.tile(own_cos, len(wanted))), 1)
        others = [pair for pair in e.pairs if joining > 1 or pair.peer == 0]  # at first only one party has anything
        if joining == last:  # harmonics are summed up in the end: some of them at once, under encryption
            terms = best_terms(bits, own.size, HARMONIC_COUNT)
            left, right = _in_terms(left, terms), _in_terms(right, terms)
        if e.rank == joining:
            products = await gather(*(pair.cross(*right, bits) for pair in others))
            product = np.asarray((left[0] * right[1] + left[1] * right[0]).sum(axis=0, dtype=np.uint64))
            for summand in products:
                product += summand
        elif joining > 1 or e.first:
            (pair,) = (pair for pair in e.pairs if pair.peer == joining)
            product = await pair.cross(*left, bits)
        else:
            product = np.zeros(left[0].shape[1], dtype=np.uint64)
        if joining < last:
            sin, cos = (await e.truncate(Share((product,)), TRIG_BITS)).parts[0].reshape(2, -1)
    sums = product.size // max(own.size, 1)
    total = np.asarray(product.reshape(sums, own.size).sum(axis=0, dtype=np.uint64))
    if e.first:
        total += np.uint64(1 << (2 * TRIG_BITS - 1))
    return total


def _in_terms(factors: tuple[Ring, Ring], terms: int) -> tuple[Ring, Ring]:
    """Both factors as (terms, elements)."""
    return factors[0].reshape(terms, -1), factors[1].reshape(terms, -1)


def _weighted(trig: Ring) -> Ring:
    """Sines and cosines times the series' coefficients, rounded."""
    weighted: Ring = np.rint(trig.view(np.int64) * np.array(COEFFICIENTS)[:, None]).astype(np.int64).view(np.uint64)
    return weighted
