"""Model commands: what they ask, print and end with."""

from __future__ import annotations

import json
import re

import pytest

JOB = "4f1c4f1c4f1c4f1c"
ERROR = {"code": "peer-lost", "exit_code": 5, "message": "lab is gone", "remedy": "hansa doctor", "fields": {}}
MODEL = {
    "model": JOB,
    "name": "credit-default",
    "engine": "additive",
    "enclave": None,
    "insecure_simulated": False,
    "algorithm": "lr",
    "created": 1_790_000_000,
    "parties": ["bank", "lab"],
    "rows": 24811,
    "test_rows": 4962,
    "metrics": {"auc": 0.72512},
    "purpose": "predict default",
    "columns": [{"name": "a", "coefficient": 0.5}, {"name": "b", "coefficient": None}],
    "intercept": -1.0,
    "intercept_holder": "bank",
    "coefficients_are": "of standardised columns",
    "label": {"party": "bank", "column": "default"},
    "scores_to": ["bank"],
    "released": None,
}


def test_models(hansa, daemon):
    daemon.answers |= {"model.list": [MODEL], "model.show": MODEL, "model.release": {"job": "77" * 8}}
    assert re.search(r"credit-default +lr +additive +bank, lab +24,811 +0\.7251", hansa("model", "list")[1])
    inside = MODEL | {"engine": "enclave", "enclave": "vault", "insecure_simulated": True}
    daemon.answers |= {"model.list": [inside], "model.show": inside}
    for words in (["list"], ["show", JOB]):
        assert "enclave (vault), INSECURE: simulated" in hansa("model", *words)[1]
    daemon.answers |= {"model.show": MODEL}
    out = hansa("model", "show", JOB)[1]
    assert "Opened to this node (of standardised columns):" in out
    assert re.search(r"^a +\+0\.5000$", out, re.MULTILINE)
    assert re.search(r"^label +default of bank$", out, re.MULTILINE)
    assert "next: hansa job watch 7777" in hansa("model", "release", JOB)[1]
    daemon.answers["model.list"] = []
    assert "No models yet." in hansa("model", "list")[1]


@pytest.fixture
def scored(daemon, tmp_path, samples):
    """A prediction whose scores were opened to this node."""
    path = tmp_path / "scores.csv"
    path.write_text("id,score\n" + "".join(f"c{n},0.{n:02}\n" for n in range(12)))
    daemon.answers |= {
        "model.predict": {"job": JOB},
        "job.show": samples.job(kind="predict", result={"rows": 12, "scores": str(path)}, scores=str(path)),
    }
    return path


def test_predict_prints_scores(hansa, daemon, scored):
    code, out, _ = hansa("model", "predict", "4f1c", "--data", "june", "--with", "lab=july")
    assert code == 0
    assert daemon.calls[0] == ("model.predict", {"model": "4f1c", "data": "june", "with": {"lab": "july"}})
    assert "c9   0.09\n… 2 more in" in out
    assert json.loads(hansa("model", "predict", "4f1c", "--data", "june", "--json")[1]) == {
        "job": JOB,
        "rows": 12,
        "path": str(scored),
    }


def test_predict_writes_scores(hansa, scored, tmp_path):
    target = tmp_path / "out.csv"
    code, out, _ = hansa("model", "predict", "4f1c", "--data", "june", "--out", str(target))
    assert code == 0
    assert f"Wrote 12 scores to {target}." in out
    assert target.read_text() == scored.read_text()
    code, _, err = hansa("model", "predict", "4f1c", "--data", "june", "--out", str(tmp_path / "no" / "x.csv"))
    assert code == 2
    assert "is not a folder to write to" in err


def test_predict_for_others(hansa, daemon, scored, samples):
    daemon.answers["job.show"] = samples.job(kind="predict", scores=None)
    assert "opened to other parties only" in hansa("model", "predict", "4f1c", "--data", "june")[1]
    daemon.answers["job.show"] = samples.job("failed", error=ERROR)
    assert hansa("model", "predict", "4f1c", "--data", "june")[0] == 5
