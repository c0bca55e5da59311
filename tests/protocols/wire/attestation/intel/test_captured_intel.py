"""Real SGX and TDX quotes, read in place: each gets its expected verdict at its stated time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from hansa.node.tee.evidence.collateral import load_collateral
from hansa.protocols.wire.attestation.intel.dcap import read_collateral_untrusted
from hansa.protocols.wire.attestation.intel.quote import parse_untrusted, pem_of
from hansa.protocols.wire.attestation.measurements import SgxMeasurement, SnpMeasurement, TdxMeasurement
from hansa.protocols.wire.attestation.platforms import code_of
from hansa.protocols.wire.attestation.policy import REPORT, STRICT, Expected
from hansa.protocols.wire.attestation.verify import Collateral, verify_evidence

STATUS = {
    "sgx-v3-hardening": ("ConfigurationAndSWHardeningNeeded", ["INTEL-SA-00289", "INTEL-SA-00615"]),
    "tdx-v4-uptodate": ("UpToDate", []),
    "tdx-v4-outofdate": ("OutOfDate", ["INTEL-SA-00960", "INTEL-SA-00982", "INTEL-SA-00986"]),
    "tdx-v5-relaunch": ("TDRelaunchAdvised", ["INTEL-SA-01036", "INTEL-SA-01099"]),
}
REFUSED = {
    "sgx-v3-debug": ["debug"],
    "tdx-v4-no-tcb-level": ["tcb"],
    "tdx-v4-azure-sept-ve": ["guest-policy"],
    "tdx-v4-bad-report-data": ["signature"],
    "tdx-v4-bad-signature": ["signature"],
    "tdx-v4-truncated": ["malformed"],
    "sgx-v3-bad-mrenclave": ["signature"],
}


def judge(entry, policy=STRICT, expected=None, *, at=None, data=None):
    data = entry["quote"].read_bytes() if data is None else data
    collateral = load_collateral([entry["collateral"]])
    return verify_evidence(data, collateral, policy, expected or Expected(), at or entry["verify_at_unix"])


def codes(verdict):
    return [reason.code.value for reason in verdict.reasons if reason.decisive]


@pytest.mark.parametrize("case", STATUS)
def test_genuine(captured, case):
    entry = captured(case)
    assert "verifies" in entry["expected"]
    status, advisories = STATUS[case]
    verdict = judge(entry, REPORT)
    assert verdict.accepted, verdict.reasons
    assert (verdict.tcb_status, verdict.fields["advisories"]) == (status, advisories)
    assert any(status in str(reason) for reason in verdict.reasons) == (status != "UpToDate")
    assert codes(judge(entry)) == ([] if status == "UpToDate" else ["tcb"])
    assert codes(judge(entry, replace(STRICT, statuses=frozenset({status})))) == []


@pytest.mark.parametrize("case", [*STATUS, *REFUSED])
def test_fields(captured, case):
    entry = captured(case)
    verdict = judge(entry)
    expected = {} if case == "tdx-v4-truncated" else entry["fields"]
    for name, value in expected.items():
        assert verdict.fields[name] == value, name


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("policy", [STRICT, REPORT], ids=["strict", "report"])
def test_refused(captured, case, policy):
    verdict = judge(captured(case), policy)
    assert codes(verdict) == REFUSED[case]


def test_dates(captured):
    entry = captured("tdx-v4-uptodate")
    at = entry["verify_at_unix"]
    assert codes(judge(entry, at=at - 40 * 86400)) != []
    assert codes(judge(entry, at=at + 40 * 86400)) == ["dates"]
    early = judge(entry, at=1750328147 - 86400)  # a day before the QE identity was issued
    assert set(codes(early)) == {"dates"}
    assert codes(judge(entry, replace(STRICT, max_collateral_age_s=86400))) == ["dates"]
    assert codes(judge(entry, replace(STRICT, max_collateral_age_s=20 * 86400))) == []
    assert codes(judge(entry, replace(STRICT, max_tcb_age_s=86400))) == ["tcb", "tcb"]  # platform, quoting enclave
    assert codes(judge(entry, replace(STRICT, least_tcb_evaluation=18))) == ["tcb"]


def test_advisories_a_policy_refuses(captured):
    entry = captured("tdx-v4-outofdate")
    policy = replace(REPORT, refused_advisories=frozenset({"INTEL-SA-00982", "INTEL-SA-1"}))
    verdict = judge(entry, policy)
    assert codes(verdict) == ["advisory"]
    assert any("open to INTEL-SA-00982" in str(reason) for reason in verdict.reasons)


def test_collateral_of_another_platform(captured):
    entry, other = captured("tdx-v4-uptodate"), captured("sgx-v3-hardening")
    verdict = judge(entry | {"collateral": other["collateral"]})
    assert not verdict.accepted
    assert verdict.tcb_status is None
    verdict = judge(entry | {"collateral": captured("tdx-v4-outofdate")["collateral"]}, at=1749669834)
    assert codes(verdict) == ["platform"]
    assert judge(entry | {"collateral": entry["collateral"].parent}).accepted  # the one that fits is taken
    verdict = judge(entry | {"collateral": entry["quote"].parent})
    assert codes(verdict) == ["chain"]


def test_a_platforms_own_chain_signs_no_collateral(captured):
    """A PCK key that was extracted must not say what its platform's patch level is worth."""
    entry = captured("tdx-v4-uptodate")
    given = json.loads(entry["collateral"].read_bytes())
    pck = pem_of(parse_untrusted(entry["quote"].read_bytes()).chain).decode()
    for name in ("tcb_info_issuer_chain", "qe_identity_issuer_chain"):
        collateral = Collateral(intel=[read_collateral_untrusted(json.dumps(given | {name: pck}).encode())])
        verdict = verify_evidence(entry["quote"].read_bytes(), collateral, REPORT, Expected(), entry["verify_at_unix"])
        assert codes(verdict) == ["chain"]
        assert f"the collateral's {name} is not one certificate and Intel's root" in str(verdict.reasons[-1])


