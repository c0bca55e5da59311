"""Matrices that stay in plain with their owner: a pad once a job, then one vector sent to the owner a product.

The owner P tells the others E = X - A once, A being a random matrix that only P knows. A shared vector w is its own
part w_P and the others': these tell P what theirs are but for a fresh random b (shared among them), delta = sum of
(w_i - b_i). Then X w = X (w_P + delta) + E b + A b, and shares of A b are the correlation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.additive.correlations import Pad
from hansa.protocols.mpc.additive.party import MaskedParty
from hansa.protocols.mpc.concurrency import offload
from hansa.protocols.mpc.kernels.ring import matvec, matvec_transposed
from hansa.protocols.mpc.shapes import check_input
from hansa.protocols.mpc.shares import Product, Share

BLOCK_WORDS: Final = 1 << 18
"""Words of a padded matrix that travel in one message (2 MiB)."""


@dataclass(frozen=True, slots=True)
class AdditiveMatrix:
    """A private matrix: plain at its owner, padded (X - A) at the others."""

    owner: int
    shape: tuple[int, int]
    pad: Pad = field(repr=False)
    piece: Ring = field(repr=False)


def _blocks(shape: tuple[int, int]) -> list[slice]:
    """Rows that travel together."""
    step = max(1, BLOCK_WORDS // max(shape[1], 1))
    return [slice(low, min(low + step, shape[0])) for low in range(0, shape[0], step)]


async def private_matrix(e: MaskedParty, owner: int, values: Ring | None, shape: tuple[int, int]) -> AdditiveMatrix:
    """Pad the owner's matrix, once a job: the others get X - A, uniform to them all together.

    Rounds: one for each 2 MiB, none of them waited for by the owner. Bytes sent: 8·rows·columns·(n_parties - 1) by the
    owner, none by the others. Memory: 8·rows·columns at every party.
    """
    pad = await e.correlations.pad(owner, shape)
    if e.rank == owner:
        plain = check_input(values, shape)
        for rows in _blocks(shape):
            padded = plain[rows] - pad.rows(rows)
            await e.session.exchange(dict.fromkeys(e.session.peers, [padded]), {})
        return AdditiveMatrix(owner, shape, pad, plain)
    piece = np.empty(shape, dtype=np.uint64)
    for rows in _blocks(shape):
        got = await e.session.exchange({}, {owner: [(rows.stop - rows.start, shape[1])]})
        piece[rows] = got[owner][0]
    return AdditiveMatrix(owner, shape, pad, piece)


async def multiply(
    e: MaskedParty, xs: Sequence[AdditiveMatrix], ws: Sequence[Share], rows: slice, *, transposed: bool
) -> list[Product]:
    """``x[rows] @ w``, or ``x[rows].T @ w``, for each matrix and its shared vector w.

    Rounds: 1, waited for by the owners only. Bytes sent: for each 8·size of w by each of the others, to the owner.
    Preprocessing: one pad product each.
    """
    kernel = matvec_transposed if transposed else matvec
    parts = [slice(*rows.indices(x.shape[0])[:2]) for x in xs]
    masks = []
    for x, w, part in zip(xs, ws, parts, strict=True):
        if w.shape != ((part.stop - part.start) if transposed else x.shape[1],):
            raise ProtocolError("a vector that does not fit the matrix", remedy="report this as a bug")
        masks.append(await e.correlations.pad_products(x.pad, part, transposed))
    factors = await _tell_owners(e, [x.owner for x in xs], [w.parts[0] for w in ws], [b for b, _ in masks])
    out = []
    for x, part, factor, (_, c) in zip(xs, parts, factors, masks, strict=True):
        piece = x.piece[part]
        out.append(Product((c + await offload(piece.size, kernel, piece, np.ascontiguousarray(factor)),)))
    return out


async def _tell_owners(e: MaskedParty, owners: Sequence[int], ws: Sequence[Ring], bs: Sequence[Ring]) -> list[Ring]:
    """What this party multiplies each matrix by: its owner w_P + delta, the others b."""
    outgoing: dict[int, list[Ring]] = {}
    for owner, w, b in zip(owners, ws, bs, strict=True):
        if owner != e.rank:
            outgoing.setdefault(owner, []).append(w - b)
    mine = [place for place, owner in enumerate(owners) if owner == e.rank]
    incoming = dict.fromkeys(e.session.peers if mine else (), [ws[place].shape for place in mine])
    received = await e.session.exchange(outgoing, incoming)
    factors = list(bs)
    for k, place in enumerate(mine):
        factors[place] = sum((theirs[k] for theirs in received.values()), start=ws[place])
    return factors
