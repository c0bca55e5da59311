"""Job commands: what they ask, print and end with."""

from __future__ import annotations

import json
import re

import pytest

from hansa.node.cli import job_progress
from hansa.protocols.errors import ConsentError

JOB = "4f1c4f1c4f1c4f1c"
ERROR = {"code": "peer-lost", "exit_code": 5, "message": "lab is gone", "remedy": "hansa doctor", "fields": {}}
PLAN = {
    "contract": {
        "name": "credit-default",
        "purpose": "predict default",
        "algorithm": "lr",
        "params": {"epochs": 10, "learning_rate": 0.5},
        "engine": "replicated",
        "test_fraction": 0.2,
        "model": None,
        "outputs": {"scores": "label-owner", "weights": "owner"},
        "parties": [{"name": "bank", "dataset": "clients", "columns": ["a", "b"], "label": "y"}],
    },
    "leakage": ["each party learns which rows are in common"],
    "trust": ["any two of bank, lab and shop together could read all inputs"],
    "engine": {"name": "replicated", "why": "the job file names it"},
    "cost": {
        "rounds": 5200,
        "bytes_per_party": 3 << 20,
        "memory_mb": 210,
        "seconds": 42.0,
        "notes": ["100 MB/s assumed"],
    },
    "warnings": ["500 rows are few"],
}


@pytest.fixture
def job_file(tmp_path):
    path = tmp_path / "job.toml"
    path.write_text('name = "credit-default"\n')
    return path


def test_plan_says_it_in_words(hansa, daemon, job_file):
    daemon.answers["job.plan"] = PLAN
    code, out, _ = hansa("job", "plan", str(job_file))
    assert code == 0
    assert "trains    lr (epochs 10, learning_rate 0.5)" in out
    assert "held out  20 % of the rows in common" in out
    assert "  - each party learns which rows are in common" in out
    assert "engine    replicated (the job file names it)" in out
    assert "to learn more\n  - any two of bank, lab and shop together could read" in out
    assert "  - about 42 s: 5,200 round trips, 3.0 MiB sent by each party, 210 MB of memory at each" in out
    assert "! 500 rows are few" in out
    assert out.splitlines()[-1] == f"next: hansa job submit {job_file}   (nobody has been asked yet)"
    assert daemon.calls == [("job.plan", {"file_text": job_file.read_text(), "file_name": str(job_file)})]
    assert json.loads(hansa("job", "plan", str(job_file), "--json")[1]) == PLAN


def test_what_trees_add_to_a_plan(hansa, daemon, job_file):
    params = {"objective": "reg:squarederror", "n_estimators": 20, "missing": True}
    outputs = {"scores": "none", "importance": "owner", "training_metric": "none"}
    bank = {"name": "bank", "dataset": "clients", "columns": ["a"], "label": "y", "categorical": [], "weight": "w"}
    towns = [f"town_{number}" for number in range(9)]
    lab = bank | {"name": "lab", "label": None, "weight": None, "columns": towns, "categorical": towns}
    contract = PLAN["contract"] | {"algorithm": "gbdt", "params": params, "outputs": outputs, "parties": [bank, lab]}
    daemon.answers["job.plan"] = PLAN | {"contract": contract}
    out = hansa("job", "plan", str(job_file))[1]
    assert "trains    gbdt (objective reg:squarederror, n_estimators 20, missing true)" in out
    assert re.search(r"^outputs +scores to none, importance to owner$", out, re.MULTILINE)
    assert re.search(r"^party +dataset +columns +label +weight +categorical$", out, re.MULTILINE)
    assert re.search(r"^bank +clients +1 +y +w +-$", out, re.MULTILINE)
    assert re.search(r"^lab +clients +9 +- +- +town_0, town_1, town_2, town_3, town_4.*…$", out, re.MULTILINE)


