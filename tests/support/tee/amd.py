"""A vendor of our own: an AMD-like root, ASK, ASVK, VCEK and VLEK, and reports they sign (ours, not AMD's)."""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from hansa.protocols.wire.attestation.snp.snp import SnpCollateral

AT = 1_800_000_000
DATA = b"r" * 64
PSS = padding.PSS(padding.MGF1(SHA384()), 48)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
CHIP = bytes(range(64))
TURIN_CHIP = bytes(range(8)).ljust(64, b"\0")
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")
CPUIDS = {"Milan": "190101", "Genoa": "191101", "Turin": "1a0201"}


def name(common):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def moment(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def certify(
    subject,
    key,
    issuer,
    issuer_key,
    *,
    ca=True,
    serial=7,
    since=AT - 9**9 // 10,
    until=AT + 10**8,
    extra=(),
    more=(),
    depth=None,
    pss=PSS,
):
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(moment(since))
        .not_valid_after(moment(until))
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=depth), critical=True)
    for value in more:
        builder = builder.add_extension(value, critical=True)
    for oid, value in extra:
        builder = builder.add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.3704.1." + oid), value), critical=False
        )
    return builder.sign(issuer_key, SHA384(), rsa_padding=pss)


def usage(*allowed):
    """A KeyUsage that allows this and nothing else."""
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    names += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: name in allowed for name in names})


def integer(value):
    return bytes([2, 1, value]) if value < 128 else bytes([2, 2, 0, value])


def leaf_extensions(product, tcb, chip):
    places = {"3.9": 0, "3.1": 1, "3.2": 2, "3.3": 3, "3.8": 7} if product == "Turin" else {}
    places = places or {"3.1": 0, "3.2": 1, "3.3": 6, "3.8": 7}
    text = f"{product}-B0".encode()
    extra = [("2", bytes([0x16, len(text)]) + text)]
    extra += [(oid, integer(tcb[place])) for oid, place in places.items()]
    return [*extra, *([("4", chip)] if chip else [])]


@dataclass
class Vendor:
    """A product's chain. ``make(report fields)`` signs a report with the VCEK (or VLEK) of its TCB."""

    product: str = "Milan"
    tcb: bytes = bytes.fromhex("0300000000000873")
    keys: dict = field(default_factory=dict)

    def __post_init__(self):
        for role in ("ark", "ask", "asvk"):
            self.keys[role] = rsa.generate_private_key(65537, 2048)
        self.keys["vek"] = ec.generate_private_key(ec.SECP384R1())
        p = self.product
        self.ark = certify(f"ARK-{p}", self.keys["ark"], f"ARK-{p}", self.keys["ark"], serial=1)
        self.ask = certify(f"SEV-{p}", self.keys["ask"], f"ARK-{p}", self.keys["ark"], serial=2)
        self.asvk = certify(f"SEV-VLEK-{p}", self.keys["asvk"], f"ARK-{p}", self.keys["ark"], serial=3)
        self.vcek, self.vlek = self.make_leaf("VCEK"), self.make_leaf("VLEK")
        public = self.ark.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.roots = {p: hashlib.sha256(public).digest()}

    @property
    def chip(self):
        return TURIN_CHIP if self.product == "Turin" else CHIP

    def make_leaf(self, kind, *, product=None, tcb=None, chip=None, issuer=None, stated=(), **options):
        """``stated``: extensions that say something else, by the end of their OID."""
        product, tcb = product or self.product, tcb or self.tcb
        short = self.chip[:8] if self.product == "Turin" else self.chip
        chip = (chip or short) if kind == "VCEK" else b""
        role = issuer or ("ask" if kind == "VCEK" else "asvk")
        issued_by = {"ask": f"SEV-{self.product}", "asvk": f"SEV-VLEK-{self.product}", "ark": f"ARK-{self.product}"}[
            role
        ]
        extra = list((dict(leaf_extensions(product, tcb, chip)) | dict(stated)).items())
        return certify(f"SEV-{kind}", self.keys["vek"], issued_by, self.keys[role], ca=False, extra=extra, **options)

    def collateral(self, kind="VCEK", *, crls=(), **instead):
        chain = {"vek": self.vcek, "ask": self.ask} if kind == "VCEK" else {"vek": self.vlek, "ask": self.asvk}
        chain |= {"ark": self.ark} | instead
        return SnpCollateral([one for one in chain.values() if one is not None], crls)

    def crl(self, *serials, key="ark", since=AT - 1000, until=AT + 1000, more=(), critical=True):
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.ark.subject)
            .last_update(moment(since))
            .next_update(moment(until))
        )
        for serial in serials:
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(moment(since))
            builder = builder.add_revoked_certificate(revoked.build())
        for value in more:
            builder = builder.add_extension(value, critical=critical)
        return builder.sign(self.keys[key], SHA384(), rsa_padding=PSS)

    def authority(self, role, **options):
        """The ASK or the root again, otherwise."""
        serial, name = {"ask": (2, f"SEV-{self.product}"), "ark": (1, f"ARK-{self.product}")}[role]
        options = {"serial": serial} | options
        return certify(name, self.keys[role], f"ARK-{self.product}", self.keys["ark"], **options)

    def body(self, version=3, kind="VCEK", **changed):
        """The 672 signed bytes; ``changed`` maps ``at_<hex offset>`` to bytes written there."""
        data = bytearray(0x2A0)
        data[0:4] = version.to_bytes(4, "little")
        data[8:16] = (0x30000).to_bytes(8, "little")
        data[0x34] = 1
        for at in (0x38, 0x180, 0x1E0, 0x1F0):
            data[at : at + 8] = self.tcb
        data[0x48] = {"VCEK": 0, "VLEK": 1, "none": 7}[kind] << 2
        data[0x50:0x90] = b"\x11" * 64
        data[0x90:0xC0] = b"\x22" * 48
        data[0xC0:0xE0] = b"\x33" * 32
        if version > 2:
            data[0x188:0x18B] = bytes.fromhex(CPUIDS[self.product])
        data[0x1A0:0x1E0] = self.chip if kind == "VCEK" else bytes(64)
        for place, value in changed.items():
            at = int(place.removeprefix("at_"), 16)
            data[at : at + len(value)] = value
        return bytes(data)

    def make(self, version=3, kind="VCEK", **changed):
        return self.signed(self.body(version, kind, **changed))

    def signed(self, body, twin=False):
        r, s = decode_dss_signature(self.keys["vek"].sign(body, ec.ECDSA(SHA384())))
        s = ORDER - s if twin else s
        return body + r.to_bytes(72, "little") + s.to_bytes(72, "little") + bytes(368)
