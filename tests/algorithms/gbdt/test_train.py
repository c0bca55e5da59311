"""Secret trees against the same boosting in plain, on every engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.engines import ENGINES, additive_dealt, additive_direct, replicated, with_input_parties
from support.gbdt_cases import NAMES, Case, make, splits_of, train
from support.slow import slow

from hansa.algorithms.gbdt.layout import Split
from hansa.algorithms.gbdt.plaintext import PlainTree


def agree(found: list[tuple[int, int]], tree: PlainTree, bins: Any) -> bool:
    """Whether splits part every node's rows alike: where a node has no empty cell, either side for them is as good."""
    at, first = np.zeros(len(bins), dtype=np.int64), 0
    while first < len(found):
        nodes = first + 1
        sides = [
            np.stack([Split(*split).sides(bins) for split in each[first : first + nodes]])
            for each in (found, tree.splits)
        ]
        mine, theirs = (each[at, np.arange(len(bins))] for each in sides)
        if not np.array_equal(mine, theirs):
            return False
        at, first = 2 * at + 1 - mine, first + nodes
    return True


async def check(run: Any, case: Case) -> None:
    plain, margins = case.plain()
    results = await run(lambda e: train(e, case))
    for number, tree in enumerate(plain.trees):
        found = splits_of(results, number, case.widths(len(results)))
        assert agree(found, tree, case.bins())
    for result in results:
        assert np.abs(result.margins - margins).max() < 2e-3


@pytest.mark.parametrize("name", NAMES)
async def test_trees_are_those_of_plaintext(name: str) -> None:
    await check(replicated(), make(name))


WIDEST = ("additive, dealer, 4", "additive, 3")


@pytest.mark.parametrize("engine", [slow(name) if name in WIDEST else name for name in ENGINES if name != "replicated"])
async def test_on_every_engine(engine: str) -> None:
    await check(ENGINES[engine], make("partition" if "3" in engine else "missing"))


@pytest.mark.slow
@pytest.mark.parametrize("run", [additive_dealt(2), additive_direct(2), additive_direct(3), with_input_parties(5)])
@pytest.mark.parametrize("name", NAMES)
async def test_everything_on_every_engine(name: str, run: Any) -> None:
    await check(run, make(name))
