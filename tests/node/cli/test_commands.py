"""What each command asks of the daemon, and what it prints."""

from __future__ import annotations

import json
import tomllib

import pytest

from hansa.config.settings import load_settings
from hansa.node.identity import load_identity
from hansa.protocols.errors import PeerLost


def test_init_makes_a_home(hansa, home):
    code, out, _ = hansa("init", "--name", "bank", "--port", "7400", "--advertise", "bank.example:7400")
    assert code == 0
    assert "next: hansa run" in out
    settings = load_settings(home)
    assert (settings.node.name, settings.listen.port) == ("bank", 7400)
    assert settings.listen.advertise == ("bank.example:7400",)
    assert (home / "identity.key").stat().st_mode & 0o777 == 0o600
    assert tomllib.loads((home / "policy.toml").read_text()) == {"default": "ask"}
    code, _, err = hansa("init")
    assert code == 3
    assert "is a node's home already" in err


def test_init_names_the_node_after_its_folder(hansa, tmp_path):
    folder = tmp_path / ".bank of  north"
    code, out, _ = hansa("init", "--home", str(folder), "--json")
    assert code == 0
    made = json.loads(out)
    assert made["name"] == "bank-of-north"
    assert set(made) == {"home", "name", "fingerprint", "identity", "key", "sealed"}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_init_seals_under_a_passphrase(hansa, home, monkeypatch):
    monkeypatch.setenv("HANSA_PASSPHRASE", "correct horse")
    assert json.loads(hansa("init", "--passphrase", "--json")[1])["sealed"] is True
    assert "sealed" in json.loads((home / "identity.key").read_text())


