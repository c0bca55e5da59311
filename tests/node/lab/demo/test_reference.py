"""What the demo's league is shown beside: XGBoost where it is installed, and else our own trees, and it says which."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hansa.config import jobfile
from hansa.node.data.inspect import inspect
from hansa.node.data.schema import Use, table_spec
from hansa.node.lab.demo.job_text import trees_text
from hansa.node.lab.demo.reference import reference

SEED = bytes(range(16))
JOB = """\
name = "both"
purpose = "test"
algorithm = "lr"

[split]
test = 0.25

[lr]
epochs = 2

[[party]]
name = "a"
dataset = "customers"
label = "y"

[[party]]
name = "b"
dataset = "customers"
"""


def tables(folder: Path) -> list[dict[str, Any]]:
    """Two tables of 400 and 390 rows in other orders; b's column decides more than a's."""
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 400))
    y = (rng.random(400) < 1 / (1 + np.exp(-a - 4 * b))).astype(int)
    rows = {
        "a": ["id,x,y", *(f"c{i},{a[i]:.6f},{y[i]}" for i in range(400))],
        "b": ["id,z", *(f"c{i},{b[i]:.6f}" for i in reversed(range(10, 400)))],
    }
    specs = []
    for name, column, label in (("a", "x", "y"), ("b", "z", None)):
        path = folder / f"{name}.csv"
        path.write_text("\n".join(rows[name]) + "\n")
        found = inspect(str(path), ["id"], label, 10_000) | {"path": str(path)}
        specs.append(table_spec(found, Use((column,), label, "trim", 1000)))
    return specs


def test_regression_is_our_own(tmp_path: Path) -> None:
    found = reference(jobfile.parse(JOB, "job.toml"), tables(tmp_path), SEED)
    assert (found.by, found.rows) == ("plaintext", 390)
    assert found.pooled["auc"] > found.alone["auc"] + 0.05


@pytest.mark.parametrize("installed", [True, False])
def test_trees_are_xgboosts_where_it_is_installed(
    installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if installed:
        pytest.importorskip("xgboost", reason="xgboost is not installed: the demo with XGBoost is NOT tested")
    else:
        monkeypatch.setitem(sys.modules, "xgboost", None)
    found = reference(jobfile.parse(trees_text(JOB), "job.toml"), tables(tmp_path), SEED)
    assert found.by.startswith("XGBoost ") if installed else found.by == "plaintext"
    assert found.rows == 390
    assert found.pooled["auc"] > found.alone["auc"] + 0.05
