"""Bit-sliced XOR-shared bits: AND by bit triples, and how numbers become bits."""

from __future__ import annotations

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.adder import add
from hansa.protocols.mpc.additive.party import AdditiveParty
from hansa.protocols.mpc.concurrency import offload
from hansa.protocols.mpc.kernels.bits import slice_bits
from hansa.protocols.mpc.shapes import check_planes, check_width
from hansa.protocols.mpc.shares import BitShare, Share, stack_planes


async def and_bits(e: AdditiveParty, x: BitShare, y: BitShare) -> BitShare:
    """AND of all planes: open x ^ a and y ^ b under bit triples (Beaver, CRYPTO'91).

    Rounds: 1. Bytes sent per party: 16·planes·words·(n_parties - 1). Preprocessing: planes·words bit triples.
    """
    check_planes(x, y)
    shape = x.parts[0].shape
    a, b, c = await e.correlations.bit_triples(int(x.parts[0].size), 1)
    left, right = x.parts[0].reshape(-1), y.parts[0].reshape(-1)
    d, f = await e.xors(left ^ a, right ^ b[0])
    return BitShare((and_from_triple(e, d, f, a, b[0], c[0]).reshape(shape),), x.length)


def and_from_triple(e: AdditiveParty, d: Ring, f: Ring, a: Ring, b: Ring, c: Ring) -> Ring:
    """A summand of x & y from public d = x ^ a, f = y ^ b and a bit triple's."""
    summand: Ring = c ^ (d & b) ^ (f & (a ^ d if e.first else a))
    return summand


async def a2b(e: AdditiveParty, x: Share, bits: int) -> BitShare:
    """The lowest ``bits`` bits of each element, flat, lowest plane first: the bits of every party's part are added up.

    Three numbers become two in one round (a ^ b ^ c, and twice their majority) until two are left, which are added.
    Rounds: the levels of thirds that N parties make (none for two), and those of ``adder.add``. Each AND costs as
    ``and_bits``: 373 of them for two parties and 64 bits, 93.25 bytes an element; ``bits`` more for each further party.
    """
    return await add(e, *await two_addends(e, x, bits))


async def two_addends(e: AdditiveParty, x: Share, bits: int) -> tuple[BitShare, BitShare]:
    """Two numbers that add up to the lowest ``bits`` bits of each element, flat. Rounds and bytes: see ``a2b``."""
    check_width(bits)
    flat = np.ascontiguousarray(x.parts[0]).reshape(-1)
    own = await offload(8 * flat.size, slice_bits, flat, 0, bits)
    zero = np.zeros_like(own)
    addends = [BitShare((own if rank == e.rank else zero,), x.size) for rank in range(e.session.n_parties)]
    while len(addends) > 2:
        addends = await _thirds(e, addends)
    return addends[0], addends[1]


async def _thirds(e: AdditiveParty, addends: list[BitShare]) -> list[BitShare]:
    groups = len(addends) // 3
    a, b, c = (stack_planes(*addends[place : 3 * groups : 3]) for place in range(3))
    majority = await e.and_bits(a ^ c, b ^ c) ^ c
    bits = addends[0].planes
    merged = addends[3 * groups :]
    for group in range(groups):
        planes = slice(group * bits, (group + 1) * bits)
        kept = slice(group * bits, (group + 1) * bits - 1)
        none = BitShare((np.zeros_like(a.parts[0][:1]),), a.length)
        merged += [(a ^ b ^ c)[planes], stack_planes(none, majority[kept])]
    return merged
