"""Random tables: whatever their shape, a node's split is one of its best, and leaves are what its rows make them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engines import additive_dealt, replicated, with_input_parties
from support.gbdt_cases import LETTERS, Case, Trained, splits_of, train

from hansa.algorithms.gbdt.layout import Layout, Split
from hansa.algorithms.gbdt.objectives import objective_of
from hansa.algorithms.gbdt.params import TreeParams
from hansa.algorithms.gbdt.plaintext import best_splits

NEAR = 0.02
"""How much less than the best gain a split may have: sums are rounded stochastically."""


@st.composite
def cases(draw: Any) -> tuple[Case, int]:
    """A small table with constant columns, copies, few values, empty cells, and its number of parties."""
    rows, columns, parties = draw(st.integers(20, 120)), draw(st.integers(3, 6)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_normal((rows, columns))
    categorical = [False] * columns
    for place in range(columns):
        match draw(st.sampled_from(["numbers", "constant", "copy", "few", "letters", "empty"])):
            case "constant":
                x[:, place] = 7.0
            case "copy":
                x[:, place] = x[:, 0] if not categorical[0] else 0.0
            case "few":
                x[:, place] = np.round(x[:, place])
            case "letters":
                x[:, place] = rng.integers(0, len(LETTERS), rows)
                categorical[place] = True
            case "empty":
                x[rng.random(rows) < 0.3, place] = np.nan
                x[0, place] = 1.0
    y = (rng.random(rows) < 0.5).astype(np.float64)
    y[:2] = 0, 1
    params = {
        "n_estimators": 1,
        "max_depth": draw(st.integers(1, 4)),
        "max_bin": draw(st.integers(2, 20)),
        "missing": True,
        "min_child_weight": draw(st.sampled_from([0.0, 1.0, 3.0])),
        "reg_lambda": draw(st.sampled_from([0.1, 1.0])),
        "reg_alpha": draw(st.sampled_from([0.0, 0.5])),
        "gamma": draw(st.sampled_from([0.0, 0.5])),
        "max_cat_to_onehot": draw(st.sampled_from([1, 255])),
    }
    return Case(x, y, params, tuple(categorical), label_rank=draw(st.integers(0, parties - 1))), parties


def thresholded(g: float, alpha: float) -> float:
    return float(np.sign(g) * max(abs(g) - alpha, 0.0))


def check(case: Case, results: list[Trained]) -> None:
    """Follow the tree's own splits with plain sums."""
    params, bins = TreeParams(**case.params), case.bins()
    g, h = (each[0] for each in objective_of(params.objective, 0).plain_derivatives(np.zeros((1, len(bins))), case.y))
    found = [Split(*split) for split in splits_of(results, 0, case.widths(len(results)))]
    among = Layout.of(params, (case.categorical,)).among()

    def score(rows: Any) -> float:
        return thresholded(g[rows].sum(), params.reg_alpha) ** 2 / (h[rows].sum() + params.reg_lambda)

    at, first = np.zeros(len(bins), dtype=np.int64), 0
    value, going = np.array([np.nan]), np.array([True])
    sure = np.ones(len(bins), dtype=bool)
    for level in range(params.max_depth + 1):
        nodes = 1 << level
        inside = [at == node for node in range(nodes)]
        own = [-thresholded(g[r].sum(), params.reg_alpha) / (h[r].sum() + params.reg_lambda) for r in inside]
        value = np.where(going, own, np.repeat(value, 2) if level else value)
        if level == params.max_depth:
            break
        total = np.stack([np.bincount(at, v, nodes) for v in (g, h)])
        _, best = best_splits(bins, at, np.stack((g, h)), total, among, params, params.reg_alpha)
        for node, rows in enumerate(inside):
            left = found[first + node].sides(bins) == 1
            gain = score(rows & left) + score(rows & ~left) - score(rows)
            heavy = min(h[rows & left].sum(), h[rows & ~left].sum()) >= params.min_child_weight
            if best[node] > params.gamma + NEAR:
                assert heavy
                assert gain > best[node] - NEAR
            elif best[node] > params.gamma - NEAR:
                sure &= ~rows  # whether it splits hangs on rounding
            going[node] &= bool(best[node] > params.gamma)
            at[rows] = 2 * node + 1 - left[rows]
        going, first = np.repeat(going, 2), first + nodes
    expected = params.learning_rate * value[at]
    for result in results:
        assert np.abs(result.margins[0] - expected)[sure].max(initial=0.0) < 2e-3


def hold(drawn: tuple[Case, int]) -> None:
    case, parties = drawn
    run = {2: additive_dealt(2), 3: replicated(), 4: with_input_parties(4)}[parties]
    check(case, trio.run(run, lambda e: train(e, case)))


@settings(max_examples=8, deadline=None, derandomize=True)  # the slow one looks further every time
@given(cases())
def test_on_any_table(drawn: tuple[Case, int]) -> None:
    hold(drawn)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@settings(max_examples=60, deadline=None)
@given(cases())
def test_on_very_many_tables(drawn: tuple[Case, int]) -> None:
    hold(drawn)
