"""The dry run of a contract: its costs on the links as measured, and what an operator is warned of."""

from types import SimpleNamespace

import pytest
from support.contracts import TEXT, TREES, build, offers

from hansa.node.contracts.plan import DryRun


class Data:
    """The datasets of a node: one table, or none."""

    def __init__(self, rows):
        self.rows = rows

    def all(self):
        kinds = {"id": "text", "age": "number", "income": "number", "city": "text", "default": "number"}
        columns = [{"name": name, "kind": kind} for name, kind in kinds.items()]
        clients = {"name": "clients", "rows": self.rows, "columns": columns, "key": ["id"], "label": "default"}
        return [clients | {"schema_digest": "00" * 32}] if self.rows else []


class Links:
    """Links to peers, each with the latency that was measured."""

    def __init__(self, latencies):
        self.latencies = latencies

    def link(self, identity):
        if identity not in self.latencies:
            return None
        return SimpleNamespace(conn=SimpleNamespace(latency_s=self.latencies[identity]))


def plan(contract, *, me=b"a" * 32, rows=20_000, latencies=None):
    return DryRun(me, Data(rows), Links(latencies or {})).plan(contract)


def test_the_slowest_link_and_the_own_rows_decide():
    near, far = (plan(build(), latencies={b"b" * 32: 0.001, b"c" * 32: slowest}) for slowest in (0.002, 0.2))
    assert near["cost"]["notes"][:2] == [
        "for 20000 common rows, as many as this node has",
        "a round trip of 2.0 ms, as measured",
    ]
    assert far["cost"]["seconds"] > near["cost"]["seconds"]
    assert far["cost"]["rounds"] == near["cost"]["rounds"]
    fewer = plan(build(), rows=2_000, latencies={b"b" * 32: 0.002})
    assert fewer["cost"]["bytes_per_party"] < near["cost"]["bytes_per_party"]


def test_what_is_not_known_is_assumed_and_said():
    notes = plan(build(), rows=0, latencies={b"b" * 32: None})["cost"]["notes"]
    assert notes[0] == "for 10000 common rows, a guess: this node has no table in it"
    assert notes[1] == "a round trip of 20 ms, assumed: nobody could be measured"


def test_who_makes_the_correlations():
    alone = plan(build())["cost"]
    assert alone["notes"][-1].endswith("more sent by each party for correlated random numbers")
    dealt = plan(build('dealer = "exchange"\n' + TEXT, offers("exchange")))["cost"]
    assert dealt["notes"][-1].endswith("more sent by exchange, who deals")
    none = plan(build('engine = "replicated"\n' + TEXT))["cost"]
    assert none["preprocessing_bytes"] == 0
    assert none["notes"][-1].endswith("MB/s assumed")


@pytest.mark.parametrize(
    ("output", "warned"),
    [
        ('weights = "all"', "the weights of every party's columns"),
        ('importance = "all"', "the importance of every party's columns"),
        ('training_metric = "all"', "the metric on the training rows"),
        ('scores = "all"', "scores of single rows"),
    ],
)
def test_what_is_opened_to_all_is_warned_of(output, warned):
    text = TREES if "importance" in output or "training" in output else TEXT
    (warning,) = (w for w in plan(build(text + f"[outputs]\n{output}\n"))["warnings"] if w.startswith(warned))
    assert warning not in plan(build(text))["warnings"]


def test_few_rows_strangers_and_columns_of_text():
    assert plan(build())["warnings"] == []
    assert plan(build(), rows=499)["warnings"][0].startswith("499 rows are few")
    assert plan(build(), me=b"x" * 32)["warnings"] == ["this node is not a party of the job and cannot submit it"]
    (left_out,) = plan(build(TREES))["warnings"]
    assert left_out == "bank's columns of text are left out: city; `categorical` takes them in"
    taken_in = TREES.replace('label = "default"', 'label = "default"\ncategorical = ["city"]')
    assert plan(build(taken_in))["warnings"] == []
