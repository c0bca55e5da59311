"""`hansa tee verify`: exit codes, JSON, files in every form."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.tee.amd import AT

from hansa.node.cli.main import main
from hansa.protocols.wire.attestation.snp.snp import AMD_ROOTS


@pytest.fixture
def hansa(capsys, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*words):
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def pinned(milan, monkeypatch):
    """Our vendor in AMD's place."""
    for product, pin in milan.roots.items():
        monkeypatch.setitem(AMD_ROOTS, product, pin)
    return milan


@pytest.fixture
def files(milan, tmp_path):
    """A report, its leaf in DER and its chain in PEM."""
    (tmp_path / "report.bin").write_bytes(milan.make())
    (tmp_path / "vcek.der").write_bytes(milan.vcek.public_bytes(Encoding.DER))
    (tmp_path / "chain.pem").write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in (milan.ask, milan.ark)))
    (tmp_path / "crl.der").write_bytes(milan.crl(99).public_bytes(Encoding.DER))
    return tmp_path


def test_accepted(hansa, pinned, files):
    given = ["--collateral", files / "vcek.der", "--collateral", files / "chain.pem", "--at", AT]
    code, out, err = hansa("tee", "verify", files / "report.bin", *given, "--policy", "strict")
    assert (code, err) == (0, "")
    assert out.startswith("ACCEPTED under the policy strict: SEV-SNP\n")
    assert "\nnot checked:\n  revocation" in out
    assert re.search(f"\n  measurement +{'22' * 48}\n", out)
    more = ["--measurement", "22" * 48, "--nonce", "11" * 64, "--collateral", files / "crl.der", "--json"]
    code, out, _ = hansa("tee", "verify", files / "report.bin", *given, *more)
    verdict = json.loads(out)
    assert (code, verdict["verdict"], verdict["reasons"], verdict["platform"]) == (0, "accept", [], "SEV-SNP")
    assert verdict["fields"]["measurement"] == "22" * 48
    assert [text.partition(":")[0] for text in verdict["not_checked"]] == ["TCB status"]


def test_refused(hansa, pinned, files):
    given = [files / "report.bin", "--collateral", files, "--at", AT]
    code, out, _ = hansa("tee", "verify", *given, "--measurement", "00" * 48, "--nonce", "00" * 16, "--json")
    verdict = json.loads(out)
    assert (code, verdict["verdict"]) == (1, "refuse")
    assert [reason.partition(":")[0] for reason in verdict["reasons"]] == ["measurement", "nonce"]
    code, out, _ = hansa("tee", "verify", files / "report.bin", "--at", AT)
    assert code == 1
    assert "REFUSED under the policy strict: SEV-SNP\n  chain: the collateral has no VCEK certificate" in out
    assert "none of it is proven" in out


