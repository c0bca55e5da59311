"""Secret trees against the same boosting in plain, on every engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mpc.engines import ENGINES

from hansa.algorithms.gbdt import boost, plaintext
from hansa.algorithms.gbdt.bins import Cuts
from hansa.algorithms.gbdt.params import Params
from hansa.algorithms.gbdt.tree import Table, Tree, table_of
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import decode, encode

F = 18


def problem(rows: int, columns: int, seed: int = 1) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, columns))
    margin = 2 * x[:, 0] - 1.5 * x[:, 1] * x[:, 2] + np.sin(3 * x[:, 3])
    return x, (rng.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.float64)


async def secret(e: Engine, bins: Any, columns: list[int], label: Any, params: Params) -> tuple[list[Tree], Any]:
    starts = np.cumsum([0, *columns])
    rank = e.session.rank
    own = np.ascontiguousarray(bins[:, starts[rank] : starts[rank + 1]])
    table: Table = await table_of(e, own, columns, params.max_bin)
    shared = await e.input(1, encode(label, F) if rank == 1 else None, label.shape)
    trees, margins = await boost.train(e, table, shared, params, after_tree=lambda *_: None)
    again = await boost.predict(e, trees, own, params.base_score)
    trained, predicted = await e.open(margins, again, what="margins")
    assert np.array_equal(trained, predicted)
    return trees, decode(trained, F)


def columns_of(parties: int) -> list[int]:
    return {2: [3, 2], 3: [2, 0, 3], 4: [2, 1, 1, 1]}[parties]


@pytest.mark.parametrize("engine", ENGINES)
async def test_trees_are_those_of_plaintext(engine: str) -> None:
    params = Params(n_estimators=2, max_depth=2, max_bin=8, learning_rate=0.5)
    x, y = problem(400, 5)
    bins = Cuts.fit(x, params.max_bin).apply(x)
    expected, margins = plaintext.train(bins, y, params)

    async def protocol(e: Engine) -> Any:
        return await secret(e, bins, columns_of(e.session.n_parties), y, params)

    results = await ENGINES[engine](protocol)
    columns = columns_of(len(results))
    starts = np.cumsum([0, *columns])
    for number, tree in enumerate(expected):
        found = {}
        for rank, (trees, _) in enumerate(results):
            assert trees[number].owners == results[0][0][number].owners
            for node, (column, cut) in trees[number].splits.items():
                assert trees[number].owners[node] == rank
                found[node] = (int(starts[rank]) + column, cut)
        assert [found[node] for node in range(3)] == list(tree.splits)
    for _, opened in results:
        assert np.max(np.abs(opened - margins)) < 2e-3
