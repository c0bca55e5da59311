"""`hansa bench` prints what it promises, for small sizes."""

from __future__ import annotations

import json

import pytest

from hansa.node.cli.main import main


@pytest.mark.parametrize(("operation", "options"), [("less", []), ("lr", ["--d", "6", "--batch", "32"])])
def test_a_line_of_json(operation: str, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", operation, "--n", "200", "--repeat", "1", "--json", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bench"] == operation
    assert found["engine"] == "replicated"
    assert found["rounds"] > 0
    assert len(found["bytes_sent_per_party"]) == found["parties"] == 3
    assert found["max_abs_error"] < 2**-6
    assert found["preprocessing_seconds"] == 0.0


@pytest.mark.parametrize(
    "operation", ["less", *(pytest.param(name, marks=pytest.mark.slow) for name in ("reciprocal", "select-sum", "ot"))]
)
@pytest.mark.parametrize("dealer", [[], ["--dealer"]])
def test_the_additive_engine(operation: str, dealer: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--engine", "additive", "--parties", "2", "--n", "300", "--d", "2", "--repeat", "1", "--json", *dealer]
    assert main(["bench", operation, *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["engine"], found["parties"], found["dealer"]) == ("additive", 2, bool(dealer))
    assert len(found["bytes_sent_per_party"]) == len(found["preprocessing_bytes_per_party"]) == 2
    assert ("dealer_bytes" in found) == bool(dealer)
    assert found["max_abs_error"] < 2**-12


def test_a_dealer_goes_with_the_additive_engine_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "less", "--dealer"]) == 2
    assert "next: hansa bench less --engine additive --parties 3" in capsys.readouterr().err


def test_through_the_relay(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "mul", "--n", "64", "--repeat", "1", "--json", "--latency", "5ms"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["seconds"] >= found["rounds"] * 0.005


def test_bad_options_end_with_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "lr", "--latency", "fast"]) == 2
    assert "next: hansa bench" in capsys.readouterr().err
