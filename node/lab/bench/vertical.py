"""Measurements on rows: an owner's matrix and bins, alignment, training. Inputs come from a public seed."""

from __future__ import annotations

from typing import Final

import numpy as np

from hansa.algorithms.lr import sgd
from hansa.algorithms.lr.plaintext import sigmoid, train_and_test
from hansa.algorithms.lr.standardise import Standardisation
from hansa.algorithms.metrics import evaluate
from hansa.algorithms.split import split_order
from hansa.algorithms.terms import Terms
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


async def lr_(e: Engine, size: Size) -> Operation:
    """One epoch of logistic regression on (n, d), batches of B; the matrices are prepared before."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((size.n, size.d))
    truth = rng.standard_normal(size.d) / np.sqrt(size.d) * 2
    y = (rng.random(size.n) < sigmoid(x @ truth)).astype(np.float64)
    parties = e.session.n_parties
    cuts = np.array_split(np.arange(size.d), parties)
    params: dict[str, int | float] = {"epochs": 1, "batch_size": size.batch, "learning_rate": 0.5, "l2": 0.0001}
    names = tuple(tuple(f"x{i}" for i in cut) for cut in cuts)
    terms = Terms(tuple(map(str, range(parties))), names, 0, SEED, 0.2, params, "label-owner", "owner", "all", size.n)
    order, train = split_order(SEED, size.n, terms.test_fraction)
    mine = x[order][:, cuts[e.session.rank]]
    standardised = Standardisation.fit(mine[:train]).apply(mine)
    blocks = await sgd.prepare_blocks(e, terms, standardised, size.n)
    label = await e.input(0, encode(y[order[:train]], F) if e.session.rank == 0 else None, (train,))
    out = [label]

    async def timed() -> None:
        out[0] = await sgd.train(
            e, terms, blocks, label, start=None, after_epoch=lambda *_: None, after_batch=lambda _: None
        )

    async def facts() -> Facts:
        w = await opened(e, out[0])
        ordered = np.concatenate([cuts[0], [size.d], *cuts[1:]]).astype(np.int64)
        weights = np.empty(size.d + 1)
        weights[ordered] = w
        reference, metrics = train_and_test(x, y, seed=SEED, test_fraction=0.2, params=params)
        test = np.hstack((Standardisation.fit(x[order[:train]]).apply(x[order[train:]]), np.ones((size.n - train, 1))))
        auc = evaluate(y[order[train:]], sigmoid(test @ weights))["auc"]
        error = distance(weights, reference)
        return {"max_abs_error": error, "auc": auc, "auc_plaintext": metrics["auc"], "train_rows": train}

    return Operation(timed, facts)


BUILDS: Final[dict[str, Build]] = {"matmul": matmul, "select-sum": select_sum, "psi": psi, "lr": lr_}
