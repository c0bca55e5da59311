"""Boosted trees as they are measured: the bins are prepared before, the trees are timed, and plaintext's AUC is beside."""

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
from hansa.algorithms.lr.plaintext import sigmoid
from hansa.algorithms.metrics import evaluate
from hansa.node.lab.bench.catalogue import Size
from hansa.node.lab.bench.operation import Build, Facts, Operation, opened
from hansa.protocols.mpc.engine import Engine

PLAIN_ROWS: Final = 200_000
"""Rows up to which the same trees are grown in plain beside."""


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


BUILDS: Final[dict[str, Build]] = {"gbdt": gbdt}
