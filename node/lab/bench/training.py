"""Training as it is measured: matrices or bins are prepared before, the training is timed, and plaintext's AUC is beside.

Inputs come from a public seed.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.gbdt import plaintext
from hansa.algorithms.gbdt.bins import Cuts
from hansa.algorithms.gbdt.layout import Layout
from hansa.algorithms.gbdt.objectives import Logistic
from hansa.algorithms.gbdt.params import TreeParams
from hansa.algorithms.gbdt.training import boost
from hansa.algorithms.gbdt.training.tree import table_of
from hansa.algorithms.lr import sgd
from hansa.algorithms.lr.plaintext import sigmoid, train_and_test
from hansa.algorithms.lr.standardise import Standardisation
from hansa.algorithms.metrics import evaluate
from hansa.algorithms.split import split_order
from hansa.algorithms.terms import Terms
from hansa.config.vocabulary import FRAC_BITS
from hansa.node.lab.bench.catalogue import Size
from hansa.node.lab.bench.operation import Build, Facts, Operation, distance, opened
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import encode

SEED: Final = bytes(16)
PLAIN_ROWS: Final = 200_000
"""Rows up to which the same trees are grown in plain beside."""


async def lr(e: Engine, size: Size) -> Operation:
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
    label = await e.input(0, encode(y[order[:train]], FRAC_BITS) if e.session.rank == 0 else None, (train,))
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


def problem(n: int, d: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The features (n, d) and labels (n,) that are trained on."""
    rng = np.random.default_rng(7)  # public: a benchmark's
    x = rng.standard_normal((n, d)).astype(np.float32)
    margin = x[:, : min(d, 10)].sum(axis=1) / 1.5 + x[:, 0] * x[:, -1]
    return x, (rng.random(n) < sigmoid(margin)).astype(np.float64)


async def gbdt(e: Engine, size: Size) -> Operation:
    """``trees`` trees of a depth on (n, d) of so many bins, logistic loss; set-up sends what a job sends once."""
    x, y = problem(size.n, size.d)
    params = TreeParams(n_estimators=size.trees, max_depth=size.depth, max_bin=size.bins)
    cuts = np.array_split(np.arange(size.d), e.session.n_parties)
    mine = x[:, cuts[e.session.rank]].astype(np.float64)
    own = Cuts.fit(mine, size.bins).apply(mine)
    table = await table_of(e, own, Layout.of(params, tuple((False,) * len(cut) for cut in cuts)))
    await e.select_sum(list(table.held.values()), e.public(np.zeros((1, size.n), dtype=np.uint64)), 1)
    label = await e.input(0, y[None].astype(np.uint64) if e.session.rank == 0 else None, (1, size.n))
    zero = e.public(np.zeros(1, dtype=np.uint64))
    goal = boost.Problem(table, Logistic(), label, zero, None, zero)
    states = [boost.begin(e, goal)]

    async def after(_: boost.BoostState) -> None:
        """Nothing is kept."""

    async def timed() -> None:
        states[0] = await boost.train(e, goal, params, boost.begin(e, goal), after)

    async def facts() -> Facts:
        auc = evaluate(y, sigmoid(await opened(e, states[0].margins.reshape(-1))))["auc"]
        if size.n > PLAIN_ROWS:
            return {"auc": auc}
        _, plain = plaintext.train(Cuts.fit(x.astype(np.float64), size.bins).apply(x.astype(np.float64)), y, params)
        return {"auc": auc, "auc_plaintext": evaluate(y, sigmoid(plain[0]))["auc"]}

    return Operation(timed, facts, size.trees)


BUILDS: Final[dict[str, Build]] = {"lr": lr, "gbdt": gbdt}
