"""A SEV-SNP report judged: parse, chain to AMD's pinned root, signature, then our policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from hansa.protocols.wire.attestation.code_check import check_code
from hansa.protocols.wire.attestation.errors import MalformedEvidence, UnknownVersion
from hansa.protocols.wire.attestation.platforms import SNP
from hansa.protocols.wire.attestation.policy import UP_TO_DATE, EvidencePolicy, Expected, check_nonce
from hansa.protocols.wire.attestation.snp.chain import Chain, check_chain, check_leaf, find_chain, listed, report_key
from hansa.protocols.wire.attestation.snp.report import SnpReport, parse_untrusted
from hansa.protocols.wire.attestation.snp.revocation import check_revocation
from hansa.protocols.wire.attestation.verdict import Findings, ReasonCode, Verdict

AMD_ROOTS = {
    "Milan": bytes.fromhex("9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9"),
    "Genoa": bytes.fromhex("429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831"),
    "Turin": bytes.fromhex("4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08"),
}
"""AMD's root keys (ARK), pinned: a supplied root certificate is believed only if its key is one of these.

SHA-256 of the DER SubjectPublicKeyInfo of the ARK certificates AMD publishes for each product
(https://kdsintf.amd.com/vcek/v1/{Milan,Genoa,Turin}/cert_chain, the second certificate). VCEK and VLEK chains of a
product end in the same key.
"""

OUT_OF_DATE = "OutOfDate"
AMD_ROOTS = {
    "Milan": bytes.fromhex("9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9"),
    "Genoa": bytes.fromhex("429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831"),
    "Turin": bytes.fromhex("4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08"),
}
"""AMD's root keys (ARK), pinned: a supplied root certificate is believed only if its key is one of these.

SHA-256 of the DER SubjectPublicKeyInfo of the ARK certificates that AMD publishes for each product
(https://kdsintf.amd.com/vcek/v1/{Milan,Genoa,Turin}/cert_chain, the second certificate). VCEK and VLEK chains of a product end in
the same key.
"""


@dataclass(frozen=True, slots=True)
class SnpCollateral:
    """Certificates (VCEK or VLEK, ASK or ASVK, ARK) and revocation lists, in any order."""

    certificates: Sequence[x509.Certificate] = ()
    crls: Sequence[x509.CertificateRevocationList] = ()


def verify_snp(
    data: bytes,
    collateral: SnpCollateral,
    policy: EvidencePolicy,
    expected: Expected,
    at: int,
    *,
    roots: Mapping[str, bytes] = AMD_ROOTS,
) -> Verdict:
    """Judge a report as of Unix time ``at``. Anything wrong with the evidence is a reason of the verdict, never raised.

    ``roots`` maps a product to the SHA-256 of its root's SubjectPublicKeyInfo.
    """
    findings = Findings()
    try:
        report = parse_untrusted(data)
    except MalformedEvidence as error:
        code = ReasonCode.UNKNOWN_VERSION if isinstance(error, UnknownVersion) else ReasonCode.MALFORMED
        findings.refuse(code, error.message)
        return findings.verdict(SNP, {})
    if report.signing_key not in ("VCEK", "VLEK"):
        findings.refuse(ReasonCode.SIGNING_KEY, "the report is signed by no key")
        return findings.verdict(SNP, report.as_fields(report.product()))
    chain = find_chain(report, collateral.certificates, roots, at)
    sound = check_chain(findings, chain, report.signing_key, at)
    product = chain.product or report.product()
    fields = report.as_fields(product)
    _check_authenticity(findings, report, chain, fields, sound=sound)
    if sound and chain.ask is not None and chain.ark is not None:
        check_revocation(findings, chain.ask, chain.ark, collateral.crls, at, required=policy.require_crl)
    else:
        findings.not_checked("revocation: not reached, as the chain does not hold")
    _check_guest(findings, report, policy)
    status = _check_tcb(findings, report, policy, product)
    found = {
        "measurement": report.measurement,
        "host_data": report.host_data,
        "id_key_digest": report.id_key_digest,
        "guest_svn": report.guest_svn,
    }
    check_code(findings, policy, expected, SNP, found)
    check_nonce(findings, policy, expected, report.report_data)
    return findings.verdict(SNP, fields, status)


def _check_authenticity(
    findings: Findings, report: SnpReport, chain: Chain, fields: dict[str, Any], *, sound: bool
) -> None:
    """The leaf belongs to the report, and signed it."""
    if chain.vek is None:
        return
    if chain.product is not None:
        by_cpuid = report.product()
        if by_cpuid is not None and by_cpuid != chain.product:
            findings.refuse(
                ReasonCode.PLATFORM,
                f"the report's CPUID is {by_cpuid or 'of no known product'}, its root's {chain.product}",
            )
        if leaf := check_leaf(findings, report, chain.vek, chain.product):
            fields["vek_ext"] = leaf.as_fields()
    key = report_key(chain.vek)
    if key is None or not _signed(report, key):
        findings.refuse(ReasonCode.SIGNATURE, f"the report's signature is not by its {report.signing_key}")
    elif not sound:
        findings.note(
            ReasonCode.SIGNATURE, f"the {report.signing_key} signed the report, but nobody vouches for that key"
        )


def _signed(report: SnpReport, key: ec.EllipticCurvePublicKey) -> bool:
    """ECDSA P-384 with SHA-384 over the bytes before the signature; r and s out of range never verify."""
    try:
        key.verify(encode_dss_signature(report.r, report.s), report.signed, ec.ECDSA(SHA384()))
    except InvalidSignature:
        return False
    return True


def _check_guest(findings: Findings, report: SnpReport, policy: EvidencePolicy) -> None:
    """What the guest's owner allowed its host."""
    if report.debug:
        findings.refuse(ReasonCode.DEBUG, "the guest policy lets the host debug the guest: read and write its memory")
    if report.migrate_ma and not policy.allow_migration:
        findings.refuse(ReasonCode.GUEST_POLICY, "the guest policy lets a migration agent move the guest")
    if report.smt and not policy.allow_smt:
        findings.refuse(ReasonCode.GUEST_POLICY, "the guest policy allows a core to be shared with others (SMT)")
    if report.vmpl not in policy.vmpls:
        findings.refuse(ReasonCode.VMPL, f"the report was asked for at VMPL {report.vmpl}")
    if report.mask_chip:
        findings.refuse(ReasonCode.SIGNING_KEY, "the report's key is masked")


def _check_tcb(findings: Findings, report: SnpReport, policy: EvidencePolicy, product: str | None) -> str | None:
    """AMD publishes no list of firmware versions with a status: what is old is for the policy to say.

    It is said of all four: the host may go back to the committed version, and the one at launch did the measuring.
    """
    if not product or not policy.least_snp_tcb:
        findings.not_checked("TCB status: AMD publishes none, and the policy has no least versions for this product")
        return None
    least = policy.least_tcb(product)
    if not least:
        findings.refuse(ReasonCode.TCB, f"the policy names least firmware of other products than {product}")
        return None
    parts = {name: tcb.parts(product) for name, tcb in report.tcbs.items()}
    behind = {
        f"{name} {part}": found[part]
        for name, found in parts.items()
        for part, wanted in least.items()
        if found[part] < wanted
    }
    if not behind:
        return UP_TO_DATE
    code = findings.note if policy.statuses is None else findings.refuse
    code(ReasonCode.TCB, f"firmware older than the policy's least ({listed(least)}): {listed(behind)}")
    return OUT_OF_DATE
