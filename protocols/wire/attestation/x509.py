"""Certificates and revocation lists out of bytes somebody supplied; what is common to checking any of them."""

from __future__ import annotations

import warnings
from base64 import b64decode
from datetime import UTC, datetime

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID

from hansa.protocols.wire.attestation.errors import MalformedEvidence
from hansa.protocols.wire.limits import ATTESTATION_MAX_CERTIFICATE, ATTESTATION_MAX_CERTIFICATES

CERTIFICATE, CRL = b"CERTIFICATE", b"X509 CRL"
PEM_KINDS = (CERTIFICATE, CRL)
_BEGIN = b"-----BEGIN "
_LONGEST_KIND = 64

_UNREADABLE = (
    ValueError,
    TypeError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

# every VCEK has the serial number 0, which RFC 5280 disallows and the library warns of; once for the process, as undoing it
# would race between threads
warnings.filterwarnings("ignore", "Parsed a serial number which wasn't positive", CryptographyDeprecationWarning)


def load_certificate_untrusted(der: bytes) -> x509.Certificate:
    """One DER certificate, nothing after it."""
    _bounded(der, "certificate")
    try:
        certificate = x509.load_der_x509_certificate(der)
        # the library parses these only when asked for them, and raises only then
        _ = (certificate.subject, certificate.issuer, list(certificate.extensions))
        _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    except _UNREADABLE as error:
        raise MalformedEvidence("certificate", f"cannot be read: {_line(error)}") from error
    _ends_in_whole_bytes(der, certificate.signature, "certificate")
    return certificate


def load_crl_untrusted(der: bytes) -> x509.CertificateRevocationList:
    """One DER revocation list, nothing after it."""
    _bounded(der, "revocation list")
    try:
        crl = x509.load_der_x509_crl(der)
        _ = (crl.issuer, crl.last_update_utc, crl.next_update_utc, list(crl), list(crl.extensions))
    except _UNREADABLE as error:
        raise MalformedEvidence("revocation list", f"cannot be read: {_line(error)}") from error
    _ends_in_whole_bytes(der, crl.signature, "revocation list")
    return crl


def pem_blocks_untrusted(text: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and DER of every certificate and revocation list in a text, in one pass; other blocks are left out.

    ``MalformedEvidence`` where one does not end, is not base64, or they are more than ``ATTESTATION_MAX_CERTIFICATES``.
    """
    found: list[tuple[bytes, bytes]] = []
    at = blocks = 0
    while (begin := text.find(_BEGIN, at)) >= 0:
        after = begin + len(_BEGIN)
        kind, dashes, _ = text[after : after + _LONGEST_KIND].partition(b"-----")
        body = after + len(kind) + len(dashes)
        ending = b"-----END " + kind + b"-----"
        end = text.find(ending, body) if dashes else -1
        if end < 0:
            raise MalformedEvidence("PEM", "has a block that does not end")
        at, blocks = end + len(ending), blocks + 1
        if blocks > ATTESTATION_MAX_CERTIFICATES:
            raise MalformedEvidence("PEM", f"has more than {ATTESTATION_MAX_CERTIFICATES} blocks")
        if kind not in PEM_KINDS:
            continue
        try:
            found.append((kind, b64decode(b"".join(text[body:end].split()), validate=True)))
        except ValueError as error:
            raise MalformedEvidence("PEM", "is not base64") from error
    return found


def common_name(name: x509.Name) -> str:
    """The common name; empty where there is none, more than one, or one that cannot be printed."""
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(found[0].value) if len(found) == 1 else ""
    return text if text.isprintable() else ""


def in_force(certificate: x509.Certificate, at: int) -> bool:
    """Whether Unix time ``at`` lies in the certificate's validity."""
    return certificate.not_valid_before_utc <= moment(at) <= certificate.not_valid_after_utc


def moment(at: int) -> datetime:
    """A Unix time as a date."""
    return datetime.fromtimestamp(at, UTC)


def _ends_in_whole_bytes(der: bytes, signature: bytes, what: str) -> None:
    """The signature's BIT STRING has no unused bits: else its count could be changed, and nobody would notice."""
    if not der.endswith(b"\0" + signature):
        raise MalformedEvidence(what, "has a signature that does not end in a whole byte")


def _bounded(der: bytes, what: str) -> None:
    if len(der) > ATTESTATION_MAX_CERTIFICATE:
        raise MalformedEvidence(what, f"has {len(der)} bytes, more than {ATTESTATION_MAX_CERTIFICATE}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
