"""Thousands of changed quotes and reports: none crashes, none is accepted but the inert ones, and those say the same."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.tee.amd import AT, Vendor
from support.tee.mutations import P256_ORDER, mutate, quote_parts, report_parts, twin, twin_certificate, with_chain

from hansa.node.tee.evidence.collateral import load_collateral
from hansa.protocols.wire.attestation.errors import MalformedEvidence
from hansa.protocols.wire.attestation.intel.dcap import read_collateral_untrusted
from hansa.protocols.wire.attestation.intel.quote import parse_untrusted
from hansa.protocols.wire.attestation.policy import REPORT, Expected
from hansa.protocols.wire.attestation.snp.snp import SnpCollateral, verify_snp
from hansa.protocols.wire.attestation.verify import Collateral, verify_evidence
from hansa.protocols.wire.attestation.x509 import load_certificate_untrusted, load_crl_untrusted

CASES = ["sgx-v3-hardening", "tdx-v4-uptodate", "tdx-v4-outofdate", "tdx-v5-relaunch"]
FEW, MANY = 75, 1700  # of each of six: 450 in every run, 10,200 in all

counts = pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])


def normal(data):
    """A quote up to what is known to be inert: signatures with the lower s, no padding."""
    exact = bytearray(parse_untrusted(data).exact)
    parts = quote_parts(bytes(exact))
    for name in ("signature", "quoting enclave's signature"):
        at, _ = parts[name]
        pair = bytes(exact[at : at + 64])
        exact[at : at + 64] = min(pair, twin(pair))
    return bytes(exact)


class Intel:
    """A captured quote, and its verdict."""

    def __init__(self, entry):
        self.data, self.at = entry["quote"].read_bytes(), entry["verify_at_unix"]
        self.collateral = load_collateral([entry["collateral"]])
        self.verdict = self.judge(self.data)
        assert self.verdict.accepted

    def judge(self, data):
        return verify_evidence(data, self.collateral, REPORT, Expected(), self.at)


@counts
@pytest.mark.parametrize("case", CASES)
def test_changed_quotes(captured, case, count):
    whole, other = Intel(captured(case)), Intel(captured("tdx-v4-outofdate" if "v4" in case else case))
    if case == "tdx-v4-outofdate":
        other = Intel(captured("tdx-v4-uptodate"))
    rng, refused = random.Random(f"{case} {count}"), 0
    parts = quote_parts(whole.data)
    for _ in range(count):
        while (changed := mutate(whole.data, parts, other.data, rng)) == whole.data:
            pass
        try:
            verdict = whole.judge(changed)
        except MalformedEvidence:
            refused += 1
            continue
        if verdict.accepted:
            assert normal(changed) == normal(whole.data)
            assert (verdict.fields, verdict.tcb_status) == (whole.verdict.fields, whole.verdict.tcb_status)
        else:
            refused += 1
    assert refused > 0.95 * count


@counts
@pytest.mark.parametrize(("version", "kind"), [(3, "VCEK"), (5, "VLEK")])
def test_changed_reports(milan, version, kind, count):
    whole, other = milan.make(version, kind), milan.make(version, kind, at_90=b"\x99" * 48)
    collateral, rng = milan.collateral(kind), random.Random(f"{version} {count}")
    assert verify_snp(whole, collateral, REPORT, Expected(), AT, roots=milan.roots).accepted
    for _ in range(count):
        while (changed := mutate(whole, report_parts(), other, rng)) == whole:
            pass
        assert not verify_snp(changed, collateral, REPORT, Expected(), AT, roots=milan.roots).accepted


@pytest.mark.parametrize("count", [FEW, pytest.param(600, marks=pytest.mark.slow)])
@pytest.mark.parametrize("which", [0, 1, 2], ids=["VCEK", "ASK", "ARK"])
def test_changed_certificates(milan, which, count):
    """Of RSA-PSS signatures there is one: no change is inert."""
    whole, stranger = milan.make(), Vendor("Milan")
    ders = [one.public_bytes(Encoding.DER) for one in milan.collateral().certificates]
    others = [one.public_bytes(Encoding.DER) for one in stranger.collateral().certificates]
    rng = random.Random(f"{which} {count}")
    parts = {f"{at:#x}": (at, 8) for at in range(0, min(len(ders[which]), len(others[which])) - 8, 4)}
    for _ in range(count):
        changed = list(ders)
        changed[which] = mutate(ders[which], parts, others[which], rng)
        try:
            certificates = [load_certificate_untrusted(der) for der in changed]
        except MalformedEvidence:
            continue
        verdict = verify_snp(whole, SnpCollateral(certificates), REPORT, Expected(), AT, roots=milan.roots)
        assert not verdict.accepted or changed == ders


@pytest.mark.parametrize("count", [FEW, pytest.param(600, marks=pytest.mark.slow)])
def test_changed_revocation_lists(milan, count):
    whole, list_ = milan.make(), milan.crl(99, 98)
    der, rng, policy = list_.public_bytes(Encoding.DER), random.Random(count), replace(REPORT, require_crl=True)
    parts = {f"{at:#x}": (at, 8) for at in range(0, len(der) - 8, 4)}
    other = milan.crl(2, 98).public_bytes(Encoding.DER).ljust(len(der), b"\0")
    for _ in range(count):
        while (changed := mutate(der, parts, other, rng)) == der:
            pass
        try:
            crls = [load_crl_untrusted(changed)]
        except MalformedEvidence:
            continue
        collateral = milan.collateral(crls=crls)
        assert not verify_snp(whole, collateral, policy, Expected(), AT, roots=milan.roots).accepted


@pytest.mark.parametrize("count", [FEW, pytest.param(1000, marks=pytest.mark.slow)])
def test_changed_collateral(captured, count):
    """Intel signs what counts in it; names around that, and spaces, may be anything."""
    entry = captured("tdx-v4-outofdate")
    whole, text = Intel(entry), entry["collateral"].read_bytes()
    other, rng = captured("tdx-v4-uptodate")["collateral"].read_bytes().ljust(len(text)), random.Random(count)
    parts = {f"{at:#x}": (at, 40) for at in range(0, len(text) - 40, 20)}
    for _ in range(count):
        changed = mutate(text, parts, other, rng)
        try:
            collateral = Collateral(intel=[read_collateral_untrusted(changed)])
        except MalformedEvidence:
            continue
        verdict = verify_evidence(whole.data, collateral, REPORT, Expected(), whole.at)
        if verdict.accepted:
            assert (verdict.fields, verdict.tcb_status) == (whole.verdict.fields, whole.verdict.tcb_status)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"tcb_info": 1}',
        '{"tcb_info": "[]", "qe_identity": "{}"}',
        '{"tcb_info": "{}", "qe_identity": "{}"}',
        "[" * 100_000,
        '{"tcb_info": "' + "[" * 100_000 + '"}',
        '{"tcb_info": "{\\"issueDate\\": 1}", "qe_identity": "{}"}',
        "\ud800",
    ],
)
def test_collateral_that_is_none(text):
    with pytest.raises(MalformedEvidence, match="is not Intel's"):
        read_collateral_untrusted(text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("case", CASES)
def test_inert_changes(captured, case):
    """The list of docs/tee.md: other valid signatures, in the quote and in its certificates, and known padding."""
    whole = Intel(captured(case))
    parts, inert = quote_parts(whole.data), []
    for name in ("signature", "quoting enclave's signature"):
        at, size = parts[name]
        inert.append(whole.data[:at] + twin(whole.data[at : at + size]) + whole.data[at + size :])
    ders = list(parse_untrusted(whole.data).chain)
    padded = len(whole.data) == 8000
    for place in () if padded else (0, 1):
        inert.append(with_chain(whole.data, [*ders[:place], twin_certificate(ders[place]), *ders[place + 1 :]]))
    inert.append(parse_untrusted(whole.data).exact.ljust(8000, b"\0"))
    inert.append(parse_untrusted(whole.data).exact)
    for changed in inert:
        verdict = whole.judge(changed)
        assert verdict.accepted, verdict.reasons
        assert (verdict.fields, verdict.tcb_status) == (whole.verdict.fields, whole.verdict.tcb_status)
    root = with_chain(whole.data, [*ders[:2], twin_certificate(ders[2])])  # pinned by its bytes: not inert
    assert not whole.judge(root).accepted


@pytest.mark.parametrize("case", CASES)
def test_certificates_in_other_places(captured, case):
    whole = Intel(captured(case))
    pck, middle, root = parse_untrusted(whole.data).chain
    foreign = parse_untrusted(Intel(captured("sgx-v3-hardening" if "tdx" in case else "tdx-v4-uptodate")).data).chain
    for ders in (
        [middle, pck, root],
        [pck, root, middle],
        [root, middle, pck],
        [pck, middle],
        [pck, middle, root, root],
        [pck, pck, root],
        [foreign[0], foreign[1], root],
        [foreign[0], middle, root],
        [pck, foreign[1], root],
    ):
        assert not whole.judge(with_chain(whole.data, ders)).accepted
    assert whole.judge(with_chain(whole.data, [pck, middle, root])).accepted  # the builder itself changes nothing


def test_pem_in_other_forms(captured):
    whole = Intel(captured("sgx-v3-hardening"))
    at, size = quote_parts(whole.data)["certificate 1"]
    text = whole.data[at : at + size]
    for changed in (text.replace(b"\n", b"\r", 1), text.replace(b"\n", b" ", 1), text.replace(b"BEGIN", b"begin", 1)):
        verdict = whole.judge(whole.data[:at] + changed + whole.data[at + size :])
        assert [reason.code for reason in verdict.reasons] == ["malformed"]


def test_the_twin_is_another_signature():
    pair = (5).to_bytes(32, "big") + (7).to_bytes(32, "big")
    assert twin(pair)[32:] == (P256_ORDER - 7).to_bytes(32, "big")
    assert twin(twin(pair)) == pair
