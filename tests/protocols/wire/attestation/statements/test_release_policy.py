"""An owner's release policy, and the parcel that opens under it only."""

import os
from dataclasses import replace

import pytest
from nacl.bindings import crypto_scalarmult_base
from nacl.signing import SigningKey

from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire import canonical, limits, signing
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements import parcel
from hansa.protocols.wire.attestation.statements.release_policy import ReleasePolicy

CODE = Code("SEV-SNP", b"c" * 48)
SIGNING_KEY = b"\1" * 32
OWNER = bytes(SigningKey(SIGNING_KEY).verify_key)
NOW = 1_800_000_000
POLICY = ReleasePolicy(b"j" * 32, OWNER, b"e" * 32, "enclave", (CODE,), "clients", ("age", "income"), NOW + 60)
SECRET = os.urandom(32)
PUBLIC = crypto_scalarmult_base(SECRET)


def test_a_signed_policy_survives():
    assert ReleasePolicy.verified_untrusted(POLICY.signed(SIGNING_KEY)) == POLICY
    POLICY.check(replace(POLICY, until=0), CODE, NOW)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"job_id": b"k" * 32}, "for the job"),
        ({"owner": b"o" * 32}, "for the owner"),
        ({"enclave": b"f" * 32}, "for the enclave"),
        ({"role": "scorer"}, "for the role scorer, not enclave"),
        ({"dataset": "others"}, "for the dataset others, not clients"),
        ({"columns": ("age",)}, "for the columns age, not age, income"),
        ({"codes": (Code("SEV-SNP", b"d" * 48),)}, "does not name the code that runs here"),
        ({"codes": (Code("TDX", b"c" * 48),)}, "does not name the code that runs here"),
        ({"until": NOW}, "has ended"),
    ],
)
def test_what_is_not_released_is_refused_by_name(change, what):
    with pytest.raises(SecurityError, match=what):
        replace(POLICY, **change).check(POLICY, CODE, NOW)


def test_only_its_owner_makes_a_policy():
    by_another = POLICY.signed(b"\2" * 32)
    body, later = POLICY.encode(), replace(POLICY, until=NOW + 61).encode()
    other_purpose = canonical.encode({"policy": body, "sig": signing.sign(SIGNING_KEY, "code-upgrade", body)})
    changed = canonical.encode({"policy": later, "sig": signing.sign(SIGNING_KEY, "release-policy", body)})
    for forged in (by_another, other_purpose, changed):
        with pytest.raises(SecurityError, match="does not verify"):
            ReleasePolicy.verified_untrusted(forged)


@pytest.mark.parametrize("data", [b"", b"\xc0", canonical.encode({"policy": b"", "sig": bytes(64)})])
def test_what_is_no_policy_is_refused(data):
    with pytest.raises(PeerMisbehaved):
        ReleasePolicy.verified_untrusted(data)


def refuse(policy):
    raise SecurityError("not here", remedy="none")


def test_a_parcel_opens_for_its_enclave_under_its_policy():
    closed = parcel.close(POLICY.signed(SIGNING_KEY), PUBLIC, b"rows")
    seen = []
    assert parcel.open_untrusted(closed, SECRET, seen.append) == b"rows"
    assert seen == [POLICY]
    assert b"rows" not in closed


def test_the_policy_is_checked_before_the_key_is_touched(monkeypatch):
    closed = parcel.close(POLICY.signed(SIGNING_KEY), PUBLIC, b"rows")
    monkeypatch.setattr(parcel, "crypto_box_seal_open", lambda *_: pytest.fail("the key was touched"))
    with pytest.raises(SecurityError, match="not here"):
        parcel.open_untrusted(closed, SECRET, refuse)


def test_under_another_policy_of_the_same_owner_nothing_opens():
    signed, laxer = POLICY.signed(SIGNING_KEY), replace(POLICY, until=NOW + 10**6).signed(SIGNING_KEY)
    closed = parcel.close(signed, PUBLIC, b"rows")
    swapped = len(laxer).to_bytes(4, "big") + laxer + closed[4 + len(signed) :]
    with pytest.raises(PeerMisbehaved, match="does not open"):
        parcel.open_untrusted(swapped, SECRET, lambda policy: None)


def test_a_policy_is_no_longer_than_one_is_read():
    most = limits.RELEASE_POLICY_MAX_BYTES
    for length, why in ((most, "do not decode"), (most + 1, "a parcel does not open")):
        with pytest.raises(PeerMisbehaved, match=why):
            parcel.open_untrusted(parcel.close(bytes(length), PUBLIC, b"rows"), SECRET, lambda policy: None)


def test_another_enclave_opens_nothing():
    closed = parcel.close(POLICY.signed(SIGNING_KEY), PUBLIC, b"rows")
    with pytest.raises(PeerMisbehaved, match="sealed for another enclave"):
        parcel.open_untrusted(closed, os.urandom(32), lambda policy: None)


def test_no_byte_can_be_changed_or_lost():
    closed = parcel.close(POLICY.signed(SIGNING_KEY), PUBLIC, b"rows")
    for place in range(len(closed)):
        changed = closed[:place] + bytes([closed[place] ^ 1]) + closed[place + 1 :]
        with pytest.raises((PeerMisbehaved, SecurityError)):
            parcel.open_untrusted(changed, SECRET, lambda policy: None)
    for length in (0, 3, 4, 100, len(closed) - 1):
        with pytest.raises((PeerMisbehaved, SecurityError)):
            parcel.open_untrusted(closed[:length], SECRET, lambda policy: None)
