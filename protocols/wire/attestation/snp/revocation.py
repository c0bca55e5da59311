"""AMD's revocation lists: each root signs one, of its ASK and ASVK. Of chips there is none: a VCEK is never revoked."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509

from hansa.protocols.wire.attestation.snp.chain import signed_by
from hansa.protocols.wire.attestation.verdict import Findings, ReasonCode
from hansa.protocols.wire.attestation.x509 import moment

_PARTIAL = (x509.DeltaCRLIndicator, x509.IssuingDistributionPoint)


def check_revocation(
    findings: Findings,
    ask: x509.Certificate,
    ark: x509.Certificate,
    crls: Iterable[x509.CertificateRevocationList],
    at: int,
    *,
    required: bool,
) -> None:
    """The root's lists, where any was given, are its own and whole, one of them is in force, and none names ASK or root."""
    mine = [crl for crl in crls if crl.issuer == ark.subject]
    if not mine:
        text = "revocation: no revocation list (CRL) of this root was given"
        if required:
            findings.refuse(ReasonCode.REVOKED, f"the policy requires a revocation list, and {text.partition(': ')[2]}")
        else:
            findings.not_checked(text)
        return
    if not any(_in_force(crl, at) for crl in mine):
        findings.refuse(ReasonCode.DATES, f"no revocation list of the root is in force on {moment(at):%Y-%m-%d}")
    for crl in mine:
        if not signed_by(crl, ark) or not _may_sign_lists(ark):
            findings.refuse(ReasonCode.REVOKED, "the revocation list is not signed by the root")
        if any(one.critical or isinstance(one.value, _PARTIAL) for one in crl.extensions):
            findings.refuse(ReasonCode.REVOKED, "the revocation list is not a whole one")
        for certificate, name in ((ask, "ASK or ASVK"), (ark, "root")):
            if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
                findings.refuse(ReasonCode.REVOKED, f"the {name} certificate has been revoked")


def _in_force(crl: x509.CertificateRevocationList, at: int) -> bool:
    until = crl.next_update_utc
    return crl.last_update_utc <= moment(at) and until is not None and moment(at) <= until


def _may_sign_lists(ark: x509.Certificate) -> bool:
    usage = next((one.value for one in ark.extensions if isinstance(one.value, x509.KeyUsage)), None)
    return usage is None or usage.crl_sign