def test_expected(captured):
    entry = captured("tdx-v4-uptodate")
    mrtd, nonce = (bytes.fromhex(entry["fields"][name]) for name in ("mrtd", "report_data"))
    code = code_of("TDX", entry["fields"] | judge(entry).fields)
    verdict = judge(entry, expected=Expected((bytes(48), code), nonce))
    assert (verdict.accepted, verdict.not_checked) == (True, ())
    by_firmware = judge(entry, expected=Expected((mrtd,), nonce))
    assert (by_firmware.accepted, len(by_firmware.not_checked)) == (True, 1)
    assert by_firmware.not_checked[0].startswith("rtmr0 to rtmr3: MRTD measures the firmware alone")
    demanding = replace(STRICT, require_measurement=True)
    assert codes(judge(entry, demanding, expected=Expected((mrtd,), nonce))) == ["measurement"]
    assert codes(judge(entry, demanding, expected=Expected((code,), nonce))) == []
    assert codes(judge(entry, expected=Expected((bytes(48),), nonce[:63]))) == ["measurement", "nonce"]
    rtmr = bytes.fromhex(entry["fields"]["rtmr2"])
    listed = judge(entry, replace(STRICT, tdx=(TdxMeasurement(mrtd, rtmr2=rtmr),)))
    assert codes(listed) == []
    assert [text.partition(":")[0] for text in listed.not_checked] == ["rtmr0", "rtmr1", "rtmr3", "nonce"]
    assert codes(judge(entry, replace(STRICT, tdx=(TdxMeasurement(mrtd, rtmr2=bytes(48)),)))) == ["measurement"]


def test_a_list_of_other_hardware_accepts_nothing_here(captured):
    tdx, sgx = captured("tdx-v4-uptodate"), captured("sgx-v3-hardening")
    only_snp = replace(REPORT, snp=(SnpMeasurement(bytes(48)),))
    only_tdx = replace(REPORT, tdx=(TdxMeasurement(bytes.fromhex(tdx["fields"]["mrtd"])),))
    for entry, policy in ((tdx, only_snp), (sgx, only_snp), (sgx, only_tdx)):
        verdict = judge(entry, policy)
        assert codes(verdict) == ["measurement"]
        assert "the policy lists no code of" in str(verdict.reasons[-1])
    assert judge(tdx, only_tdx).accepted


def test_an_enclave_by_its_signer(captured):
    entry = captured("sgx-v3-hardening")
    entry_of = SgxMeasurement(mrsigner=bytes.fromhex(entry["fields"]["mrsigner"]), isv_prod_id=0, least_isv_svn=0)
    assert judge(entry, replace(REPORT, sgx=(entry_of,))).accepted
    for changed in ({"isv_prod_id": 1}, {"least_isv_svn": 1}, {"mrsigner": bytes(32)}):
        assert codes(judge(entry, replace(REPORT, sgx=(replace(entry_of, **changed),)))) == ["measurement"]


def test_bytes_after_the_quote(captured):
    for case in ("sgx-v3-hardening", "tdx-v4-uptodate", "tdx-v5-relaunch", "tdx-v4-outofdate"):
        entry = captured(case)
        whole = entry["quote"].read_bytes()
        for more in (b"\0", b"\1", bytes(70), bytes(3000)):
            assert codes(judge(entry, REPORT, data=whole + more)) == ["malformed"], case
    padded = captured("tdx-v4-uptodate")
    whole = padded["quote"].read_bytes()
    assert judge(padded, data=whole[:-70]).accepted
    assert codes(judge(padded, data=whole[:-69])) == ["malformed"]
    assert codes(judge(padded, data=whole[:-1] + b"\1")) == ["malformed"]
    assert judge(padded, data=whole[:-70].ljust(8000, b"\0")).accepted
    assert str(judge(padded).reasons[0]).startswith("padding: 70 zeros")
