"""AMD's certificates: root (ARK), then ASK or ASVK, then the key that signs reports, VCEK (one a chip) or VLEK (one a cloud).

Source: AMD 57230, "VCEK certificate and KDS interface", revision 1.00, and its VLEK successor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hansa.protocols.wire.attestation.errors import MalformedEvidence
from hansa.protocols.wire.attestation.snp_report import SnpReport
from hansa.protocols.wire.attestation.verdict import Code, Findings
from hansa.protocols.wire.attestation.x509 import common_name, in_force, moment

_AMD = "1.3.6.1.4.1.3704.1."
_PARTS = {"boot_loader": "3.1", "tee": "3.2", "snp": "3.3", "microcode": "3.8", "fmc": "3.9"}
_PRODUCT, _HWID = "2", "4"
_PRODUCTS = {"Milan": ("Milan",), "Genoa": ("Genoa", "Siena", "Bergamo"), "Turin": ("Turin",)}
_SALT = 48
_DER_INTEGER, _DER_OCTETS, _DER_IA5 = 0x02, 0x04, 0x16


@dataclass(frozen=True, slots=True)
class Leaf:
    """What AMD states in a VCEK or VLEK: the product, the firmware versions its key was derived from, the chip."""

    product: str
    parts: dict[str, int]
    hwid: bytes

    def as_fields(self) -> dict[str, object]:
        """For the verdict."""
        short = {"boot_loader": "bl", "microcode": "ucode"}
        return {
            "prod": self.product,
            **{short.get(name, name): value for name, value in self.parts.items()},
            "hwid": self.hwid.hex(),
        }


@dataclass(frozen=True, slots=True)
class Chain:
    """The certificates found for a report, each ``None`` where it is not there, and the root's product."""

    vek: x509.Certificate | None
    ask: x509.Certificate | None
    ark: x509.Certificate | None
    product: str | None


def read_leaf(certificate: x509.Certificate) -> Leaf:
    """AMD's extensions; ``MalformedEvidence`` where one is missing or in another form."""
    values = {
        extension.oid.dotted_string.removeprefix(_AMD): extension.value.value
        for extension in certificate.extensions
        if isinstance(extension.value, x509.UnrecognizedExtension)
    }
    parts = {name: _integer(values[oid], name) for name, oid in _PARTS.items() if oid in values}
    missing = {"boot_loader", "tee", "snp", "microcode"} - parts.keys()
    if missing:
        raise MalformedEvidence("VCEK", f"does not state {', '.join(sorted(missing))}")
    return Leaf(_text(values.get(_PRODUCT, b"")), parts, _octets(values.get(_HWID, b"")))


def find_chain(report: SnpReport, given: Iterable[x509.Certificate], roots: Mapping[str, bytes]) -> Chain:
    """The chain for ``report`` among certificates in any order; nothing in it is verified yet.

    Several leaves may be given (a folder of them): the one that names the report's chip and firmware is taken.
    """
    certificates = list(given)
    leaves = [one for one in certificates if common_name(one.subject) == f"SEV-{report.signing_key}"]
    vek = min(leaves, key=lambda one: _strangeness(report, one), default=None)
    if vek is None:
        return Chain(None, None, None, None)
    ask = next((one for one in certificates if one.subject == vek.issuer and one.subject != one.issuer), None)
    if ask is None:
        return Chain(vek, None, None, None)
    named = [one for one in certificates if one.subject == ask.issuer]
    pins = {pin: product for product, pin in roots.items()}
    ark = next((one for one in named if key_hash(one) in pins), named[0] if named else None)
    return Chain(vek, ask, ark, pins.get(key_hash(ark)) if ark is not None else None)


def check_chain(findings: Findings, chain: Chain, kind: str, at: int) -> bool:
    """Root pinned, every signature, every date. False where the leaf's key cannot be relied on."""
    for certificate, name in ((chain.vek, kind), (chain.ask, "ASK or ASVK"), (chain.ark, "root (ARK)")):
        if certificate is None:
            findings.refuse(Code.CHAIN, f"the collateral has no {name} certificate for this report")
            return False
        if not in_force(certificate, at):
            dates = f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"
            findings.refuse(Code.DATES, f"the {name} certificate is valid {dates}, not on {moment(at):%Y-%m-%d}")
    assert chain.vek is not None
    assert chain.ask is not None
    assert chain.ark is not None
    if chain.product is None:
        findings.refuse(Code.ROOT, "the root certificate's key is not one of AMD's, as pinned in hansa")
    sound = chain.product is not None
    issuer = f"SEV-{chain.product}" if kind == "VCEK" else f"SEV-VLEK-{chain.product}"
    if sound and common_name(chain.ask.subject) != issuer:
        findings.refuse(Code.CHAIN, f"the {kind} was issued by {common_name(chain.ask.subject)!r}, not by {issuer}")
        sound = False
    for certificate, signer, text in (
        (chain.ark, chain.ark, "the root certificate is not signed by its own key"),
        (chain.ask, chain.ark, "the ASK or ASVK certificate is not signed by the root"),
        (chain.vek, chain.ask, f"the {kind} certificate is not signed by {common_name(chain.ask.subject)}"),
    ):
        if not _signed(certificate, signer):
            findings.refuse(Code.CHAIN, text)
            sound = False
    return sound


