"""The report's tables and picture, from measurements made up here; and once from measured ones."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
LESS = {
    "bench": "less",
    "n": 1_000_000,
    "seconds": 0.25,
    "preprocessing_seconds": 0.0501,
    "rounds": 8,
    "online_bytes_per_party": [2_000_000, 3_000_000],
    "preprocessing_bytes_per_party": [500_000, 0],
    "dealer_bytes": 1_500_000,
    "peak_rss_mb": 300.4,
    "max_abs_error": 0.0,
    "latency_s": 0.0,
}


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("report")


def test_a_row_says_what_was_measured_and_what_others_take(report: Any) -> None:
    engine = "additive, dealer, 2 parties"
    row = report.figures([(engine, LESS)]).splitlines()[-1]
    assert row == (
        f"| less | 1,000,000 | {engine} | 0.25 s | 50.1 ms | 8 | 2 / 3 | 2 | 300 | 0.0e+00 | SEMI2K 0.86 s, 56 MB |"
    )
    elsewhere = report.figures([(engine, {**LESS, "latency_s": 0.02}), (engine, {**LESS, "n": 1000})])
    assert "SEMI2K" not in elsewhere


def test_memory_is_told_by_the_element(report: Any) -> None:
    lr = {**LESS, "bench": "lr", "n": 1000, "d": 10}
    twice = {**lr, "n": 2000, "peak_rss_mb": 301.4}
    assert report.growth([("replicated", lr, twice)]).splitlines()[-1].endswith("| 300 / 301 | 100 |")


def test_the_picture_has_a_line_for_each_curve_rising_with_time(report: Any) -> None:
    panel = report.Panel("s", "n", {"less & more": [(10, 0.01), (1000, 1.0)], "mul": [(10, 0.1)]})
    text = report.page([panel], "t", columns=1)
    lines = [node for node in ElementTree.fromstring(text).iter() if node.tag.endswith("polyline")]
    (x0, y0), (x1, y1) = (map(float, point.split(",")) for point in lines[0].attrib["points"].split())
    assert (len(lines), x0 < x1, y0 > y1) == (2, True, True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_measured(tmp_path: Path) -> None:
    out, plot = tmp_path / "tables.md", tmp_path / "plot.svg"
    command = [
        sys.executable,
        "report.py",
        "lr",
        "mul",
        "--scale",
        "0.002",
        "--repeat",
        "1",
        "--out",
        str(out),
        "--plot",
        str(plot),
    ]
    subprocess.run(command, cwd=FOLDER, check=True)
    text = out.read_text()
    assert len(re.findall(r"^\| lr \|", text, re.M)) == 4 + 4 + 3
    assert "AUC" in text
    assert plot.read_text().count("<polyline") == 3
