"""Every example is what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hansa.config import jobfile
from hansa.config.policy import load_policy

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize("name", ["breast-cancer.toml", "credit-default.toml", "by-hand/job.toml"])
def test_job_files(name: str) -> None:
    job = jobfile.parse((EXAMPLES / name).read_text(), name)
    assert len(job.parties) == 3


@pytest.mark.parametrize(
    ("name", "dealer"), [("two-banks.toml", None), ("two-banks-trees.toml", None), ("dealer.toml", "exchange")]
)
def test_two_banks(name: str, dealer: str | None) -> None:
    job = jobfile.parse((EXAMPLES / name).read_text(), name)
    assert (job.engine, job.dealer) == ("additive", dealer)
    assert [party.name for party in job.parties] == ["bank", "lender"]


def test_the_policy() -> None:
    policy = load_policy(EXAMPLES / "by-hand" / "policy.toml")
    assert [rule.action for rule in policy.rules] == ["refuse", "approve"]


def test_the_script() -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "in_memory.py")], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "x < y        [1 1 1 0]" in done.stdout
