"""Quotes of a vendor of our own: accepted when whole, refused for revoked, expired, downgraded, foreign or debugged parts."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from support.tee.intel import AT, DAY, Maker
from support.tee.mutations import mutate, quote_parts

from hansa.protocols.wire.attestation.intel import dcap
from hansa.protocols.wire.attestation.intel.dcap import read_collateral_untrusted, verify_dcap
from hansa.protocols.wire.attestation.measurements import SgxMeasurement
from hansa.protocols.wire.attestation.platforms import code_of
from hansa.protocols.wire.attestation.policy import REPORT, STRICT, Expected


def judge(maker, quote=None, collateral=None, *, policy=STRICT, expected=None, at=AT):
    given = [read_collateral_untrusted(collateral or maker.collateral())]
    return verify_dcap(quote or maker.quote(), given, policy, expected or Expected(), at, root=maker.root_der)


def codes(verdict):
    return [reason.code.value for reason in verdict.reasons if reason.decisive]


def test_a_whole_quote_is_accepted(maker):
    verdict = judge(maker, expected=Expected((b"\x61" * 32,), b"\x11" * 64))
    assert (codes(verdict), verdict.tcb_status, verdict.platform, verdict.not_checked) == ([], "UpToDate", "SGX", ())
    signer = SgxMeasurement(mrsigner=b"\x71" * 32, isv_prod_id=3, least_isv_svn=4)
    assert judge(maker, policy=replace(STRICT, sgx=(signer,))).accepted
    assert codes(judge(maker, policy=replace(STRICT, sgx=(replace(signer, least_isv_svn=5),)))) == ["measurement"]


def test_the_root_is_pinned(maker):
    verdict = verify_dcap(maker.quote(), [read_collateral_untrusted(maker.collateral())], STRICT, Expected(), AT)
    assert codes(verdict) == ["root", "chain"]
    stranger = Maker()
    assert codes(judge(maker, stranger.quote(), stranger.collateral()))[0] == "root"
    foreign = stranger.pem(stranger.pck, stranger.middle).encode() + maker.pem(maker.root).encode()
    assert codes(judge(maker, stranger.quote(chain=foreign))) == ["chain"]


@pytest.mark.parametrize(
    ("svn", "status"), [(5, "UpToDate"), (4, "OutOfDate"), (3, "OutOfDate"), (2, "Revoked"), (0, None)]
)
def test_a_downgraded_platform(maker, svn, status):
    quote = maker.quote(pck=maker.make_pck((svn, *[5] * 15)))
    verdict = judge(maker, quote, policy=REPORT)
    assert verdict.tcb_status == (status if status != "Revoked" else None)
    assert codes(verdict) == ([] if status in ("UpToDate", "OutOfDate") else ["tcb"])
    assert ("Revoked" in str(verdict.reasons)) == (status == "Revoked")
    assert codes(judge(maker, quote)) == ([] if status == "UpToDate" else ["tcb"])


def test_a_quoting_enclave_out_of_date_or_of_somebody_else(maker):
    old = judge(maker, collateral=maker.collateral(qe_status="OutOfDate"), policy=REPORT)
    assert (old.accepted, old.tcb_status) == (True, "OutOfDate")
    assert not judge(maker, collateral=maker.collateral(qe_status="Revoked"), policy=REPORT).accepted
    assert not judge(maker, maker.quote(qe_signer=b"\x52" * 32), policy=REPORT).accepted


def test_revoked(maker):
    assert codes(judge(maker, collateral=maker.collateral(revoked=(4,)))) == ["revoked"]
    assert codes(judge(maker, collateral=maker.collateral(revoked_middle=(2,)))) == ["revoked"]
    assert codes(judge(maker, collateral=maker.collateral(revoked=(99,)))) == []


def test_dates(maker):
    expired = maker.make_pck(since=AT - 20 * DAY, until=AT - DAY)
    early = maker.make_pck(since=AT + DAY)
    for quote in (maker.quote(pck=expired), maker.quote(pck=early)):
        assert codes(judge(maker, quote)) == ["dates"]
    for collateral in (
        maker.collateral(issued=AT - 40 * DAY, until=AT - DAY),
        maker.collateral(issued=AT + DAY),
        maker.collateral(crl_until=AT - DAY // 2),
    ):
        assert codes(judge(maker, collateral=collateral)) == ["dates"]
    late = judge(maker, collateral=maker.collateral(issued=AT - 40 * DAY, until=AT - DAY))
    assert "not in force on 2027-01-15" in str(late.reasons[0])
    assert "UnixTime" not in str(late.reasons)
    old = maker.collateral(issued=AT - 15 * DAY)
    assert codes(judge(maker, collateral=old, policy=replace(STRICT, max_collateral_age_s=14 * DAY))) == ["dates"]
    assert codes(judge(maker, policy=replace(STRICT, max_tcb_age_s=99 * DAY))) == ["tcb", "tcb"]
    old = maker.collateral(qe_tcb_date=AT - 400 * DAY)
    assert codes(judge(maker, collateral=old, policy=replace(STRICT, max_tcb_age_s=101 * DAY))) == ["tcb"]
    assert codes(judge(maker, policy=replace(STRICT, max_tcb_age_s=101 * DAY))) == []
    assert codes(judge(maker, policy=replace(STRICT, least_tcb_evaluation=21))) == ["tcb"]


def test_collateral_of_another_or_by_another(maker):
    assert codes(judge(maker, collateral=maker.collateral(fmspc=bytes(6)))) == ["platform"]
    assert codes(judge(maker, collateral=maker.collateral(pce_id="0001"))) == ["platform"]
    assert not judge(maker, collateral=maker.collateral(signer="pck")).accepted
    assert not judge(maker, collateral=Maker().collateral()).accepted


def test_only_the_roots_own_signer_signs_collateral(maker):
    """A platform's key, its authority's, and anything between signer and root: the library takes them all."""
    low = maker.make_pck((0,) * 16)
    lies = {"levels": [(0, "UpToDate")], "signer": "pck"}
    chains = {
        "a platform": (low, maker.middle, maker.root),
        "a platform, the root behind it": (low, maker.root),
        "the platforms' authority": (maker.middle, maker.root),
        "something between": (maker.tcb, maker.middle, maker.root),
        "nobody": (maker.root,),
        "another root": (maker.tcb, Maker().root),
        "a leaf of that name from the platforms' authority": (
            maker.certify("Intel SGX TCB Signing", "pck", "Intel SGX PCK Processor CA", "middle", serial=8),
            maker.middle,
            maker.root,
        ),
    }
    for case, chain in chains.items():
        verdict = judge(maker, maker.quote(pck=low), maker.collateral(chain=maker.pem(*chain), **lies), policy=REPORT)
        assert codes(verdict) == ["chain"], case
        assert "the collateral's tcb_info_issuer_chain" in str(verdict.reasons[-1]), case
    other = maker.certify("Somebody", "tcb", "Intel SGX Root CA", "root", serial=9)
    assert codes(judge(maker, collateral=maker.collateral(chain=maker.pem(other, maker.root)))) == ["chain"]
    assert judge(maker, collateral=maker.collateral(chain=maker.pem(maker.tcb, maker.root) + "\n\n")).accepted


RESERVED = {
    "reserved1": 20,
    "reserved2": 96,
    "reserved3": 160,
    "reserved4": 262,
    "unknown flags": 49,
    "unknown MISC": 16,
}


@pytest.mark.parametrize("field", RESERVED)
@pytest.mark.parametrize("which", ["enclave", "quoting enclave"])
def test_reserved_bytes(maker, field, which):
    quote = maker.quote(patch={which: (RESERVED[field], b"\x10")})
    assert codes(judge(maker, quote)) == ["malformed"]


def test_a_quoting_enclave_says_its_hash_and_nothing_more(maker):
    assert codes(judge(maker, maker.quote(patch={"quoting enclave": (383, b"\1")}))) == ["malformed"]
    assert codes(judge(maker, maker.quote(patch={"enclave": (48, b"\4")}))) == ["malformed"]  # never initialised


def test_a_word_of_intels_that_nobody_knows_is_no_revocation(maker):
    verdict = judge(maker, collateral=maker.collateral(levels=[(5, "Excellent")]))
    assert codes(verdict) == ["chain"]


def test_debug(maker):
    verdict = judge(maker, maker.quote(debug=True))
    assert set(codes(verdict)) == {"debug"}
    assert verdict.fields["debug"] is True


def test_versions_nobody_knows(maker):
    for version in (0, 1, 2, 4, 5, 6):
        assert codes(judge(maker, maker.quote(version=version))) == ["unknown-version"]


def in_domain(maker, quote, **more):
    return judge(maker, quote, maker.collateral(kind="TDX"), **more)


def test_a_trust_domain_of_our_own(maker):
    quote = maker.domain()
    verdict = in_domain(maker, quote)
    assert (codes(verdict), verdict.platform, verdict.tcb_status) == ([], "TDX", "UpToDate")
    code = code_of("TDX", verdict.fields)
    demanding = replace(STRICT, require_measurement=True)
    assert codes(in_domain(maker, quote, policy=demanding, expected=Expected((code,), b"\x11" * 64))) == []
    other = maker.domain(registers=(b"\x81", b"\x82", b"\x83", b"\0"))
    assert set(codes(in_domain(maker, other, policy=demanding, expected=Expected((code,))))) == {"measurement"}


def test_a_trust_domain_that_may_be_moved(maker):
    verdict = in_domain(maker, maker.domain(attributes=1 << 28 | 1 << 29))
    assert set(codes(verdict)) == {"guest-policy"}
    assert "guest-policy: the trust domain may be moved to another machine" in map(str, verdict.reasons)
    assert codes(in_domain(maker, maker.domain(attributes=1 << 28 | 1))) == ["debug"]


def test_nothing_hides_behind_a_certification(maker):
    assert codes(in_domain(maker, maker.domain(after=b"\0"))) == ["malformed"]
    pem = maker.pem(maker.pck, maker.middle, maker.root).encode()
    whole = maker.certified(chain=pem)
    signed = maker.quote()[:432]
    assert codes(judge(maker, maker.whole(signed, whole))) == []
    assert codes(judge(maker, maker.whole(signed, whole + b"\0"))) == ["malformed"]


def test_a_chain_is_three_certificates_in_intels_own_words(maker):
    pem = maker.pem(maker.pck, maker.middle, maker.root).encode()
    assert codes(judge(maker, maker.quote(chain=pem))) == []
    others = {
        "two zeros": pem + b"\0\0",
        "a line after": pem + b"\n",
        "a word before": b"x" + pem,
        "a line between": pem.replace(b"-----\n-----BEGIN", b"-----\n\n-----BEGIN"),
        "a longer line": pem[:92] + pem[93:94] + b"\n" + pem[94:],
        "Windows": pem.replace(b"\n", b"\r\n"),
        "two": maker.pem(maker.pck, maker.middle).encode(),
        "four": pem + maker.pem(maker.root).encode(),
    }
    for case, chain in others.items():
        assert codes(judge(maker, maker.quote(chain=chain))) == ["malformed"], case


def test_collateral_is_as_old_as_its_older_part(maker):
    policy = replace(STRICT, max_collateral_age_s=14 * DAY)
    for info, identity, found in ((1, 15, ["dates"]), (15, 1, ["dates"]), (13, 1, [])):
        given = maker.collateral(issued=AT - info * DAY, qe_issued=AT - identity * DAY)
        assert codes(judge(maker, collateral=given, policy=policy)) == found


def test_no_policy_takes_what_intel_revoked(maker, monkeypatch):
    """The library refuses it first; should it once say no more than the word, that is enough."""
    claims = dcap._claims

    def revoked(*args):
        found = claims(*args)
        return found | {"tcb": found["tcb"] | {"status": "Revoked"}}

    monkeypatch.setattr(dcap, "_claims", revoked)
    assert codes(judge(maker, policy=REPORT)) == ["tcb"]


def test_every_reason_at_once(maker):
    verdict = judge(maker, maker.quote(debug=True), expected=Expected((bytes(32),), bytes(64)))
    assert codes(verdict) == ["debug", "measurement", "nonce"]
    assert "TCB status and advisories: not reached, for what is refused above" in verdict.not_checked
    demanding = replace(STRICT, require_measurement=True, require_nonce=True)
    assert codes(judge(maker, policy=demanding)) == ["measurement", "nonce"]


@pytest.mark.parametrize("count", [75, pytest.param(1000, marks=pytest.mark.slow)])
def test_changed_quotes(maker, count):
    whole, other, rng = maker.quote(), Maker().quote(), random.Random(count)
    assert len(other) >= quote_parts(whole)["certificate 0"][0]
    for _ in range(count):
        while (changed := mutate(whole, quote_parts(whole), other.ljust(len(whole), b"\0"), rng)) == whole:
            pass
        assert not judge(maker, changed, policy=REPORT).accepted
