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
from cryptography.x509.oid import ExtensionOID

from hansa.protocols.wire.attestation.errors import MalformedEvidence
from hansa.protocols.wire.attestation.snp.report import SnpReport
from hansa.protocols.wire.attestation.verdict import Findings, ReasonCode
from hansa.protocols.wire.attestation.x509 import common_name, in_force, moment

_AMD = "1.3.6.1.4.1.3704.1."
_PARTS = {"boot_loader": "3.1", "tee": "3.2", "snp": "3.3", "microcode": "3.8", "fmc": "3.9"}
_PRODUCT, _HWID = "2", "4"
_PRODUCTS = {"Milan": ("Milan",), "Genoa": ("Genoa", "Siena", "Bergamo"), "Turin": ("Turin",)}
_SALT = 48
_UNDERSTOOD = (ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE)
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


def find_chain(report: SnpReport, given: Iterable[x509.Certificate], roots: Mapping[str, bytes], at: int) -> Chain:
    """The chain for ``report`` among certificates in any order; nothing in it is verified yet.

    Several of each may be given (a folder of them): of leaves the one that names the report's chip and firmware is taken, of
    others of one name one that signed what it should and is in force, if there is any.
    """
    certificates = list(given)
    leaves = [one for one in certificates if common_name(one.subject) == f"SEV-{report.signing_key}"]
    vek = min(leaves, key=lambda one: _strangeness(report, one), default=None)
    if vek is None:
        return Chain(None, None, None, None)
    issuers = [one for one in certificates if one.subject == vek.issuer and one.subject != one.issuer]
    ask = min(issuers, key=lambda one: (not signed_by(vek, one), not in_force(one, at)), default=None)
    if ask is None:
        return Chain(vek, None, None, None)
    named = [one for one in certificates if one.subject == ask.issuer]
    pins = {pin: product for product, pin in roots.items()}
    ark = min(named, key=lambda one: (key_hash(one) not in pins, not in_force(one, at)), default=None)
    return Chain(vek, ask, ark, pins.get(key_hash(ark)) if ark is not None else None)


def check_chain(findings: Findings, chain: Chain, kind: str, at: int) -> bool:
    """Root pinned, every signature, every date. False where the leaf's key cannot be relied on."""
    for certificate, name in ((chain.vek, kind), (chain.ask, "ASK or ASVK"), (chain.ark, "root (ARK)")):
        if certificate is None:
            findings.refuse(ReasonCode.CHAIN, f"the collateral has no {name} certificate for this report")
            return False
        if not in_force(certificate, at):
            dates = f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"
            findings.refuse(ReasonCode.DATES, f"the {name} certificate is valid {dates}, not on {moment(at):%Y-%m-%d}")
        strange = [
            one.oid.dotted_string for one in certificate.extensions if one.critical and one.oid not in _UNDERSTOOD
        ]
        if strange:
            findings.refuse(
                ReasonCode.CHAIN, f"the {name} certificate makes demands that are not known here ({strange[0]})"
            )
    assert chain.vek is not None
    assert chain.ask is not None
    assert chain.ark is not None
    if chain.product is None:
        findings.refuse(ReasonCode.ROOT, "the root certificate's key is not one of AMD's, as pinned in hansa")
    sound = chain.product is not None
    issuer = f"SEV-{chain.product}" if kind == "VCEK" else f"SEV-VLEK-{chain.product}"
    if sound and common_name(chain.ask.subject) != issuer:
        findings.refuse(
            ReasonCode.CHAIN, f"the {kind} was issued by {common_name(chain.ask.subject)!r}, not by {issuer}"
        )
        sound = False
    for certificate, signer, between, text in (
        (chain.ark, chain.ark, 0, "the root certificate is not signed by its own key"),
        (chain.ask, chain.ark, 1, "the ASK or ASVK certificate is not signed by the root"),
        (
            chain.vek,
            chain.ask,
            0,
            f"the {kind} certificate is not signed by {issuer if chain.product else 'its issuer'}",
        ),
    ):
        if not signed_by(certificate, signer) or not _may_certify(signer, between):
            findings.refuse(ReasonCode.CHAIN, text)
            sound = False
    return sound


def check_leaf(findings: Findings, report: SnpReport, vek: x509.Certificate, product: str) -> Leaf | None:
    """The leaf's key was derived for the report's firmware, and on the report's chip if it is a VCEK."""
    kind = report.signing_key
    try:
        leaf = read_leaf(vek)
    except MalformedEvidence as error:
        findings.refuse(ReasonCode.CHAIN, error.message)
        return None
    if leaf.product.split("-")[0] not in _PRODUCTS[product]:
        findings.refuse(ReasonCode.PLATFORM, f"the {kind} is for {leaf.product!r}, its root for {product}")
    reported = report.reported_tcb.parts(product)
    if any(leaf.parts.get(name) != value for name, value in reported.items()):
        findings.refuse(
            ReasonCode.TCB, f"the {kind} is of firmware {listed(leaf.parts)}, the report states {listed(reported)}"
        )
    for name, tcb in report.tcbs.items():
        if any(tcb.reserved(product)):
            findings.refuse(ReasonCode.MALFORMED, f"the {name} TCB has reserved bytes that are not zero")
    if kind == "VCEK" and not _same_chip(leaf.hwid, report.chip_id):
        findings.refuse(ReasonCode.PLATFORM, f"the VCEK is of chip {leaf.hwid.hex()[:16]}…, not the report's")
    if kind == "VLEK" and leaf.hwid:
        findings.refuse(ReasonCode.CHAIN, "the VLEK names a chip: it is no VLEK")
    return leaf


def listed(parts: Mapping[str, int]) -> str:
    """Versions by name, in words."""
    return ", ".join(f"{name} {version}" for name, version in parts.items())


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


def signed_by(signed: x509.Certificate | x509.CertificateRevocationList, by: x509.Certificate) -> bool:
    """RSA-PSS with SHA-384 and a 48-byte salt.

    The library's own check comes first, for the names and the two places where the algorithm stands; it takes the
    salt's length from the certificate, hence the second.
    """
    key = _public_key(by)
    if not isinstance(key, rsa.RSAPublicKey):
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


def _may_certify(signer: x509.Certificate, between: int) -> bool:
    """Whether its own extensions let it issue certificates, with so many authorities between it and the leaf."""
    found = {type(extension.value): extension.value for extension in signer.extensions}
    limits, usage = found.get(x509.BasicConstraints), found.get(x509.KeyUsage)
    if not isinstance(limits, x509.BasicConstraints) or not limits.ca:
        return False
    if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
        return False
    return limits.path_length is None or limits.path_length >= between


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
    if (
        der[:1] != bytes([_DER_IA5])
        or der[1:2] != bytes([len(der) - 2])
        or not der[2:].isascii()
        or not der[2:].decode("ascii").isprintable()
    ):
        raise MalformedEvidence("VCEK", "does not name its product")
    return der[2:].decode("ascii")


def _octets(value: bytes) -> bytes:
    """AMD writes a chip's id bare or as an OCTET STRING."""
    wrapped = len(value) in (10, 66) and value[:2] == bytes([_DER_OCTETS, len(value) - 2])
    return value[2:] if wrapped else value
