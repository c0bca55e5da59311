"""The trees' table and page of plots, from measurements made up here; and once from measured ones."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("xgboost", reason="xgboost is not installed: the trees' benchmark is NOT tested")

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def trees(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("trees")


def made_up(trees: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Calls that would have been measured."""
    calls: list[tuple[Any, ...]] = []

    def bench(operation: str, n: int, repeat: int, options: list[str]) -> dict[str, Any]:
        calls.append((operation, n, repeat, *options))
        dealt = {"dealer_bytes": 4_000_000} if "--dealer" in options else {}
        sent = {"online_bytes_per_party": [2_000_000, 1_000_000], "preprocessing_bytes_per_party": [n * 100, 0]}
        return {"seconds_per_tree": n / 1000, "setup_seconds": 0.5, "rounds_per_tree": 1234, **sent, **dealt}

    monkeypatch.setattr(trees, "bench", bench)
    monkeypatch.setattr(trees, "plain", lambda threads, at, repeat: {"seconds": 0.002 / threads})
    return calls


def test_the_table_adds_up_what_all_send(trees: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(trees, monkeypatch)
    row = trees.table(trees.Measured(None, 3), ["n"], large=False).splitlines()[4]
    ours = "10 s + 0.5 s"
    assert row == f"| rows 10,000 | {ours}, 4 MB, 1,234 | {ours}, 8 MB, 1,234 | {ours}, 4 MB, 1,234 | 2 ms | 1 ms |"


def test_what_is_kept_is_not_measured_again(trees: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls, raw = made_up(trees, monkeypatch), tmp_path / "raw"
    once = trees.table(trees.Measured(raw, 3), ["bins", "parties"], large=False)
    engines = 5 * 3 + 3 + 3 + 2  # the point in the middle is on both axes
    assert len(calls) == len(set(calls)) == engines
    assert trees.table(trees.Measured(raw, 3), ["bins", "parties"], large=False) == once
    assert len(calls) == engines
    assert len([json.loads(line) for line in raw.read_text().splitlines()]) == engines + 5 * 2


def test_two_of_three_are_three(trees: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(trees, monkeypatch)
    assert trees.Measured(None, 3)("replicated", trees.Point(parties=2)) is None


def test_plots_of_one_kind_have_one_axis(trees: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(trees, monkeypatch)
    drawn = trees.panels(trees.Measured(None, 3), ["n", "parties"], large=False)
    assert [(panel.title, panel.x) for panel in drawn][::3] == [
        ("seconds a tree", "rows"),
        ("MB a tree, sent by all", "parties"),
    ]
    root = ElementTree.fromstring(trees.page(drawn, "t", columns=2))
    plots = [node for node in root if node.tag.endswith("}g")]
    heights = []
    for plot in (plots[0], plots[2]):
        line = next(node for node in plot if node.tag.endswith("polyline"))
        heights.append({point.split(",")[1] for point in line.attrib["points"].split()})
    assert len(heights[0]) == 5  # seconds rise with rows
    assert heights[1] < heights[0]  # and 10,000 rows are as high among the parties
    words = [node.text for node in root.iter() if node.tag.endswith("}text")]
    assert [words.count(name) for name in (*trees.ENGINES, *trees.THREADS)] == [1] * 5
    assert {"1k", "30k", "100k"} <= set(words)


def test_a_page_needs_points(trees: Any) -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        trees.page([trees.Panel("a", "b", {})], "t", columns=1)


def test_xgboost_is_measured(trees: Any) -> None:
    assert trees.plain(1, trees.Point(n=200, d=4), 1)["seconds"] > 0


@pytest.mark.slow
def test_measured(tmp_path: Path) -> None:
    out, plot = tmp_path / "table.md", tmp_path / "plot.svg"
    command = [sys.executable, "trees.py", "d", "--repeat", "1", "--out", str(out), "--plot", str(plot)]
    subprocess.run(command, cwd=FOLDER, check=True)
    assert out.read_text().count("| columns ") == 4
    assert plot.read_text().count("<polyline") == 5 + 3
