"""hansa tee status and vote, and a network with simulated hardware, as typed."""

from __future__ import annotations

import json

import pytest

from hansa.config.settings import load_settings

WORD = "insecure-simulated"
SGX, SNP = "SGX:" + "0a" * 32, "SEV-SNP:" + "0b" * 48


def standing(**changed):
    return {
        "peer": "tee",
        "claims": WORD,
        "verdict": "accept",
        "ago_s": 3.0,
        "tcb_status": None,
        "platform": WORD,
        "code": "0c" * 48,
        "reasons": ["simulated: this is no evidence"],
    } | changed


def test_status_says_what_is_proven_and_marks_what_is_not(hansa, daemon):
    daemon.answers["tee.status"] = {"own": None, "votes": [], "peers": []}
    code, out, _ = hansa("tee", "status")
    assert (code, out.splitlines()[0]) == (0, "This node runs in no trusted hardware ([tee] in hansa.toml).")
    assert "No peer is in trusted hardware." in out
    own = {"backend": "tsm", "platform": "TDX", "code": "0d" * 48, "problem": None}
    sealed = {"keys": 2, "epoch": 5, "shut": "it was rolled back", "unread": "it is another node's"}
    vote = {"voter": "bank", "from": SGX, "to": SNP, "until": 1_900_000_000}
    told = {"own": own | {"sealed": sealed}, "votes": [vote], "peers": [standing()]}
    daemon.answers["tee.status"] = told
    out = hansa("tee", "status")[1]
    for line in (
        "this node proves by tsm (TDX) that it runs the code",
        "TDX:" + "0d" * 48,
        "2 model keys sealed, epoch 5",
        "SHUT: it was rolled back",
        "not read: it is another node's",
        f"  code {WORD}:{'0c' * 48}",
        "  simulated: this is no evidence",
        "tee: INSECURE: simulated, accepted",
        "bank votes until",
        f"  from {SGX}",
        f"  to   {SNP}",
    ):
        assert line in out, line
    assert json.loads(hansa("tee", "status", "--json")[1]) == told
    daemon.answers["tee.status"] = told | {"own": own | {"backend": WORD, "sealed": None}}
    assert "INSECURE, simulated: this node proves by insecure-simulated" in hansa("tee", "status")[1]
    daemon.answers["tee.status"] = told | {"own": own | {"problem": "/dev/tsm cannot be read", "sealed": None}}
    assert "This node's hardware (tsm) gives no evidence: /dev/tsm cannot be read" in hansa("tee", "status")[1]


def test_a_vote_is_cast_as_typed(hansa, daemon):
    daemon.answers["tee.vote"] = {"voter": "this node", "from": SGX, "to": SNP, "until": 1_900_000_000}
    code, out, _ = hansa("tee", "vote", SGX, SNP)
    assert (code, "Voted, until 2030-03-1" in out) == (0, True)
    hansa("tee", "vote", SGX, SNP, "--days", "3")
    asked = {"code_from": SGX, "code_to": SNP}
    assert daemon.calls == [("tee.vote", asked | {"days": days}) for days in (30, 3)]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("vote", SGX), "hansa tee vote: the following arguments are required: TO"),
        (("vote", SGX, SNP, "--days", "soon"), "argument --days: invalid int value: 'soon'"),
        (("vote", SGX, SNP, SNP), "unrecognized arguments"),
        (("status", "bank"), "unrecognized arguments: bank"),
        (("vtoe", SGX, SNP), "vtoe"),
    ],
)
def test_arguments_that_are_none_reach_no_daemon(words, why, hansa, daemon):
    code, _, err = hansa("tee", *words)
    assert (code, daemon.calls) == (2, [])
    assert why in err
    assert "next: hansa" in err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--insecure-simulated-tee", "-1"), "--insecure-simulated-tee cannot be negative"),
        (("--insecure-simulated-tee", "15"), "a network has 2 to 16 nodes"),
        (("--names", "insecure-tee,bank", "--insecure-simulated-tee", "1"), "of different names"),
        (("--insecure-simulated-tee", "one"), "invalid int value: 'one'"),
    ],
)
def test_networks_that_cannot_be(words, why, hansa, tmp_path):
    code, _, err = hansa("net", "up", "-n", "2", "--dir", str(tmp_path / "net"), *words)
    assert (code, why in err) == (2, True), err
    assert not (tmp_path / "net").exists()


def test_a_network_with_simulated_hardware(hansa, tmp_path):
    """The node in it, what the others make of it, and what its votes cannot be."""
    where = ("--dir", str(tmp_path / "net"))
    code, out, err = hansa("net", "up", "-n", "2", "--insecure-simulated-tee", "1", *where, "--json")
    try:
        assert code == 0, err
        homes = {node["name"]: node["home"] for node in json.loads(out)["nodes"]}
        marked = [node["insecure_simulated_tee"] for node in json.loads(out)["nodes"]]
        assert (list(homes), marked) == (["bank", "bureau", "insecure-tee"], [False, False, True])
        assert [load_settings(tmp_path / "net" / name).tee.accept for name in homes] == [WORD] * 3
        assert "insecure-tee (INSECURE: simulated hardware)" in hansa("net", "status", *where)[1]
        own = json.loads(hansa("tee", "status", "--home", homes["insecure-tee"], "--json")[1])["own"]
        for name in ("bank", "bureau"):
            (seen,) = json.loads(hansa("tee", "status", "--home", homes[name], "--json")[1])["peers"]
            assert (seen["verdict"], seen["code"], own["backend"]) == ("accept", own["code"], WORD)
        for words, status, why in (
            (("xx", SGX), 2, "'xx' is no code: it must be PLATFORM:MEASUREMENT"),
            (("SGX:0a", SGX), 2, "'SGX:0a' is no code"),
            (("SGX:" + "zz" * 32, SGX), 2, "is no code"),
            ((SGX, SNP, "--days", "0"), 2, "days must be from 1 to 366"),
            ((SGX, SNP, "--days", "367"), 2, "days must be from 1 to 366"),
            ((SGX, f"{WORD}:{own['code']}"), 8, "keys never go from SGX to insecure-simulated"),
        ):
            code, _, err = hansa("tee", "vote", *words, "--home", homes["bank"])
            assert (code, why in err) == (status, True), err
        assert json.loads(hansa("tee", "status", "--home", homes["bank"], "--json")[1])["votes"] == []
    finally:
        hansa("net", "down", *where)
    assert not (tmp_path / "net").exists()