def test_the_root_is_pinned(hansa, files):
    code, out, _ = hansa("tee", "verify", files / "report.bin", "--collateral", files, "--at", AT)
    assert code == 1
    assert "root: the root certificate's key is not one of AMD's" in out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nowhere.bin"], "cannot be read"),
        (["{files}/chain.pem"], "neither an SGX or TDX quote nor"),
        (["{files}/empty"], "empty or too short"),
        (["{files}/big"], "more than 65536 bytes"),
        (["{files}/report.bin", "--collateral", "nowhere"], "cannot be read"),
        (["{files}/report.bin", "--collateral", "{files}/report.bin"], "no collateral"),
        (["{files}/report.bin", "--collateral", "{files}/broken.pem"], "not base64"),
        (["{files}/report.bin", "--collateral", "{files}/other.pem"], "neither a certificate nor"),
        (["{files}/report.bin", "--collateral", "{files}/broken.der"], "cannot be read"),
        (["{files}/report.bin", "--at", "-1"], "is no time"),
        (["{files}/report.bin", "--at", str(2**40)], "is no time"),
        (["{files}/report.bin", "--nonce", "00"], "8 to 64 bytes"),
        (["{files}/report.bin", "--nonce", "xy" * 8], "8 to 64 bytes"),
        (["{files}/report.bin", "--measurement", "00" * 31], "32 or 48 bytes"),
    ],
)
def test_unreadable(hansa, files, words, why):
    (files / "empty").write_bytes(b"")
    (files / "big").write_bytes(bytes(65537))
    (files / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
    (files / "other.pem").write_text("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n")
    (files / "broken.der").write_bytes(b"\x30\x82\x01\x00")
    code, out, err = hansa("tee", "verify", *(word.format(files=files) for word in words))
    assert (code, out) == (2, "")
    assert why in err
    assert "\n  next: " in err


def test_a_folder_without_collateral(hansa, files, tmp_path):
    (tmp_path / "empty-folder").mkdir()
    code, _, err = hansa("tee", "verify", files / "report.bin", "--collateral", tmp_path / "empty-folder")
    assert (code, "there is no collateral in" in err) == (2, True)


def test_a_full_disk_is_said_in_one_line(files):
    words = [sys.executable, "-m", "hansa.node.cli", "tee", "verify", str(files / "report.bin"), "--json"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: nothing more can be written: No space left on device")
    assert "Traceback" not in done.stderr


def test_a_policy_nobody_has(hansa, files):
    code, _, err = hansa("tee", "verify", files / "report.bin", "--policy", "lenient")
    assert code == 2
    assert "neither a policy's name (strict, report) nor a file" in err


EXIT_CODES = {  # under strict, under report
    "sgx-v3-hardening": (1, 0),
    "sgx-v3-debug": (1, 1),
    "tdx-v4-uptodate": (0, 0),
    "tdx-v4-no-tcb-level": (1, 1),
    "tdx-v4-outofdate": (1, 0),
    "tdx-v4-azure-sept-ve": (1, 1),
    "tdx-v5-relaunch": (1, 0),
    "tdx-v4-bad-report-data": (1, 1),
    "tdx-v4-bad-signature": (1, 1),
    "tdx-v4-truncated": (1, 1),
    "sgx-v3-bad-mrenclave": (1, 1),
    "snp-milan-v2-debug-policy": (1, 1),
    "snp-milan-v2": (0, 0),
    "snp-milan-forged-vcek": (1, 1),
    "snp-genoa-v3-tsm": (0, 0),
    "snp-milan-bad-measurement": (1, 1),
}


def test_every_captured_case_is_here(index):
    assert list(EXIT_CODES) == index


@pytest.mark.parametrize("case", EXIT_CODES)
def test_captured(hansa, captured, case):
    entry = captured(case)
    evidence = entry.get("quote") or entry["report"]
    given = [word for key in ("collateral", "vek", "chain") if key in entry for word in ("--collateral", entry[key])]
    at = entry.get("verify_at_unix", 1_767_225_600)
    for policy, code in zip(("strict", "report"), EXIT_CODES[case], strict=True):
        found, out, err = hansa("tee", "verify", evidence, *given, "--at", at, "--policy", policy, "--json")
        verdict = json.loads(out)
        assert (found, err, verdict["verdict"]) == (code, "", "refuse" if code else "accept")
        assert (verdict["reasons"] != []) >= bool(code)
        assert {"verdict", "reasons", "not_checked", "platform", "tcb_status", "fields"} == set(verdict)


def test_a_code_as_it_is_shown_is_a_code_to_ask_for(hansa, captured):
    entry = captured("tdx-v4-uptodate")
    words = [entry["quote"], "--collateral", entry["collateral"], "--at", entry["verify_at_unix"], "--json"]
    code = json.loads(hansa("tee", "verify", *words)[1])["fields"]["code"]
    assert code.startswith("TDX:")
    assert hansa("tee", "verify", *words, "--measurement", code)[0] == 0
    assert hansa("tee", "verify", *words, "--measurement", code[:-2] + "00")[0] == 1
    found, out, _ = hansa("tee", "verify", *words, "--measurement", "SGX:" + code[4:])
    assert (found, "must be 32 bytes" in out) == (2, True)


def test_without_the_library(hansa, captured, monkeypatch, files):
    entry = captured("tdx-v4-uptodate")
    monkeypatch.setitem(sys.modules, "dcap_qvl", None)
    monkeypatch.delitem(sys.modules, "hansa.protocols.wire.attestation.intel.dcap", raising=False)
    for words in (["--collateral", entry["collateral"]], []):
        code, _, err = hansa("tee", "verify", entry["quote"], *words)
        assert code == 2
        assert "pip install 'hansa[tee]'" in err
    assert hansa("tee", "verify", files / "report.bin", "--collateral", files)[0] == 1  # AMD's needs it not