def check_leaf(findings: Findings, report: SnpReport, vek: x509.Certificate, product: str) -> Leaf | None:
    """The leaf's key was derived for the report's firmware, and on the report's chip if it is a VCEK."""
    kind = report.signing_key
    try:
        leaf = read_leaf(vek)
    except MalformedEvidence as error:
        findings.refuse(Code.CHAIN, error.message)
        return None
    if leaf.product.split("-")[0] not in _PRODUCTS[product]:
        findings.refuse(Code.PLATFORM, f"the {kind} is for {leaf.product!r}, its root for {product}")
    reported = report.reported_tcb.parts(product)
    if any(leaf.parts.get(name) != value for name, value in reported.items()):
        findings.refuse(Code.TCB, f"the {kind} is of firmware {leaf.parts}, the report states {reported}")
    if any(report.reported_tcb.reserved(product)):
        findings.refuse(Code.MALFORMED, "the reported TCB has reserved bytes that are not zero")
    if kind == "VCEK" and not _same_chip(leaf.hwid, report.chip_id):
        findings.refuse(Code.PLATFORM, f"the VCEK is of chip {leaf.hwid.hex()[:16]}…, not the report's")
    if kind == "VLEK" and leaf.hwid:
        findings.refuse(Code.CHAIN, "the VLEK names a chip: it is no VLEK")
    return leaf


def check_crls(
    findings: Findings, chain: Chain, crls: Iterable[x509.CertificateRevocationList], at: int, *, required: bool
) -> None:
    """The root's revocation list, where one was given, is its own, in date, and names no certificate of the chain."""
    assert chain.ark is not None
    assert chain.ask is not None
    mine = [crl for crl in crls if crl.issuer == chain.ark.subject]
    if not mine:
        text = "revocation: no revocation list (CRL) of this root was given"
        if required:
            findings.refuse(Code.REVOKED, f"the policy requires a revocation list, and {text.partition(': ')[2]}")
        else:
            findings.not_checked(text)
    for crl in mine:
        if not _signed(crl, chain.ark):
            findings.refuse(Code.REVOKED, "the revocation list is not signed by the root")
        until = crl.next_update_utc
        if crl.last_update_utc > moment(at) or until is None or until < moment(at):
            findings.refuse(Code.DATES, f"the revocation list is not in force on {moment(at):%Y-%m-%d}")
        for certificate, name in ((chain.ask, "ASK or ASVK"), (chain.ark, "root")):
            if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
                findings.refuse(Code.REVOKED, f"the {name} certificate has been revoked")


def report_key(vek: x509.Certificate) -> ec.EllipticCurvePublicKey | None:
    """The P-384 key of a leaf; ``None`` for any other."""
    key = _public_key(vek)
    return key if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1) else None


def key_hash(certificate: x509.Certificate) -> bytes:
    """SHA-256 of the DER SubjectPublicKeyInfo; empty where the key is of no kind known."""
    key = _public_key(certificate)
    return (
        b""
        if key is None
        else hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    )


def _public_key(certificate: x509.Certificate) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey | None:
    try:
        key = certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) else None


def _signed(signed: x509.Certificate | x509.CertificateRevocationList, by: x509.Certificate) -> bool:
    """RSA-PSS with SHA-384 and a 48-byte salt, under the key of a certificate that may sign.

    The library's own check comes first, for the names and the two places where the algorithm stands; it takes the
    salt's length from the certificate, hence the second.
    """
    key = _public_key(by)
    if not isinstance(key, rsa.RSAPublicKey) or not _is_authority(by):
        return False
    try:
        if isinstance(signed, x509.Certificate):
            signed.verify_directly_issued_by(by)
            body = signed.tbs_certificate_bytes
        else:
            body = signed.tbs_certlist_bytes
            if not signed.is_signature_valid(key):
                return False
        key.verify(signed.signature, body, padding.PSS(padding.MGF1(SHA384()), _SALT), SHA384())
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _strangeness(report: SnpReport, vek: x509.Certificate) -> int:
    """How little a leaf fits the report: 0 for its own chip, 2 for none."""
    try:
        leaf = read_leaf(vek)
    except MalformedEvidence:
        return 2
    ours = any(report.reported_tcb.parts(product).items() <= leaf.parts.items() for product in ("Milan", "Turin"))
    return (not ours) + (report.signing_key == "VCEK" and not _same_chip(leaf.hwid, report.chip_id))


def _same_chip(hwid: bytes, chip_id: bytes) -> bool:
    """Turin's ids have eight bytes, zero-extended in the report. A masked id (all zero) is nobody's."""
    return any(chip_id) and len(hwid) in (8, 64) and hwid.ljust(64, b"\0") == chip_id


def _integer(der: bytes, name: str) -> int:
    """A DER INTEGER from 0 to 255, in its shortest form."""
    value = der[2:]
    if der[:1] != bytes([_DER_INTEGER]) or der[1:2] != bytes([len(value)]) or len(value) not in (1, 2):
        raise MalformedEvidence("VCEK", f"states {name} as {der.hex()[:40]}, which is no small number")
    number = int.from_bytes(value, "big")
    if number > 255 or (len(value) == 2) != (number > 127):
        raise MalformedEvidence("VCEK", f"states {name} as {der.hex()}, which is no small number")
    return number


def _text(der: bytes) -> str:
    if der[:1] != bytes([_DER_IA5]) or der[1:2] != bytes([len(der) - 2]) or not der[2:].isascii():
        raise MalformedEvidence("VCEK", "does not name its product")
    return der[2:].decode("ascii")


def _octets(value: bytes) -> bytes:
    """AMD writes a chip's id bare or as an OCTET STRING."""
    wrapped = len(value) in (10, 66) and value[:2] == bytes([_DER_OCTETS, len(value) - 2])
    return value[2:] if wrapped else value
