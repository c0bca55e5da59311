"""`hansa bench` measures what it promises, tells right from wrong, and refuses what it cannot measure."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.engines import ENGINES

from hansa.node.cli.main import main
from hansa.node.lab.bench import operators, two_party
from hansa.node.lab.bench.catalogue import CATALOGUE, KINDS, Size
from hansa.node.lab.bench.measure import BUILDS
from hansa.node.lab.bench.operators import OPERATORS, Operator
from hansa.protocols.mpc import operators as op

FIELDS = {
    "bench": str,
    "engine": str,
    "parties": int,
    "dealer": bool,
    "n": int,
    "seconds": float,
    "rounds": int,
    "bytes_sent_per_party": int,
    "online_bytes_per_party": list,
    "preprocessing_bytes_per_party": list,
    "preprocessing_seconds": float,
    "setup_seconds": float,
    "processor_seconds_per_party": list,
    "max_abs_error": float,
    "rest_rss_mb": float,
    "peak_rss_mb": float,
    "suite": str,
    "latency_s": float,
}


def measured(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main(["bench", *argv, "--repeat", "1", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert {name: type(found[name]) for name in FIELDS} == FIELDS
    parts = zip(found["online_bytes_per_party"], found["preprocessing_bytes_per_party"], strict=True)
    assert found["bytes_sent_per_party"] == max(online + ahead for online, ahead in parts) > 0
    for name in ("online_bytes_per_party", "processor_seconds_per_party"):
        assert len(found[name]) == found["parties"]
    assert 0 <= found["preprocessing_seconds"] <= found["seconds"]
    assert found["rest_rss_mb"] <= found["peak_rss_mb"]
    return found


# --- between processes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "options"),
    [("less", []), pytest.param("lr", ["--d", "6", "--batch", "32"], marks=pytest.mark.slow)],
)
def test_a_line_of_json(operation: str, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(capsys, operation, "--n", "200", *options)
    assert (found["bench"], found["engine"], found["parties"]) == (operation, "replicated", 3)
    assert found["rounds"] > 0
    assert found["max_abs_error"] < 2**-6
    assert found["preprocessing_seconds"] == 0.0


@pytest.mark.parametrize(
    "operation", ["less", *(pytest.param(name, marks=pytest.mark.slow) for name in ("reciprocal", "select-sum", "ot"))]
)
@pytest.mark.parametrize("dealer", [[], pytest.param(["--dealer"], marks=pytest.mark.slow)])
def test_the_additive_engine(operation: str, dealer: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    columns = ["--d", "2"] if operation == "select-sum" else []
    found = measured(capsys, operation, "--engine", "additive", "--n", "300", *columns, *dealer)
    assert (found["engine"], found["parties"], found["dealer"]) == ("additive", 2, bool(dealer))
    assert ("dealer_bytes" in found) == bool(dealer)
    assert found["max_abs_error"] < 2**-12


@pytest.mark.parametrize(("ot", "name"), [("silent", "silent"), ("softspoken", "softspoken-4")])
def test_a_source_of_transfers(ot: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(capsys, "less", "--engine", "additive", "--n", "300", "--ot", ot)
    assert found["ot"] == name
    assert found["max_abs_error"] == 0


def test_a_source_of_transfers_needs_the_engine_that_has_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "less", "--ot", "silent"]) != 0
    assert "only the engine additive without a dealer chooses" in capsys.readouterr().err


@pytest.mark.slow
def test_with_correlations_made_ahead(capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(capsys, "less", "--engine", "additive", "--parties", "3", "--n", "300", "--ahead")
    assert found["making_seconds"] > 0
    assert max(found["preprocessing_bytes_per_party"]) < 10_000  # names of parcels
    assert found["max_abs_error"] == 0.0


def test_through_the_relay(capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(capsys, "mul", "--n", "64", "--latency", "5ms")
    assert found["seconds"] >= found["rounds"] * 0.005


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    "options", [["--parties", "4"], ["--engine", "additive", "--dealer"], ["--engine", "additive"]]
)
def test_all_in_one_table(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "all", "--n", "64", "--d", "5", "--batch", "16", *options]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["bench", *CATALOGUE]


# --- in one process --------------------------------------------------------------------------------------------------


def test_what_is_listed_can_be_measured() -> None:
    assert set(BUILDS) == set(CATALOGUE)


async def errors(operator: Operator, size: Size, engine: str = "replicated") -> list[float]:
    async def protocol(e: Any) -> float:
        operation = await operators.build(operator, e, size)
        await operation.timed()
        return (await operation.facts())["max_abs_error"]

    return await ENGINES[engine](protocol)


@pytest.mark.parametrize("name", list(OPERATORS))
@pytest.mark.parametrize("n", [2, 70])
async def test_every_operator_is_right(name: str, n: int) -> None:
    size = replace(CATALOGUE[name].usual, n=n)
    bound = 2**-11 if name in ("exp", "sigmoid") else 2**-14
    assert max(await errors(OPERATORS[name], replace(size, d=size.d and 3))) < bound


@pytest.mark.parametrize(
    "wrong",
    [
        replace(OPERATORS["mul"], plain=np.add),
        replace(OPERATORS["less"], plain=np.greater),
        replace(OPERATORS["a2b"], plain=lambda x: ~OPERATORS["a2b"].plain(x)),
        replace(OPERATORS["argmax"], plain=lambda x: (x.max(), x.argmin())),
        replace(OPERATORS["b2a"], call=lambda e, x: e.b2a(op.not_bits(e, x))),
        replace(OPERATORS["uniform"], call=lambda e, x: e.truncate(x, 1)),
        replace(OPERATORS["shuffle"], call=lambda e, x: e.truncate(x, 1)),
    ],
)
async def test_an_operator_that_errs_is_seen(wrong: Operator) -> None:
    assert min(await errors(wrong, Size(70))) >= 0.5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 64, 1000])
async def test_transfers_are_checked(kind: str, n: int) -> None:
    async def protocol(e: Any) -> dict[str, float]:
        operation = await two_party.ot(e, Size(n, kind=kind, w=2))
        await operation.timed()
        return await operation.facts()

    assert await ENGINES["replicated"](protocol) == [{"max_abs_error": 0.0}, {"max_abs_error": 0.0}, {}]


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_transfers_are_counted(kind: str) -> None:
    size = Size(70, kind=kind)
    zeros = np.zeros(2 if kind == "random" else 70, dtype=np.uint64)
    ones = zeros + np.uint64(1)
    sent = {"random": [zeros, zeros], "correlated": [zeros], "one-of-16": []}[kind]
    taken = {"random": [zeros, ones], "correlated": [ones], "one-of-16": [ones]}[kind]
    assert two_party._wrong(size, sent, taken) > 0


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["less", "--dealer"], "next: hansa bench less --engine additive --parties 3"),
        (["less", "--parties", "2", "--engine", "replicated"], "three parties or more"),
        (["all", "--parties", "2", "--engine", "replicated"], "three parties or more"),
        (["less", "--n", "0"], "whole number from 1"),
        (["mul", "--n", "1000000000"], "choose a smaller --n"),
        (["sort", "--n", "5000000"], "takes n from 1 to 4194304"),
        (["lr", "--n", "5"], "takes n from 20"),
        (["lr", "--d", "2"], "too few for 3 parties"),
        (["less", "--d", "4"], "--d means nothing to less"),
        (["mul", "--kind", "random"], "--kind means nothing to mul"),
        (["lr", "--latency", "fast"], "next: hansa bench"),
        (["less", "--ahead"], "next: hansa bench less --engine additive --ahead"),
        (["less", "--engine", "additive", "--dealer", "--ahead"], "only the engine additive without a dealer uses"),
        (["sums"], "invalid choice"),
    ],
)
def test_refused_before_anything_starts(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(plan: object) -> None:
        raise AssertionError(f"{plan} was started")

    monkeypatch.setattr("hansa.node.lab.bench.measure.measure", started)
    try:
        code = main(["bench", *argv])
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    assert said in capsys.readouterr().err
