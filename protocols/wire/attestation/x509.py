"""Certificates and revocation lists out of bytes somebody supplied; what is common to checking any of them."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID

from hansa.protocols.wire.attestation.errors import MalformedEvidence
from hansa.protocols.wire.limits import ATTESTATION_MAX_CERTIFICATE

_UNREADABLE = (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


def load_certificate_untrusted(der: bytes) -> x509.Certificate:
    """One DER certificate, nothing after it."""
    _bounded(der, "certificate")
    with warnings.catch_warnings():
        # every VCEK has the serial number 0, which RFC 5280 disallows and the library warns of
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        try:
            certificate = x509.load_der_x509_certificate(der)
            # the library parses these only when asked for them, and raises only then
            _ = (certificate.subject, certificate.issuer, list(certificate.extensions))
            _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        except _UNREADABLE as error:
            raise MalformedEvidence("certificate", f"cannot be read: {_line(error)}") from error
    return certificate


def load_crl_untrusted(der: bytes) -> x509.CertificateRevocationList:
    """One DER revocation list, nothing after it."""
    _bounded(der, "revocation list")
    try:
        crl = x509.load_der_x509_crl(der)
        _ = (crl.issuer, crl.last_update_utc, crl.next_update_utc, list(crl))
    except _UNREADABLE as error:
        raise MalformedEvidence("revocation list", f"cannot be read: {_line(error)}") from error
    return crl


def common_name(name: x509.Name) -> str:
    """The common name; empty where there is none, or more than one."""
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if len(found) == 1 else ""


def in_force(certificate: x509.Certificate, at: int) -> bool:
    """Whether Unix time ``at`` lies in the certificate's validity."""
    return certificate.not_valid_before_utc <= moment(at) <= certificate.not_valid_after_utc


def moment(at: int) -> datetime:
    """A Unix time as a date."""
    return datetime.fromtimestamp(at, UTC)


def _bounded(der: bytes, what: str) -> None:
    if len(der) > ATTESTATION_MAX_CERTIFICATE:
        raise MalformedEvidence(what, f"has {len(der)} bytes, more than {ATTESTATION_MAX_CERTIFICATE}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