@pytest.mark.parametrize("verb", ["plan", "submit"])
def test_a_job_file_that_cannot_be_read(verb, hansa, daemon, tmp_path):
    code, _, err = hansa("job", verb, str(tmp_path / "none.toml"))
    assert code == 3
    assert "none.toml cannot be read: No such file or directory" in err
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    assert "cannot be read: 'utf-8' codec" in hansa("job", verb, str(tmp_path / "bytes.toml"))[2]
    (tmp_path / "long.toml").write_bytes(b"#" * ((1 << 20) + 1))
    assert "it is longer than 1 MiB" in hansa("job", verb, str(tmp_path / "long.toml"))[2]
    assert daemon.calls == []


def test_submit_prints_the_id_and_what_is_next(hansa, daemon, job_file):
    daemon.answers["job.submit"] = {"job": JOB}
    code, out, _ = hansa("job", "submit", str(job_file))
    assert code == 0
    assert out.startswith(f"Proposed the job {JOB} to its parties.\nnext: hansa job watch {JOB}")
    assert json.loads(hansa("job", "submit", str(job_file), "--json")[1]) == {"job": JOB}


def test_submit_and_watch(hansa, daemon, job_file, samples):
    daemon.answers |= {"job.submit": {"job": JOB}, "job.show": samples.job()}
    daemon.events = [samples.event("step"), samples.event(done=10)]
    code, out, _ = hansa("job", "submit", str(job_file), "--watch")
    assert code == 0
    assert "bank: train  50 %  120 round trips, 2.0 KiB sent, 4.0 s" in out
    assert re.search(r"^AUC +0\.7251$", out, re.MULTILINE)
    assert re.search(r"^intercept +-1\.0000\nb +-1\.2500\na +\+0\.5000$", out, re.MULTILINE)
    assert f"next: hansa model show {JOB}" in out


