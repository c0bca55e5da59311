"""Real SEV-SNP reports, read in place: each gets its expected verdict, and its fields are what was captured."""

from __future__ import annotations

import pytest

from hansa.node.tee.evidence.collateral import load_collateral
from hansa.protocols.wire.attestation.policy import REPORT, STRICT, Expected
from hansa.protocols.wire.attestation.verify import verify_evidence

AT = 1_767_225_600  # 2026-01-01, within the dates of every captured certificate
CASES = {
    "snp-milan-v2": None,
    "snp-genoa-v3-tsm": None,
    "snp-milan-v2-debug-policy": "debug: the guest policy lets the host debug",
    "snp-milan-forged-vcek": "chain: the VCEK certificate is not signed by SEV-Milan",
    "snp-milan-bad-measurement": "signature: the report's signature is not by its VCEK",
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("policy", [STRICT, REPORT], ids=["strict", "report"])
def test_captured(captured, case, policy):
    entry = captured(case)
    collateral = load_collateral([entry["vek"], entry["chain"]])
    verdict = verify_evidence(entry["report"].read_bytes(), collateral, policy, Expected(), AT)
    why = [str(reason) for reason in verdict.reasons if reason.decisive]
    if CASES[case] is None:
        assert why == []
        assert entry["expected"] == "verifies"
    else:
        assert why[0].startswith(CASES[case])
    if case != "snp-milan-forged-vcek":
        assert len(why) == (CASES[case] is not None)
    for name, value in entry["fields"].items():
        assert verdict.fields[name] == value, name


def test_a_hosts_certificate_table_will_do(captured):
    entry = captured("snp-genoa-v3-tsm")
    collateral = load_collateral([entry["report"].with_name("auxblob.bin")])
    assert len(collateral.snp.certificates) == 3
    assert verify_evidence(entry["report"].read_bytes(), collateral, STRICT, Expected(), AT).accepted


def test_a_folder_with_other_things_will_do(captured):
    entry = captured("snp-milan-v2")
    collateral = load_collateral([entry["report"].parent, entry["chain"].parent])
    assert verify_evidence(entry["report"].read_bytes(), collateral, STRICT, Expected(), AT).accepted
