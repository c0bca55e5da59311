"""SEV-SNP reports of a vendor of our own: accepted when whole, refused for the one thing changed."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.hashes import SHA384
from support.tee.amd import AT, CHIP, UNKNOWN, Vendor, certify, usage

from hansa.protocols.wire.attestation.measurements import SnpMeasurement
from hansa.protocols.wire.attestation.policy import REPORT, STRICT, Expected
from hansa.protocols.wire.attestation.snp.snp import AMD_ROOTS, verify_snp

NO_AUTHORITY = x509.BasicConstraints(ca=False, path_length=None)
OTHERS = x509.DirectoryName(x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "SEV-VCEK")]))


def judge(vendor, data, kind="VCEK", *, collateral=None, policy=STRICT, expected=None, at=AT):
    collateral = collateral or vendor.collateral(kind)
    return verify_snp(data, collateral, policy, expected or Expected(), at, roots=vendor.roots)


def codes(verdict):
    return {reason.code.value for reason in verdict.reasons if reason.decisive}


@pytest.mark.parametrize("version", [2, 3, 5])
@pytest.mark.parametrize("kind", ["VCEK", "VLEK"])
def test_a_whole_report_is_accepted(milan, version, kind):
    verdict = judge(milan, milan.make(version, kind), kind)
    assert verdict.accepted, verdict.reasons
    assert verdict.platform == "SEV-SNP"
    assert (verdict.fields["version"], verdict.fields["signing_key"]) == (version, kind)
    assert verdict.fields["vek_ext"]["ucode"] == 0x73
    assert {text.partition(":")[0] for text in verdict.not_checked} == {
        "revocation",
        "TCB status",
        "measurement",
        "nonce",
    }


def test_turin_keeps_its_versions_elsewhere(turin):
    verdict = judge(turin, turin.make(5))
    assert verdict.accepted, verdict.reasons
    assert verdict.fields["reported_tcb_split"] == {"fmc": 1, "boot_loader": 2, "tee": 0, "snp": 3, "microcode": 0x48}
    other = bytes([9, *turin.tcb[1:]])
    assert codes(judge(turin, turin.make(5, at_180=other))) == {"tcb"}


@pytest.mark.parametrize("version", [0, 1, 4, 6, 255])
def test_an_unknown_version_is_refused_as_unknown(milan, version):
    verdict = judge(milan, milan.make(version))
    assert codes(verdict) == {"unknown-version"}
    assert f"{version} is not one of 2, 3, 5" in str(verdict.reasons[0])


CHANGES = {
    "debug": ({"at_8": (0xB0000).to_bytes(8, "little")}, "debug"),
    "migration": ({"at_8": (0x70000).to_bytes(8, "little")}, "guest-policy"),
    "policy bit 17 off": ({"at_8": (0x10000).to_bytes(8, "little")}, "malformed"),
    "unknown policy bit": ({"at_8": (0x30000 | 1 << 40).to_bytes(8, "little")}, "malformed"),
    "unknown platform bit": ({"at_40": (1 << 9).to_bytes(8, "little")}, "malformed"),
    "VMPL 1": ({"at_30": b"\1"}, "vmpl"),
    "asked for by the host": ({"at_30": b"\xff\xff\xff\xff"}, "malformed"),
    "another algorithm": ({"at_34": b"\2"}, "malformed"),
    "unknown signing key": ({"at_48": bytes([3 << 2])}, "malformed"),
    "reserved flag": ({"at_48": bytes([1 << 5])}, "malformed"),
    "no signing key": ({"at_48": bytes([7 << 2])}, "signing-key"),
    "masked key": ({"at_48": b"\2"}, "signing-key"),
    "reserved at 4c": ({"at_4c": b"\1"}, "malformed"),
    "reserved at 18b": ({"at_18b": b"\1"}, "malformed"),
    "reserved at 1eb": ({"at_1eb": b"\1"}, "malformed"),
    "reserved at 1ef": ({"at_1ef": b"\1"}, "malformed"),
    "reserved at 29f": ({"at_29f": b"\1"}, "malformed"),
    "reserved in the TCB": ({"at_182": b"\1"}, "malformed"),
    "reserved in the TCB at launch": ({"at_1f2": b"\1"}, "malformed"),
    "another chip": ({"at_1a0": b"\xff"}, "platform"),
    "a masked chip": ({"at_1a0": bytes(64)}, "platform"),
    "newer firmware claimed": ({"at_187": b"\x74"}, "tcb"),
    "another product": ({"at_188": bytes.fromhex("191101")}, "platform"),
    "no product": ({"at_188": bytes.fromhex("300000")}, "platform"),
}


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_what_a_signed_report_may_not_say(milan, change):
    changed, code = CHANGES[change]
    assert codes(judge(milan, milan.make(3, **changed))) == {code}


def test_mitigations_are_reserved_before_version_5(milan):
    assert codes(judge(milan, milan.make(3, at_1f8=b"\1"))) == {"malformed"}
    assert judge(milan, milan.make(5, at_1f8=b"\1")).fields["launch_mitigations"] == "0x1"
    assert codes(judge(milan, milan.make(2, at_188=bytes.fromhex("190101")))) == {"malformed"}


def test_every_length_but_one_is_refused(milan):
    whole = milan.make()
    for size in (4, 100, 0x2A0, len(whole) - 1):
        assert codes(judge(milan, whole[:size])) == {"malformed"}
    assert codes(judge(milan, whole + b"\0")) == {"malformed"}


def test_the_signature_has_one_form_but_for_its_twin(milan):
    body = milan.body()
    whole = milan.signed(body)
    for place in (48, 71, 72 + 48, 143, 144, 511):  # above the 48 bytes of r and s, and after them
        broken = bytearray(whole)
        broken[0x2A0 + place] = 1
        assert codes(judge(milan, bytes(broken))) <= {"malformed", "signature"} != set()
    for number in (bytes(72), b"\xff" * 48 + bytes(24)):
        assert codes(judge(milan, body + number + whole[0x2A0 + 72 :])) == {"signature"}
    twin = judge(milan, milan.signed(body, twin=True))
    assert twin.accepted  # ECDSA lets anybody turn s into n - s: inert, nothing it says changes
    assert twin.fields == judge(milan, whole).fields


def test_a_changed_byte_breaks_the_signature(milan):
    whole = milan.make()
    for place in (0x4, 0x10, 0x50, 0x90, 0xC0, 0xE0, 0x140, 0x1E0, 0x1F0):
        broken = bytearray(whole)
        broken[place] ^= 1
        assert codes(judge(milan, bytes(broken))) == {"signature"}


def test_chains_that_do_not_hold(milan, turin):
    whole, stranger = milan.make(), Vendor("Milan")
    assert codes(judge(milan, whole, collateral=stranger.collateral())) == {"root", "signature"}
    cases = {
        "no leaf": ({"vek": None}, {"chain"}),
        "no ASK": ({"ask": None}, {"chain"}),
        "no root": ({"ark": None}, {"chain"}),
        "a strange root of the same name": ({"ark": stranger.ark}, {"root", "chain"}),
        "a strange ASK of the same name": ({"ask": stranger.ask}, {"chain"}),
        "a strange leaf": ({"vek": stranger.vcek}, {"chain", "signature"}),
        "issued by the ASVK": ({"vek": milan.make_leaf("VCEK", issuer="asvk"), "ask": milan.asvk}, {"chain"}),
        "for another product": ({"vek": milan.make_leaf("VCEK", product="Genoa")}, {"platform"}),
        "for other firmware": ({"vek": milan.make_leaf("VCEK", tcb=bytes(8))}, {"tcb"}),
        "for another chip": ({"vek": milan.make_leaf("VCEK", chip=CHIP[::-1])}, {"platform"}),
        "of a broken extension": ({"vek": milan.make_leaf("VCEK", chip=b"short")}, {"platform"}),
    }
    for case, (instead, found) in cases.items():
        verdict = judge(milan, whole, collateral=milan.collateral(**instead))
        assert found <= codes(verdict), case
        assert not codes(verdict) - found - {"signature"}, case
    assert "chain" in codes(judge(milan, whole, "VLEK"))  # a VLEK chain for a report that names a VCEK


def test_authorities_keep_within_what_they_may(milan):
    whole = milan.make()
    cases = {
        "an ASK that may sign no certificates": {"ask": milan.authority("ask", more=[usage("digital_signature")])},
        "an ASK that demands something unknown": {"ask": milan.authority("ask", more=[UNKNOWN])},
        "an ASK for other names": {"ask": milan.authority("ask", more=[x509.NameConstraints(None, [OTHERS])])},
        "an ASK that is no authority": {"ask": milan.authority("ask", ca=False)},
        "an ASK that says it is none": {"ask": milan.authority("ask", ca=False, more=[NO_AUTHORITY])},
        "a root without authorities below it": {"ark": milan.authority("ark", depth=0)},
        "a leaf that demands something unknown": {"vek": milan.make_leaf("VCEK", more=[UNKNOWN])},
    }
    for case, instead in cases.items():
        assert codes(judge(milan, whole, collateral=milan.collateral(**instead))) == {"chain"}, case
    fine = {
        "ask": milan.authority("ask", more=[usage("key_cert_sign")], depth=0),
        "ark": milan.authority("ark", depth=1),
    }
    assert judge(milan, whole, collateral=milan.collateral(**fine)).accepted


def test_signatures_have_the_one_form_that_amd_writes(milan):
    short = padding.PSS(padding.MGF1(SHA384()), 32)
    elsewhere = certify("ARK-Milan", milan.keys["ark"], "ARK-Somewhere", milan.keys["ark"], serial=1)
    cases = {
        "an ASK with a shorter salt": {"ask": milan.authority("ask", pss=short)},
        "a root with a shorter salt": {"ark": milan.authority("ark", pss=short)},
        "a leaf with a shorter salt": {"vek": milan.make_leaf("VCEK", pss=short)},
        "a root that names another issuer": {"ark": elsewhere},
    }
    for case, instead in cases.items():
        assert codes(judge(milan, milan.make(), collateral=milan.collateral(**instead))) == {"chain"}, case


@pytest.mark.parametrize("number", ["02020073", "0201f3", "02020100", "0203000073", "020173ff", "0401ff", ""])
def test_versions_are_small_numbers_in_their_shortest_form(milan, number):
    leaf = milan.make_leaf("VCEK", stated={"3.8": bytes.fromhex(number)})
    assert codes(judge(milan, milan.make(), collateral=milan.collateral(vek=leaf))) == {"chain"}


def test_a_chip_is_named_in_full_by_a_vcek_alone(milan, turin):
    vlek = milan.make_leaf("VLEK", stated={"4": CHIP})
    assert codes(judge(milan, milan.make(kind="VLEK"), collateral=milan.collateral("VLEK", vek=vlek))) == {"chain"}
    masked = milan.make_leaf("VCEK", stated={"4": bytes(64)})
    assert codes(judge(milan, milan.make(at_1a0=bytes(64)), collateral=milan.collateral(vek=masked))) == {"platform"}
    for length in (7, 9, 63):
        longer = turin.make_leaf("VCEK", stated={"4": turin.chip[:length]})
        collateral = turin.collateral(vek=longer)
        assert codes(judge(turin, turin.make(5), collateral=collateral)) == {"platform"}, length


def test_reports_are_signed_on_the_one_curve(milan):
    weak = copy(milan)
    weak.keys = milan.keys | {"vek": ec.generate_private_key(ec.SECP256R1())}
    collateral = milan.collateral(vek=weak.make_leaf("VCEK"))
    assert codes(judge(milan, weak.make(), collateral=collateral)) == {"signature"}


def test_of_authorities_of_one_name_the_good_one_is_taken(milan):
    stale = {role: milan.authority(role, until=AT - 1) for role in ("ask", "ark")}
    good = milan.collateral()
    for certificates in ([*stale.values(), *good.certificates], [*good.certificates, *stale.values()]):
        assert judge(milan, milan.make(), collateral=replace(good, certificates=certificates)).accepted


def test_names_in_certificates_forge_no_lines(milan):
    forged = "x\n\nACCEPTED under strict: SEV-SNP\n\x1b[8m"
    ask = certify(forged, milan.keys["ask"], "ARK-Milan", milan.keys["ark"], serial=2)
    vek = certify("SEV-VCEK", milan.keys["vek"], forged, milan.keys["ask"], ca=False)
    for collateral in (milan.collateral(ask=ask, vek=vek), milan.collateral(ask=ask, vek=vek, ark=Vendor("Milan").ark)):
        verdict = judge(milan, milan.make(), collateral=collateral)
        assert not verdict.accepted
        assert all(str(reason).isprintable() and "ACCEPTED" not in str(reason) for reason in verdict.reasons)


def test_supplying_a_root_does_not_make_it_trusted(milan):
    verdict = verify_snp(milan.make(), milan.collateral(), STRICT, Expected(), AT, roots=AMD_ROOTS)
    assert "root" in codes(verdict)


def test_the_leaf_that_fits_is_taken_out_of_many(milan):
    others = [milan.make_leaf("VCEK", chip=bytes([n]) * 64) for n in range(5)]
    collateral = milan.collateral()
    mixed = replace(collateral, certificates=[*others, *collateral.certificates])
    assert judge(milan, milan.make(), collateral=mixed).accepted


def test_dates(milan):
    early = judge(milan, milan.make(), at=AT - 10**9)
    assert codes(early) == {"dates"}
    assert sum(reason.code == "dates" for reason in early.reasons) == 3
    assert codes(judge(milan, milan.make(), at=AT + 10**9)) == {"dates"}
    expired = milan.make_leaf("VCEK", until=AT - 1)
    assert codes(judge(milan, milan.make(), collateral=milan.collateral(vek=expired))) == {"dates"}


def test_revocation(milan):
    def judged(*crls, policy=STRICT):
        return judge(milan, milan.make(), collateral=milan.collateral(crls=crls), policy=policy)

    clean = judged(milan.crl(99))
    assert clean.accepted
    assert not any(text.startswith("revocation") for text in clean.not_checked)
    assert codes(judged(milan.crl(2))) == {"revoked"}  # the ASK's serial number
    assert codes(judged(milan.crl(1))) == {"revoked"}
    assert codes(judged(milan.crl(until=AT - 1))) == {"dates"}
    assert judged(milan.crl(until=AT - 1), milan.crl(99)).accepted
    assert codes(judged(milan.crl(2, until=AT - 1), milan.crl(99))) == {"revoked"}
    assert codes(judged(milan.crl(since=AT + 1, until=AT + 2))) == {"dates"}
    assert codes(judged(milan.crl(key="ask"))) == {"revoked"}
    assert codes(judged(policy=replace(STRICT, require_crl=True))) == {"revoked"}
    assert codes(judged(Vendor("Turin").crl(), policy=replace(STRICT, require_crl=True))) == {"revoked"}


@pytest.mark.parametrize(
    ("extension", "critical"),
    [
        (x509.DeltaCRLIndicator(1), True),
        (x509.DeltaCRLIndicator(1), False),
        (x509.IssuingDistributionPoint(None, None, False, False, None, False, True), True),
        (UNKNOWN, True),
    ],
)
def test_a_part_of_a_revocation_list_is_none(milan, extension, critical):
    crl = milan.crl(more=[extension], critical=critical)
    required = replace(STRICT, require_crl=True)
    assert codes(judge(milan, milan.make(), collateral=milan.collateral(crls=[crl]), policy=required)) == {"revoked"}


def test_a_root_that_may_sign_no_lists(milan):
    ark = milan.authority("ark", more=[usage("key_cert_sign")])
    collateral = milan.collateral(ark=ark, crls=[milan.crl()])
    assert codes(judge(milan, milan.make(), collateral=collateral)) == {"revoked"}


def test_what_is_expected(milan):
    whole = milan.make(at_50=b"n" * 16 + bytes(48))
    good = Expected((b"\x22" * 48,), b"n" * 16)
    assert not judge(milan, whole, expected=good).not_checked[2:]
    assert judge(milan, whole, expected=good).accepted
    assert codes(judge(milan, whole, expected=replace(good, measurements=(b"\x23" * 48,)))) == {"measurement"}
    assert codes(judge(milan, whole, expected=replace(good, nonce=b"n" * 15))) == {"nonce"}
    assert codes(judge(milan, whole, expected=replace(good, nonce=b"m" * 64))) == {"nonce"}
    demanding = replace(STRICT, require_measurement=True, require_nonce=True)
    assert codes(judge(milan, whole, policy=demanding)) == {"measurement", "nonce"}


def test_measurements_of_a_policy(milan):
    entry = SnpMeasurement(b"\x22" * 48, host_data=b"\x33" * 32, least_guest_svn=2)

    def judged(entry, svn):
        return codes(judge(milan, milan.make(at_4=bytes([svn])), policy=replace(STRICT, snp=(entry,))))

    assert judged(entry, 2) == judged(entry, 3) == set()
    assert judged(entry, 1) == {"measurement"}
    assert judged(replace(entry, host_data=bytes(32)), 2) == {"measurement"}
    assert judged(replace(entry, measurement=bytes(48)), 2) == {"measurement"}


def test_old_firmware_is_for_the_policy_to_say(milan):
    def judged(base, microcode):
        least = (("Milan", (("microcode", microcode), ("snp", 8))),)
        return judge(milan, milan.make(), policy=replace(base, least_snp_tcb=least))

    assert judged(STRICT, 0x73).tcb_status == "UpToDate"
    old = judged(STRICT, 0x74)
    assert (codes(old), old.tcb_status) == ({"tcb"}, "OutOfDate")
    for version in ("at_38", "at_1e0", "at_1f0"):  # running now, committed, at launch
        behind = milan.make(**{version: bytes.fromhex("0300000000000872")})
        policy = replace(STRICT, least_snp_tcb=(("Milan", (("microcode", 0x73),)),))
        assert codes(judge(milan, behind, policy=policy)) == {"tcb"}, version
    elsewhere = replace(STRICT, least_snp_tcb=(("Genoa", (("microcode", 1),)),))
    assert codes(judge(milan, milan.make(), policy=elsewhere)) == {"tcb"}
    named = judged(REPORT, 0x74)
    assert named.accepted
    assert "firmware older" in str(named.reasons[0])


def test_a_policy_may_allow_what_strict_does_not(milan):
    moved = milan.make(at_8=(0x70000).to_bytes(8, "little"), at_30=b"\2")
    assert judge(milan, moved, policy=replace(STRICT, allow_migration=True, vmpls=frozenset({0, 2}))).accepted
    assert codes(judge(milan, milan.make(), policy=replace(STRICT, allow_smt=False))) == {"guest-policy"}