def test_watch_as_json_lines(hansa, daemon, samples):
    daemon.answers["job.show"] = samples.job()
    daemon.events = [samples.event(), samples.event("state", text="running")]
    code, out, _ = hansa("job", "watch", JOB, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [line["kind"] for line in lines] == ["progress", "state", "end"]
    assert lines[-1]["detail"]["result"]["rows"] == 24811


@pytest.mark.parametrize(
    ("state", "error", "code", "said"),
    [
        ("failed", ERROR, 5, "error: lab is gone\n  next: hansa doctor"),
        ("failed", None, 7, "the job 'credit-default' is failed"),
        ("refused", {**ERROR, "exit_code": 6, "message": "lab refused"}, 6, "error: lab refused"),
        ("expired", None, 6, "is expired"),
        ("cancelled", None, 6, "is cancelled"),
    ],
)
def test_watch_ends_with_the_jobs_error(state, error, code, said, hansa, daemon, samples):
    daemon.answers["job.show"] = samples.job(state, error=error)
    got, _, err = hansa("job", "watch", JOB)
    assert got == code
    assert said in err
    assert "\n  next: hansa" in err
    assert hansa("job", "watch", JOB, "--json")[0] == code


def test_ctrl_c_leaves_the_job_running(hansa, daemon, monkeypatch, samples):
    daemon.events = [samples.event()]

    def interrupt(self, event):
        raise KeyboardInterrupt

    monkeypatch.setattr(job_progress.Lines, "event", interrupt)
    code, _, err = hansa("job", "watch", JOB)
    assert code == 130
    assert err == f"Stopped watching; the job goes on.\n  next: hansa job watch {JOB}\n"
    assert [method for method, _ in daemon.calls] == ["job.watch"]


def test_list_and_show(hansa, daemon, samples):
    short = samples.job() | {"parties": ["bank", "lab"]}
    daemon.answers |= {
        "job.list": [short],
        "job.show": samples.job("proposed", waiting_for=["lab"], approval_needed=True),
    }
    assert f"{JOB}  credit-default  train  done   bank         bank, lab" in hansa("job", "list")[1]
    out = hansa("job", "show", JOB)[1]
    assert "waits for lab" in out
    assert re.search(r"^lab +tests +1 +- +waiting$", out, re.MULTILINE)
    assert "what each party will learn, and nothing else" in out
    assert f"next: hansa job approve {JOB}" in out
    daemon.answers["job.show"] = samples.job("failed", error=ERROR)
    assert "error: lab is gone\n  next: hansa doctor" in hansa("job", "show", JOB)[1]
    daemon.answers["job.list"] = []
    assert "No jobs yet." in hansa("job", "list")[1]


def test_logs(hansa, daemon):
    daemon.answers["job.logs"] = [{"time": 1.79e9, "text": "bank: train"}, {"time": None, "text": "from the worker"}]
    lines = hansa("job", "logs", JOB)[1].splitlines()
    assert lines[0].endswith("  bank: train")
    assert lines[1] == "-  from the worker"


def test_decisions(hansa, daemon):
    daemon.answers |= dict.fromkeys(["job.approve", "job.refuse"], {"job": JOB})
    daemon.answers["job.cancel"] = ConsentError("it is done already", remedy="see `hansa job list`")
    assert hansa("job", "approve", "4f1c")[0] == 0
    assert hansa("job", "refuse", "4f1c", "--reason", "no basis")[0] == 0
    assert hansa("job", "cancel", "4f1c")[0] == 6
    assert daemon.calls == [
        ("job.approve", {"job": "4f1c"}),
        ("job.refuse", {"job": "4f1c", "reason": "no basis"}),
        ("job.cancel", {"job": "4f1c", "reason": "cancelled by its operator"}),
    ]


def test_of_logistic_regression_an_enclave_heeds_one_parameter(hansa, daemon, job_file):
    contract = PLAN["contract"] | {"enclave": "vault", "enclave_votes": 2, "params": {"epochs": 10, "l2": 0.5}}
    daemon.answers["job.plan"] = PLAN | {"contract": contract}
    out = hansa("job", "plan", str(job_file))[1]
    assert "lr (l2 0.5, to convergence by scikit-learn)" in out
    assert "epochs" not in out


def test_an_empty_job_file_is_named(hansa, tmp_path):
    (tmp_path / "job.toml").write_text(" \n")
    code, _, err = hansa("job", "plan", str(tmp_path / "job.toml"))
    assert (code, "job.toml cannot be read: it is empty" in err) == (3, True)


def test_a_job_with_a_dealer(hansa, daemon, samples):
    """At the dealer: who it is, what it could do, and what it sent."""
    dealer = {"name": "exchange", "role": "dealer", "dataset": None, "columns": [], "label": None, "consent": "signed"}
    result = {"rows": 0, "test_rows": 0, "metrics": None, "weights": {}, "released": None, "scores": "", "steps": {}}
    result |= {
        "rounds": 40,
        "bytes_sent": 3 << 20,
        "seconds": 12.5,
        "preprocessing": {"bytes_sent": 3 << 20, "seconds": 2.5},
    }
    shown = samples.job(trust=["exchange deals random numbers"], result=result, metrics=None, model=None)
    shown["parties"].append(dealer)
    shown["contract"] |= {"engine": "additive", "dealer": "exchange"}
    daemon.answers["job.show"] = shown
    out = hansa("job", "show", JOB)[1]
    assert re.search(r"^dealer +exchange$", out, re.MULTILINE)
    assert re.search(r"exchange +deals +0 +- +signed", out)
    assert "who would have to work together to learn more\n  - exchange deals random numbers" in out
    assert "3.0 MiB sent by this node, 2.5 s and 3.0 MiB of it for correlated random numbers" in out
    assert "rows in common" not in out.split("took")[1]
    assert out.splitlines()[-1] == "next: hansa audit show"


def test_a_job_says_what_was_made_ahead(hansa, daemon, samples):
    shown = samples.job("done")
    shown["result"] |= {"drawn": {"triples": 1000, "dabits": 64}, "stored": {"triples": 65536, "dabits": 0}}
    daemon.answers["job.show"] = shown
    assert "made ahead      1,000 of 1,000 triples, 0 of 64 daBits" in hansa("job", "show", JOB)[1]
    making = samples.job("running", kind="correlations", result=None)
    making["contract"] = {"kind": "correlations", "params": {"triples": 70000, "dabits": 0}, "test_fraction": 0.0}
    daemon.answers["job.show"] = making
    out = hansa("job", "show", JOB)[1]
    assert "70,000 triples" in out
    assert "held out" not in out
