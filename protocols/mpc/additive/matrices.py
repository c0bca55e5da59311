"""Matrices and bins that stay in plain with their owner: a pad once a job, then one vector sent to the owner a product.

The owner P tells the others E = X - A once, A being a random matrix that only P knows. A shared vector w is its own
part w_P and the others': these tell P what theirs are but for a fresh random b (shared among them), delta = sum of
(w_i - b_i). Then X w = X (w_P + delta) + E b + A b, and shares of A b are the correlation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.additive.correlations import Pad
from hansa.protocols.mpc.kernels.ring import bin_sums, matvec, matvec_transposed
from hansa.protocols.mpc.shares import Product, Ring, Share

if TYPE_CHECKING:
    from hansa.protocols.mpc.additive.masked import Masked

BLOCK_WORDS: Final = 1 << 18
"""Words of a padded matrix that travel in one message (2 MiB)."""


@dataclass(frozen=True, slots=True)
class OwnedMatrix:
    """A private matrix: plain at its owner, padded (X - A) at the others."""

    owner: int
    shape: tuple[int, int]
    pad: Pad = field(repr=False)
    piece: Ring = field(repr=False)


@dataclass(frozen=True, slots=True)
class OwnedBins:
    """Private bins, plain at their owner; ``pad`` is that of their indicators, (rows, columns·n_bins)."""

    owner: int
    shape: tuple[int, int]
    n_bins: int
    pad: Pad = field(repr=False)
    bins: NDArray[np.uint8] | None = field(repr=False)


def checked(values: Ring | None, shape: tuple[int, ...]) -> Ring:
    """The owner's input, which must be uint64 of the shape that all parties expect."""
    if values is None or values.shape != shape or values.dtype != np.uint64:
        raise ProtocolError(f"the owner's input must be uint64 of shape {shape}", remedy="report this as a bug")
    return np.ascontiguousarray(values)


def _blocks(shape: tuple[int, int]) -> list[slice]:
    """Rows that travel together."""
    step = max(1, BLOCK_WORDS // max(shape[1], 1))
    return [slice(low, min(low + step, shape[0])) for low in range(0, shape[0], step)]


async def private_matrix(e: Masked, owner: int, values: Ring | None, shape: tuple[int, int]) -> OwnedMatrix:
    """Pad the owner's matrix, once a job: the others get X - A, uniform to them all together.

    Rounds: one for each 2 MiB, none of them waited for by the owner. Bytes sent: 8·rows·columns·(n_parties - 1) by the
    owner, none by the others. Memory: 8·rows·columns at every party.
    """
    pad = await e.source.pad(owner, shape)
    if e.rank == owner:
        plain = checked(values, shape)
        for rows in _blocks(shape):
            padded = plain[rows] - pad.rows(rows)
            await e.session.exchange(dict.fromkeys(e.session.peers, [padded]), {})
        return OwnedMatrix(owner, shape, pad, plain)
    piece = np.empty(shape, dtype=np.uint64)
    for rows in _blocks(shape):
        got = await e.session.exchange({}, {owner: [(rows.stop - rows.start, shape[1])]})
        piece[rows] = got[owner][0]
    return OwnedMatrix(owner, shape, pad, piece)


async def multiply(e: Masked, x: OwnedMatrix, w: Share, rows: slice, *, transposed: bool) -> Product:
    """``x[rows] @ w``, or ``x[rows].T @ w``, for a shared vector w.

    Rounds: 1, waited for by the owner only. Bytes sent: 8·size of w by each of the others, to the owner.
    Preprocessing: one pad product.
    """
    kernel = matvec_transposed if transposed else matvec
    rows = slice(*rows.indices(x.shape[0])[:2])
    if w.shape != ((rows.stop - rows.start) if transposed else x.shape[1],):
        raise ProtocolError("a vector that does not fit the matrix", remedy="report this as a bug")
    b, c = await e.source.pad_products(x.pad, rows, transposed)
    factor = await _tell_owner(e, x.owner, w, b)
    piece = x.piece[rows]
    return Product((c + await e.run(piece.size, kernel, piece, np.ascontiguousarray(factor)),))


async def _tell_owner(e: Masked, owner: int, w: Share, b: Ring) -> Ring:
    """What this party multiplies its matrix by: the owner w_P + delta, the others b."""
    own = w.parts[0]
    if e.rank != owner:
        await e.session.exchange({owner: [own - b]}, {})
        return b
    received = await e.session.exchange({}, dict.fromkeys(e.session.peers, [w.shape]))
    return sum((theirs[0] for theirs in received.values()), start=own)


async def private_bins(
    e: Masked, owner: int, bins: NDArray[np.uint8] | None, shape: tuple[int, int], n_bins: int
) -> OwnedBins:
    """Note the owner's bins, (rows, columns) of values below ``n_bins``. Rounds: 0. Bytes sent: none."""
    if e.rank == owner and (bins is None or bins.shape != shape or (bins.size and int(bins.max()) >= n_bins)):
        raise ProtocolError("bins out of range", remedy="report this as a bug")
    pad = await e.source.pad(owner, (shape[0], shape[1] * n_bins))
    return OwnedBins(owner, shape, n_bins, pad, bins if e.rank == owner else None)


async def select_sum(e: Masked, x: OwnedBins, v: Share) -> Product:
    """H[j, b] = sum of v_i over the rows i whose bin in column j is b, as (columns, n_bins).

    As ``multiply`` by the transposed indicators, whose padded rows the owner sends anew each time, a block after the
    other, so that no party ever holds rows·columns·n_bins words.

    Rounds: 1, and one for each 2 MiB, not waited for by the owner. Bytes sent: 8·rows by each of the others, to the
    owner, and 8·rows·columns·n_bins·(n_parties - 1) by the owner: for small tables.
    """
    rows, columns = x.shape
    if v.shape != (rows,):
        raise ProtocolError("a vector that does not fit the bins", remedy="report this as a bug")
    b, c = await e.source.pad_products(x.pad, slice(0, rows), True)
    factor = await _tell_owner(e, x.owner, v, b)
    blocks = _blocks(x.pad.shape)
    if x.bins is None:
        total = c
        for block in blocks:
            got = await e.session.exchange({}, {x.owner: [(block.stop - block.start, x.pad.shape[1])]})
            padded = got[x.owner][0]
            total = total + await e.run(padded.size, matvec_transposed, padded, np.ascontiguousarray(factor[block]))
        return Product((total.reshape(columns, x.n_bins),))
    each = np.arange(x.n_bins, dtype=np.uint8)
    for block in blocks:
        indicators = (x.bins[block, :, None] == each).astype(np.uint64).reshape(-1, columns * x.n_bins)
        await e.session.exchange(dict.fromkeys(e.session.peers, [indicators - x.pad.rows(block)]), {})
    sums = await e.run(x.bins.size, bin_sums, x.bins, np.ascontiguousarray(factor), x.n_bins)
    return Product((c.reshape(columns, x.n_bins) + sums,))