def test_init_asks_for_the_passphrase_twice(hansa, home, monkeypatch):
    monkeypatch.delenv("HANSA_PASSPHRASE", raising=False)
    answers = iter(["one", "two"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    code, _, err = hansa("init", "--passphrase")
    assert code == 3
    assert "not the same twice" in err
    assert not (home / "identity.key").exists()


def test_init_where_nothing_can_be_written(hansa, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = hansa("init", "--home", str(tmp_path / "file" / "home"))
    assert code == 3
    assert "cannot be written: Not a directory" in err


def test_run_needs_a_home(hansa, home):
    code, _, err = hansa("run")
    assert code == 3
    assert f"next: make one with `hansa init --home {home}`" in err


def test_run_reports_when_it_is_ready(hansa, home, monkeypatch):
    hansa("init", "--name", "bank")
    monkeypatch.setattr("hansa.node.daemon.main", lambda folder, *, ready: ready(7400, "the-key"))
    code, out, _ = hansa("run")
    assert code == 0
    assert out.startswith("The node 'bank' is up and listens at 127.0.0.1:7400.")
    assert "the-key" not in out
    told = json.loads(hansa("run", "--json")[1])
    assert (told["port"], told["key"]) == (7400, "the-key")


def test_run_makes_the_keys_of_a_home_that_only_the_node_can_write(hansa, home, monkeypatch):
    monkeypatch.setattr("hansa.node.daemon.main", lambda folder, *, ready: ready(7400, load_identity(home).key_text))
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "hansa.toml").write_text('[node]\nname = "enclave"\n')
    code, out, _ = hansa("run", "--make-identity")
    key = load_identity(home).key_text
    assert (code, f"elsewhere: {key}" in out) == (0, True)
    assert f"elsewhere: {key}" in hansa("run", "--make-identity")[1]  # made once


@pytest.mark.parametrize("setting", ["backend", "accept"])
def test_run_says_that_hardware_is_only_simulated(hansa, home, monkeypatch, setting):
    monkeypatch.setattr("hansa.node.daemon.main", lambda folder, *, ready: ready(7400, ""))
    hansa("init", "--name", "bank", "--set", f'tee.{setting}="insecure-simulated"')
    assert "INSECURE: it " in hansa("run")[1]


def test_config_show_and_check(hansa, home):
    hansa("init", "--name", "bank")
    code, out, _ = hansa("config", "show")
    assert code == 0
    assert tomllib.loads(out)["node"] == {"name": "bank"}
    assert json.loads(hansa("config", "show", "--json")[1])["limits"]["max_jobs"] == 4
    assert hansa("config", "check")[0] == 0
    (home / "policy.toml").write_text('default = "ask"\n\n[[rule]]\nactoin = "approve"\n')
    code, _, err = hansa("config", "check")
    assert code == 3
    assert f"{home / 'policy.toml'}, line 3" in err
    (home / "policy.toml").unlink()
    assert "missing: this node asks about every job" in hansa("config", "check")[1]


def test_doctor(hansa, daemon):
    good = {"from": "bank", "to": "lab", "ok": True, "latency_ms": 1.0, "detail": "connected", "remedy": ""}
    bad = {"from": "lab", "to": "bureau", "ok": False, "latency_ms": None, "detail": "refused", "remedy": "start it"}
    daemon.answers["node.doctor"] = {"legs": [good]}
    assert hansa("doctor")[0] == 0
    daemon.answers["node.doctor"] = {"legs": [good, bad]}
    code, out, _ = hansa("doctor")
    assert code == 5
    assert "1 of 2 connections fail." in out
    assert "fix lab to bureau: start it" in out
    assert hansa("doctor", "--json")[0] == 5
    daemon.answers["node.doctor"] = {"legs": []}
    assert "no peers yet" in hansa("doctor")[1]


def test_peer_commands(hansa, daemon, samples):
    daemon.answers |= {
        "peer.invite": {"code": "hansa1-abc", "expires": 1, "expires_s": 600},
        "peer.join": {"peer": samples.peer()},
        "peer.add": {"peer": samples.peer()},
        "peer.list": [samples.peer(), samples.peer("bureau", online=False, last_seen_s=7200, latency_ms=None)],
        "peer.remove": {"removed": "lab", "note": "it stands in hansa.toml"},
    }
    assert hansa("peer", "invite", "--ttl", "10m")[1].startswith("hansa1-abc\n\nGood once, for 10 min")
    assert "ziba-jufa-lusi-mibi" in hansa("peer", "join", "hansa1-abc")[1]
    assert hansa("peer", "add", "lab", "--key", "aa.bb", "--address", "h:1")[0] == 0
    out = hansa("peer", "list")[1]
    assert "2 h ago" in out
    assert "online" in out
    code, out, _ = hansa("peer", "remove", "lab")
    assert code == 0
    assert "it stands in hansa.toml" in out
    assert daemon.calls == [
        ("peer.invite", {"ttl_s": 600}),
        ("peer.join", {"code": "hansa1-abc"}),
        ("peer.add", {"name": "lab", "key": "aa.bb", "address": "h:1"}),
        ("peer.list", {}),
        ("peer.remove", {"peer": "lab"}),
    ]
    daemon.answers["peer.list"] = []
    assert "next: hansa peer invite" in hansa("peer", "list")[1]


DATASET = {
    "name": "clients",
    "path": "/data/clients.csv",
    "format": "csv",
    "rows": 27100,
    "columns": [
        {"name": "id", "kind": "text", "missing": 0},
        {"name": "age", "kind": "number", "min": 18.0, "max": 91.0, "missing": 3},
        {"name": "default", "kind": "number", "min": 0.0, "max": 1.0, "missing": 0},
    ],
    "key": ["id"],
    "label": "default",
    "schema_digest": "ab" * 32,
    "copied": False,
    "private": False,
    "added": 1_790_000_000,
}


def test_data_commands(hansa, daemon, tmp_path, monkeypatch):
    daemon.answers |= dict.fromkeys(["data.add", "data.show", "data.remove"], DATASET) | {"data.list": [DATASET]}
    monkeypatch.chdir(tmp_path)
    code, out, _ = hansa("data", "add", "clients.csv", "--key", "id, country", "--label", "default", "--private")
    assert code == 0
    assert "27,100 (known here only)" in out
    assert daemon.calls[-1] == (
        "data.add",
        {
            "path": str(tmp_path / "clients.csv"),
            "name": "clients",
            "key": ["id", "country"],
            "label": "default",
            "copy": False,
            "private": True,
        },
    )
    assert "clients  27,100        3  id   default  peers     /data/clients.csv" in hansa("data", "list")[1]
    shown = hansa("data", "show", "clients")[1].splitlines()
    assert "age      number            18        91        3" in shown
    assert json.loads(hansa("data", "show", "clients", "--json")[1]) == DATASET
    assert hansa("data", "remove", "clients")[0] == 0
    daemon.answers["data.list"] = []
    assert "No datasets yet." in hansa("data", "list")[1]


def test_audit_show(hansa, daemon):
    daemon.answers["audit.show"] = [
        {"seq": 1, "time": 1.79e9, "kind": "peer-pinned", "body": {"identity": "af" * 32, "peer": "lab"}, "hash": ""},
        {"seq": 2, "time": 1.79e9, "kind": "opening", "body": {"to": ["bank", "lab"], "what": "metrics"}, "hash": ""},
    ]
    lines = hansa("audit", "show", "--since", "0", "--limit", "2")[1].splitlines()
    assert lines[0].endswith("peer-pinned     identity afafafafafafafaf…, peer lab")
    assert lines[1].endswith("to bank + lab, what metrics")
    assert lines[2] == "next: hansa audit show --since 2   (there may be more)"
    daemon.answers["audit.show"] = []
    assert hansa("audit", "show")[1] == "Nothing has been logged yet.\n"


def test_audit_verify(hansa, daemon):
    good = {"ok": True, "entries": 12, "heads_checked": [{"peer": "lab", "count": 2, "ok": True}]}
    good |= {"unreachable": ["bureau"], "problem": None}
    daemon.answers["audit.verify"] = good
    code, out, _ = hansa("audit", "verify")
    assert code == 0
    assert "lab holds 2 signed heads" in out
    assert "bureau could not be asked" in out
    daemon.answers["audit.verify"] = good | {"ok": False, "problem": "the log is shorter"}
    code, out, _ = hansa("audit", "verify")
    assert code == 8
    assert "The log is not what it was: the log is shorter" in out


def test_status_of_a_quiet_node(hansa, daemon, samples):
    daemon.answers["node.status"] = samples.status()
    code, out, _ = hansa("status")
    assert code == 0
    assert out.splitlines()[0] == "bank  pilo-patu-pudo-kivu  hansa 0.1.0, up 1 min 1 s, 1 dataset, 43.0 MB"
    assert "lab   online     1.37 ms  0.1.0    ziba-jufa-lusi-mibi  127.0.0.1:34439" in out
    assert out.splitlines()[-1] == "next: hansa job plan FILE.toml"
    assert json.loads(hansa("status", "--json")[1]) == samples.status()
    assert hansa("status", "--key")[1].strip() == samples.status()["key"]


@pytest.mark.parametrize(
    ("changed", "following"),
    [
        (lambda samples: {"peers": []}, "peer invite"),
        (lambda samples: {"peers": [samples.peer(online=False)]}, "doctor"),
        (lambda samples: {"datasets": 0}, "data add FILE.csv --key COLUMN"),
        (lambda samples: {"jobs": [samples.glance(3)]}, "job watch 0000000000000003"),
        (lambda samples: {"jobs": [samples.glance(3, state="done")]}, "job plan FILE.toml"),
    ],
)
def test_status_says_what_comes_next(changed, following, hansa, daemon, samples):
    daemon.answers["node.status"] = samples.status(**changed(samples))
    assert hansa("status")[1].splitlines()[-1].startswith(f"next: hansa {following}")


def test_status_of_a_busy_node_fits_the_screen(hansa, daemon, samples):
    long = "a purpose that goes on and on " * 5
    approval = {"name": "n" * 60, "kind": "train", "proposer": "lab", "purpose": long, "expires_in_s": 99}
    approval |= {"role": "dealer", "trust": []}
    daemon.answers["node.status"] = samples.status(
        peers=[samples.peer(f"peer-{n:02}", online=n % 2 == 0) for n in range(30)],
        jobs=[samples.glance(n, waiting_for=["bureau", "lab"], name="j" * 60) for n in range(40)],
        approvals=[approval | {"job": f"{n:016x}"} for n in range(20)],
        warnings=[{"text": long, "remedy": "hansa doctor"} for _ in range(20)],
        candidates=[{"instance": "x", "address": f"10.0.0.{n}:1"} for n in range(9)],
        addresses=[f"address-{n}.example:7400" for n in range(9)],
    )
    lines = hansa("status")[1].splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    assert any(line.endswith("more: hansa peer list") for line in lines)
    assert sum("more: hansa job list" in line for line in lines) == 2
    assert lines[-1].startswith("next: hansa job show 0000000000000000")


def test_status_shows_who_waits_for_whom(hansa, daemon, samples):
    daemon.answers["node.status"] = samples.status(
        jobs=[samples.glance(1, state="proposed", waiting_for=["bureau"]), samples.glance(2)]
    )
    out = hansa("status")[1]
    assert "waits for bureau" in out
    assert "train 30 %" in out


def test_a_busy_daemon_that_dies_is_one_sentence(hansa, daemon):
    daemon.answers["node.status"] = PeerLost("gone", remedy="hansa doctor")
    assert hansa("status")[2] == "error: gone\n  next: hansa doctor\n"


TEE = {
    "a typo in tee.toml": ('[tee]\nbackend = ""\n', 'basse = "strict"', "tee.toml, line 1: basse is not a key"),
    "bytes": ("[tee]\n", b"\xff\xfe", "it is not UTF-8"),
    "a policy that is not there": ('[tee]\npolicy = "other.toml"\n', None, "other.toml is missing, and"),
    "votes without a policy": ('[tee]\nvoters = ["a"]\nvotes = 1\n', None, "tee.toml is missing, and"),
    "collateral that is not there": ('[tee]\ncollateral = ["nowhere"]\n', None, "nowhere is missing, and"),
    "more votes than voters": ('[tee]\nvoters = ["a", "a"]\nvotes = 2\n', None, "votes is 2, and there are 1 voters"),
    "no such backend": ('[tee]\nbackend = "sgx"\n', None, 'must be one of "", gramine'),
}


@pytest.mark.parametrize("case", TEE)
def test_what_tee_names_is_read_before_the_node_starts(hansa, home, case):
    settings, policy, why = TEE[case]
    hansa("init", "--name", "bank")
    (home / "hansa.toml").write_text(settings)
    if policy is not None:
        (home / "tee.toml").write_bytes(policy if isinstance(policy, bytes) else policy.encode())
    for command in (("config", "check"), ("run",)):
        code, _, err = hansa(*command)
        assert code == 3
        assert why in err


def test_a_good_tee_policy_is_named(hansa, home):
    hansa("init", "--name", "bank")
    (home / "tee.toml").write_text("")
    assert f"{home / 'tee.toml'}: good" in hansa("config", "check")[1]
    assert json.loads(hansa("config", "check", "--json")[1])["tee_policy"] == str(home / "tee.toml")
