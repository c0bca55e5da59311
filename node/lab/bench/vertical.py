"""Primitives on vertically split rows: an owner's matrix and bins, and alignment. Inputs come from a public seed."""

from __future__ import annotations

from typing import Final

import numpy as np

from hansa.config.vocabulary import FRAC_BITS as F
from hansa.node.lab.bench.catalogue import Size
from hansa.node.lab.bench.operation import Build, Facts, Operation, distance, numbers, opened, shared
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import encode
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.psi.ddh import intersect

SEED = bytes(16)
BINS = 16


async def matmul(e: Engine, size: Size) -> Operation:
    """An owner's (n, d) matrix times a shared vector, reshared; the matrix is prepared before."""
    x, w = numbers(size.n * size.d, 1).reshape(size.n, size.d), numbers(size.d, 2)
    matrix = await e.private_matrix(0, encode(x, F) if e.session.rank == 0 else None, x.shape)
    weights = await shared(e, 1, w)
    out = [weights]

    async def timed() -> None:
        out[0] = await e.truncate((await e.private_linear([matrix], [weights], slice(0, size.n)))[0], F)

    async def facts() -> Facts:
        return {"max_abs_error": distance(await opened(e, out[0]), x @ w)}

    return Operation(timed, facts)


async def select_sum(e: Engine, size: Size) -> Operation:
    """Sums of a shared vector over party 0's n x d bins, ``BINS`` a column; the bins are prepared before."""
    bins = np.random.default_rng(1).integers(0, BINS, (size.n, size.d)).astype(np.uint8)
    v = np.random.default_rng(2).uniform(-1, 1, size.n)
    held = await e.private_bins(0, bins if e.session.rank == 0 else None, bins.shape, BINS)
    vector = (await shared(e, 1, v)).reshape(1, size.n)
    out = [vector]

    async def timed() -> None:
        (out[0],) = await e.select_sum([held], vector, F + 1)

    async def facts() -> Facts:
        sums = np.stack([np.bincount(bins[:, j], v, BINS) for j in range(size.d)])
        return {"max_abs_error": distance((await opened(e, out[0]))[0], sums)}

    return Operation(timed, facts)


async def psi(e: Engine, size: Size) -> Operation:
    """The alignment of n rows a party, nine tenths of them common."""
    first = size.n // 10 * (e.session.rank + 1)
    keys = [b"%d" % i for i in range(first, first + size.n)]
    common = max(size.n - size.n // 10 * (e.session.n_parties - 1), 0)
    found: list[int] = [0]

    async def timed() -> None:
        fork: Session = e.session.fork("psi")
        found[0] = len(await intersect(fork, keys, seed=SEED, max_rows=size.n))

    async def facts() -> Facts:
        return {"max_abs_error": float(abs(found[0] - common))}

    return Operation(timed, facts)


BUILDS: Final[dict[str, Build]] = {"matmul": matmul, "select-sum": select_sum, "psi": psi}
