"""A certificate is the full, ordered set of the parties' signatures for one attempt, and nothing else."""

from dataclasses import replace

import pytest

from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire import canonical, limits
from hansa.protocols.wire.consent.certificate import Certificate, Signature
from hansa.protocols.wire.declared import plain


@pytest.fixture
def signatures(trio_of, contract):
    return [trio_of.sign(rank, contract) for rank in range(3)]


def test_it_is_there_once_all_have_signed_and_equal_for_all(contract, signatures):
    assert Certificate.of(contract, 0, signatures[:2]) is None
    certificate = Certificate.of(contract, 0, signatures)
    assert certificate == Certificate.of(contract, 0, reversed(signatures))
    assert certificate.encode() == Certificate.of(contract, 0, reversed(signatures)).encode()
    certificate.verify(contract)
    assert Certificate.decode_untrusted(certificate.encode()) == certificate


def test_signatures_for_other_jobs_and_attempts_do_not_count(trio_of, contract, signatures):
    other = trio_of.contract(name="other")
    assert Certificate.of(contract, 1, signatures) is None
    assert Certificate.of(contract, 0, [*signatures[:2], trio_of.sign(2, other)]) is None
    assert Certificate.of(contract, 0, [*signatures[:2], trio_of.sign(2, contract, attempt=1)]) is None
    assert Certificate.of(contract, 0, [*signatures[:2], trio_of.sign(3, contract)]) is None


@pytest.mark.parametrize("field", ["identity", "job_id", "nonce", "job_key", "sig"])
def test_a_signature_with_one_bit_changed_is_refused(signatures, field):
    value = bytearray(getattr(signatures[0], field))
    value[3] ^= 4
    with pytest.raises(SecurityError, match="does not verify"):
        Signature.from_untrusted(plain(replace(signatures[0], **{field: bytes(value)})))


def test_a_signature_is_for_one_attempt(signatures):
    with pytest.raises(SecurityError, match="does not verify"):
        replace(signatures[0], attempt=1).verify()


def test_attempts_are_bounded(trio_of, contract):
    most = trio_of.sign(0, contract, attempt=limits.MAX_ATTEMPT)
    assert Signature.from_untrusted(plain(most)) == most
    with pytest.raises(PeerMisbehaved, match="'attempt'"):
        Signature.from_untrusted(plain(trio_of.sign(0, contract, attempt=limits.MAX_ATTEMPT + 1)))


def test_what_is_wrong_with_a_certificate_names_the_party(trio_of, contract, signatures):
    one, two, three = signatures
    other = trio_of.contract(name="other")
    later = trio_of.sign(1, contract, attempt=1)
    cases = [
        ((one, two), "of telecom"),
        ((two, one, three), "of bank"),
        ((one, two, two), "of telecom"),
        ((one, later, three), "of bureau"),
        ((one, trio_of.sign(1, other), three), "of bureau"),
        ((one, two, trio_of.sign(3, contract)), "of telecom"),
    ]
    for entries, match in cases:
        with pytest.raises(SecurityError, match=match):
            Certificate(contract.job_id, 0, entries).verify(contract)
    with pytest.raises(SecurityError, match="does not verify"):
        Certificate(contract.job_id, 0, (one, replace(two, sig=one.sig), three)).verify(contract)


def test_more_or_other_than_the_contracts_parties_is_refused(trio_of, contract, signatures):
    extra = trio_of.sign(3, contract)
    with pytest.raises(SecurityError, match="another contract"):
        Certificate(contract.job_id, 0, (*signatures, extra)).verify(contract)
    with pytest.raises(SecurityError, match="another contract"):
        Certificate(b"x" * 32, 0, tuple(signatures)).verify(contract)


def test_decoding_is_bounded(contract, signatures):
    certificate = Certificate.of(contract, 0, signatures)
    value = canonical.decode_untrusted(certificate.encode(), 1 << 16)
    for entries in ([value["entries"][0]], [value["entries"][0]] * (limits.CONTRACT_MAX_MEMBERS + 1)):
        with pytest.raises(PeerMisbehaved, match="'entries'"):
            Certificate.decode_untrusted(canonical.encode({**value, "entries": entries}))
    with pytest.raises(PeerMisbehaved, match="unknown fields: extra"):
        Certificate.decode_untrusted(canonical.encode({**value, "extra": 1}))
    with pytest.raises(PeerMisbehaved, match="bytes where at most"):
        Certificate.decode_untrusted(bytes(1 << 14))
    data = certificate.encode()
    for cut in range(0, len(data), 7):
        with pytest.raises(PeerMisbehaved, match="a peer sent"):
            Certificate.decode_untrusted(data[:cut])
