"""Correlation commands: what they ask, print and end with."""

from __future__ import annotations

import json
import re

import pytest

JOB = "4f1c4f1c4f1c4f1c"
ERROR = {"code": "peer-lost", "exit_code": 5, "message": "lab is gone", "remedy": "hansa doctor", "fields": {}}
AMOUNTS = {"triples": 65536, "bit_triples": 0, "bit_pairs": 0, "dabits": 0}


def test_correlations_are_made_and_waited_for(hansa, daemon, samples):
    daemon.answers["correlations.make"] = {"job": JOB, "bytes": 1_572_864}
    result = {"rows": 0, "made": {"triples": 65536}, "seconds": 1.0, "rounds": 3, "bytes_sent": 5, "steps": {}}
    done = samples.job("done", kind="correlations", result=result, model=None)
    daemon.answers["job.show"] = done
    code, out, _ = hansa("correlations", "make", "lab", "--triples", "60_000")
    assert code == 0
    assert daemon.calls[0] == ("correlations.make", {"peers": ["lab"], "amounts": {**AMOUNTS, "triples": 60_000}})
    assert "it leaves 1.5 MiB at each party" in out
    assert re.search(r"triples +65,536", out)
    assert out.splitlines()[-1] == "next: hansa correlations list"
    code, out, _ = hansa("correlations", "make", "--like", "4f1c", "--dabits", "1e6", "--json")
    assert json.loads(out) == {"job": JOB, "made": {"triples": 65536}}
    asked = {"peers": [], "amounts": {"triples": 0, "bit_triples": 0, "bit_pairs": 0, "dabits": 10**6}, "like": "4f1c"}
    assert daemon.calls[3] == ("correlations.make", asked)
    daemon.answers["job.show"] = samples.job("refused", kind="correlations", error=ERROR)
    assert hansa("correlations", "make", "lab", "--triples", "1")[0] == 6


@pytest.mark.parametrize(
    "words", [["make", "lab"], ["make", "lab", "--triples", "many"], ["make", "lab", "--dabits", "inf"]]
)
def test_amounts_that_say_nothing(words, hansa, daemon):
    code, _, err = hansa("correlations", *words)
    assert code == 2
    assert "nothing to make" in err or "must be a number" in err
    assert daemon.calls == []


def test_correlations_are_listed_and_dropped(hansa, daemon):
    daemon.answers["correlations.list"] = []
    assert "Nothing is made ahead." in hansa("correlations", "list")[1]
    held = {"peers": ["lab", "shop"], "amounts": AMOUNTS, "bytes": 1_572_904, "made": 1_790_000_000}
    daemon.answers["correlations.list"] = [held]
    assert json.loads(hansa("correlations", "list", "--json")[1]) == [held]
    out = hansa("correlations", "list")[1]
    assert re.search(r"lab, shop +65,536 +0 +0 +0 +1.5 MiB", out)
    daemon.answers["correlations.drop"] = {"sets": 1, "bytes": 1_572_904}
    assert "Dropped 1.5 MiB." in hansa("correlations", "drop", "lab", "shop")[1]
    assert daemon.calls[-1] == ("correlations.drop", {"peers": ["lab", "shop"], "everything": False})
    daemon.answers["correlations.drop"] = {"sets": 0, "bytes": 0}
    assert "nothing to drop" in hansa("correlations", "drop", "--all")[1]
