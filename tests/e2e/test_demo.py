"""The demo as a user runs it: the command, its JSON, its table, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hansa.node.lab.demo.tables import breast_cancer

CREDIT = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "credit-default"


def hansa(*words: str, tmp: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hansa.node.cli", *words],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp), "HANSA_HOME": str(tmp / "home")},
    )


def checked(done: subprocess.CompletedProcess[str], tmp: Path) -> Any:
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp.glob("hansa-demo-*")) == []
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=False).stdout
    assert str(tmp) not in running
    return json.loads(done.stdout)


@pytest.mark.slow  # `make demo` runs it too
def test_demo_alone(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the extra 'demo' is not installed")
    found = checked(hansa("demo", "--json", tmp=tmp_path), tmp_path)
    assert set(found) >= {"auc", "ks", "auc_alone", "auc_pooled", "rows", "train_seconds", "bytes_sent"}
    assert found["auc"] == pytest.approx(found["auc_pooled"], abs=0.002)
    assert found["auc"] > found["auc_alone"]
    assert set(found["bytes_sent"]) == {"clinic", "laboratory", "imaging"}
    assert found["trees"]["auc"] == pytest.approx(found["trees"]["auc_pooled"], abs=0.02)  # of 89 rows
    assert found["trees"]["job"] != found["job"]
    assert found["reference"] == "plaintext"
    assert found["trees"]["reference"].startswith("XGBoost ")


def test_an_unusable_folder_is_one_sentence_and_a_way_on(tmp_path: Path) -> None:
    done = hansa("demo", "--data", str(tmp_path), tmp=tmp_path)
    assert done.returncode == 4
    assert "holds 0 CSV files" in done.stderr
    assert "next:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_two_institutions_need_nobody_else(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the extra 'demo' is not installed")
    folder = tmp_path / "tables"
    folder.mkdir()
    breast_cancer(folder)
    (folder / "imaging.csv").unlink()
    found = checked(hansa("demo", "--json", "--data", str(folder), "--label", "malignant", tmp=tmp_path), tmp_path)
    assert found["engine"] == "additive"
    assert set(found["bytes_sent"]) == {"clinic", "laboratory"}
    assert found["auc"] == pytest.approx(found["auc_pooled"], abs=0.002)


@pytest.mark.slow
def test_the_road_through_simulated_hardware_is_marked_insecure(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the extra 'enclave' is not installed")
    pytest.importorskip("xgboost", reason="the extra 'enclave' is not installed")
    found = checked(hansa("demo", "--engine", "enclave", "--json", tmp=tmp_path), tmp_path)
    assert found["engine"] == "enclave"
    assert found["trust"] == [
        "INSECURE: insecure-tee only pretends to be in trusted hardware: whoever runs it reads all inputs of clinic, "
        "laboratory and imaging"
    ]
    assert found["auc"] == pytest.approx(found["auc_pooled"], abs=0.002)
    assert found["trees"]["auc"] == pytest.approx(found["trees"]["auc_pooled"], abs=0.002)
    assert set(found["bytes_sent"]) == {"clinic", "laboratory", "imaging"}


@pytest.mark.slow
def test_credit_default(tmp_path: Path) -> None:
    if not CREDIT.is_dir():
        pytest.skip(f"no real data in {CREDIT}: the acceptance test was NOT run")
    found = checked(hansa("demo", "--json", "--data", str(CREDIT), tmp=tmp_path), tmp_path)
    assert found["rows"] == 24_811
    assert found["auc"] == pytest.approx(found["auc_pooled"], abs=0.002)
    assert 0.71 <= found["auc_pooled"] <= 0.74
    assert found["trees"]["reference"].startswith("XGBoost ")
    assert found["trees"]["auc"] == pytest.approx(found["trees"]["auc_pooled"], abs=0.003)
    assert found["trees"]["auc"] > found["trees"]["auc_alone"] + 0.05
