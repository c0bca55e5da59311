"""Collateral that somebody sends: what it costs to read is bounded by its length, and what is broken is refused by name."""

from __future__ import annotations

import struct
import uuid

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.tee.amd import integer

from hansa.node.errors import UsageError
from hansa.node.tee.evidence.collateral import collateral_untrusted, load_collateral, parse_collateral_untrusted
from hansa.protocols.wire import limits
from hansa.protocols.wire.attestation.errors import MalformedEvidence
from hansa.protocols.wire.attestation.x509 import load_certificate_untrusted, load_crl_untrusted, pem_blocks_untrusted

VCEK = uuid.UUID("63da758d-e664-4564-adc5-f4b93be8accd").bytes
BEGIN = b"-----BEGIN CERTIFICATE-----\n"


def table(*entries, data=b""):
    """A host's table: (kind, offset, size), then the end, then ``data``."""
    return b"".join(struct.pack("<16sII", *entry) for entry in entries) + bytes(24) + data


def pem(certificate, times=1):
    return certificate.public_bytes(Encoding.PEM) * times


def test_beginnings_without_end_are_read_once():
    """A peer may send a megabyte of them: what grows with its square stalls the daemon for minutes."""
    text = BEGIN * (limits.ATTESTATION_MAX_SENT // len(BEGIN))
    with pytest.raises(MalformedEvidence, match="has a block that does not end"):
        collateral_untrusted([text])  # begun anew at each of them it takes longer than a test may


def test_blocks_of_no_use_count_too(milan):
    """A megabyte of them would be read block by block."""
    other = b"-----BEGIN X-----\n-----END X-----\n"
    assert pem_blocks_untrusted(other * limits.ATTESTATION_MAX_CERTIFICATES) == []
    with pytest.raises(MalformedEvidence, match="more than 64 blocks"):
        pem_blocks_untrusted(other * (limits.ATTESTATION_MAX_CERTIFICATES + 1))


def test_other_blocks_are_left_out(milan):
    other = b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"
    text = b"some words\n" + other + pem(milan.ask) + other + milan.crl().public_bytes(Encoding.PEM)
    assert [kind for kind, _ in pem_blocks_untrusted(text)] == [b"CERTIFICATE", b"X509 CRL"]
    assert len(parse_collateral_untrusted(text)) == 2
    with pytest.raises(MalformedEvidence, match="is not base64"):
        pem_blocks_untrusted(BEGIN + b"!\n-----END CERTIFICATE-----\n")


def test_as_many_certificates_as_are_looked_at_and_one_more(milan):
    most = limits.ATTESTATION_MAX_CERTIFICATES
    assert len(pem_blocks_untrusted(pem(milan.ask, most))) == most
    with pytest.raises(MalformedEvidence, match=f"more than {most} blocks"):
        pem_blocks_untrusted(pem(milan.ask, most + 1))
    many = [milan.make_leaf("VCEK", serial=n).public_bytes(Encoding.DER) for n in range(1, most + 2)]
    assert len(collateral_untrusted(many[:most] + many[:most]).snp.certificates) == most
    with pytest.raises(UsageError, match=f"has {most + 1} pieces"):
        collateral_untrusted(many)


def test_a_table_cannot_make_more_of_itself_than_it_is(milan):
    der = milan.ask.public_bytes(Encoding.DER)
    start = 24 * 2
    good = table((VCEK, start, len(der)), data=der)
    assert len(parse_collateral_untrusted(good)) == 1
    entries = 3
    overlapping = [(VCEK, 24 * (entries + 1), len(der))] * entries
    with pytest.raises(MalformedEvidence, match="entries that overlap"):
        parse_collateral_untrusted(table(*overlapping, data=der))
    with pytest.raises(MalformedEvidence, match="past its end"):
        parse_collateral_untrusted(table((VCEK, start, len(der) + 1), data=der))
    with pytest.raises(MalformedEvidence, match="does not end"):
        parse_collateral_untrusted(table((VCEK, 0, 0))[:30])
    entries = [(VCEK, 24 * 17, len(der))] + [(b"\1" * 16, 0, 0)] * 15
    assert len(parse_collateral_untrusted(table(*entries, data=der))) == 1
    with pytest.raises(MalformedEvidence, match="more than 16 entries"):
        parse_collateral_untrusted(table(*entries, entries[-1], data=der))
    inside = table((VCEK, start, len(good)), data=good)
    with pytest.raises(MalformedEvidence, match="neither JSON, PEM, DER"):
        parse_collateral_untrusted(inside)


def with_version(der, version):
    """The same certificate or list, of another version of X.509."""
    at = der.index(b"\xa0\3\2\1") + 4 if b"\xa0\3\2\1" in der[:20] else der.index(integer(1)) + 2
    return der[:at] + bytes([version]) + der[at + 1 :]


def test_versions_of_certificates_that_nobody_knows(milan):
    with pytest.raises(MalformedEvidence, match="certificate cannot be read: 4 is not a valid X509 version"):
        load_certificate_untrusted(with_version(milan.vcek.public_bytes(Encoding.DER), 4))
    with pytest.raises(MalformedEvidence, match="revocation list"):
        load_crl_untrusted(with_version(milan.crl().public_bytes(Encoding.DER), 4))


def test_a_signature_ends_in_a_whole_byte(milan):
    """The number of bits of its last byte that do not count is nobody's to choose."""
    for loads, whole in ((load_certificate_untrusted, milan.vcek), (load_crl_untrusted, milan.crl(99))):
        der, signature = whole.public_bytes(Encoding.DER), whole.signature
        assert loads(der)
        changed = bytearray(der[: -len(signature)] + signature[:-1] + bytes([signature[-1] & 0xFE]))
        changed[-len(signature) - 1] = 1
        with pytest.raises(MalformedEvidence, match=r"whole byte|cannot be read"):
            loads(bytes(changed))


def test_a_folder_is_read_for_what_is_in_it(tmp_path, milan):
    (tmp_path / "vcek.der").write_bytes(with_version(milan.vcek.public_bytes(Encoding.DER), 4))
    (tmp_path / "ask.pem").write_bytes(pem(milan.ask))
    assert len(load_collateral([tmp_path]).snp.certificates) == 1
    with pytest.raises(UsageError, match=r"vcek\.der is no collateral"):
        load_collateral([tmp_path / "vcek.der"])
    with pytest.raises(UsageError, match="cannot be read: File name too long"):
        load_collateral([tmp_path / ("x" * 300)])
