"""Products of two shared matrices, by triples of matrices: a product of (n, k) and (k, m) opens n·k + k·m elements."""

from __future__ import annotations

from typing import Final

import numpy as np

from hansa.protocols.mpc.additive.party import AdditiveParty
from hansa.protocols.mpc.concurrency import offload
from hansa.protocols.mpc.kernels.ring import matmul as multiply
from hansa.protocols.mpc.shapes import check_matrices
from hansa.protocols.mpc.shares import Product, Share

TILE: Final = 1024
"""Rows and columns of one triple's matrices, at most (so that its three fit the dealer's bound)."""


async def matmul(e: AdditiveParty, x: Share, y: Share) -> Product:
    """``x @ y`` for shares of shapes (n, k) and (k, m): Beaver's product with a matrix triple for each tile.

    Rounds: 1. Bytes sent per party: 8·(n·k·ceil(m/1024) + k·m·ceil(n/1024))·(n_parties - 1).
    Preprocessing: a matrix triple a tile. Memory: as what is sent, besides the result.
    """
    check_matrices(x, y)
    n, k, m = x.shape[0], x.shape[1], y.shape[1]
    tiles = [(r, i, c) for r in _tiles(n) for i in _tiles(k) for c in _tiles(m)]
    out = np.zeros((n, m), dtype=np.uint64)
    if not tiles:
        return Product((out,))
    triples = [await e.correlations.matmul_triples(*(s.stop - s.start for s in tile)) for tile in tiles]
    masked = [x.parts[0][r, i] - a for (r, i, _), (a, _, _) in zip(tiles, triples, strict=True)]
    masked += [y.parts[0][i, c] - b for (_, i, c), (_, b, _) in zip(tiles, triples, strict=True)]
    opened = await e.sums(*masked)
    for (rows, _, columns), (a, b, c), d, f in zip(
        tiles, triples, opened[: len(tiles)], opened[len(tiles) :], strict=True
    ):
        work = 2 * d.size * f.shape[1]
        left = await offload(work, multiply, d, b)
        right = await offload(work, multiply, a + d if e.first else a, f)
        out[rows, columns] += c + left + right
    return Product((out,))


def _tiles(extent: int) -> list[slice]:
    return [slice(low, min(low + TILE, extent)) for low in range(0, extent, TILE)]
