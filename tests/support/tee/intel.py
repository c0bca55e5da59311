"""A vendor of our own: an Intel-like root, PCK chain, TCB info, QE identity and lists, and quotes under them (ours)."""

from __future__ import annotations

import datetime
import hashlib
import json
from base64 import b64encode

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

AT = 1_800_000_000
DAY = 86_400
FMSPC = bytes.fromhex("a0b0c0d0e0f0")
QE_SIGNER = b"\x51" * 32
SVNS = (5,) * 16


def moment(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def date(seconds):
    return moment(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def tlv(tag, body):
    size = bytes([len(body)]) if len(body) < 128 else b"\x82" + len(body).to_bytes(2, "big")
    return bytes([tag]) + size + body


def entry(path, value):
    return tlv(0x30, tlv(6, bytes.fromhex("2a864886f84d010d01") + bytes(path)) + value)


def sgx_extension(svns, pce_svn):
    """What a PCK certificate states of its platform (Intel, "SGX PCK certificate and CRL profile", section 1.3.5)."""
    tcb = b"".join(entry((2, n), tlv(2, bytes([svn]))) for n, svn in enumerate(svns, 1))
    tcb += entry((2, 17), tlv(2, bytes([pce_svn]))) + entry((2, 18), tlv(4, bytes(svns)))
    parts = [((1,), tlv(4, b"\x77" * 16)), ((2,), tlv(0x30, tcb)), ((3,), tlv(4, bytes(2))), ((4,), tlv(4, FMSPC))]
    return tlv(0x30, b"".join(entry(*part) for part in [*parts, ((5,), tlv(10, b"\0"))]))


def raw(key, data):
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def point(key):
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


def patched(data, at=0, written=b""):
    return data[:at] + written + data[at + len(written) :]


class Maker:
    """The vendor; ``collateral`` and ``quote`` take what a test wants otherwise."""

    def __init__(self):
        self.keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "middle", "tcb", "pck", "att")}
        self.root = self.certify("Intel SGX Root CA", "root", "Intel SGX Root CA", "root", ca=2, serial=1)
        self.middle = self.certify("Intel SGX PCK Processor CA", "middle", "Intel SGX Root CA", "root", ca=0, serial=2)
        self.tcb = self.certify("Intel SGX TCB Signing", "tcb", "Intel SGX Root CA", "root", serial=3)
        self.pck = self.make_pck()

    @property
    def root_der(self):
        return self.root.public_bytes(Encoding.DER)

    def make_pck(self, svns=SVNS, pce_svn=10, **options):
        extra = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.840.113741.1.13.1"), sgx_extension(svns, pce_svn))
        name, issuer = "Intel SGX PCK Certificate", "Intel SGX PCK Processor CA"
        return self.certify(name, "pck", issuer, "middle", serial=4, extra=extra, **options)

    def certify(
        self, subject, key, issuer, by, *, ca=None, serial, extra=None, since=AT - 900 * DAY, until=AT + 900 * DAY
    ):
        def name(text):
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        public, signer = self.keys[key].public_key(), self.keys[by]
        usage = dict.fromkeys(("key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False)
        usage |= {"decipher_only": False, "content_commitment": ca is None, "digital_signature": ca is None}
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name(issuer))
            .public_key(public)
            .serial_number(serial)
            .not_valid_before(moment(since))
            .not_valid_after(moment(until))
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.BasicConstraints(ca=ca is not None, path_length=ca), critical=True)
            .add_extension(x509.KeyUsage(**usage, key_cert_sign=ca is not None, crl_sign=ca is not None), critical=True)
        )
        builder = builder.add_extension(extra, critical=False) if extra else builder
        return builder.sign(signer, SHA256())

    def crl(self, issuer, by, serials=(), *, since=AT - DAY, until=AT + 20 * DAY):
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.subject)
            .last_update(moment(since))
            .next_update(moment(until))
            .add_extension(x509.CRLNumber(1), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
        )
        for serial in serials:
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(moment(since)).build()
            builder = builder.add_revoked_certificate(revoked)
        return builder.sign(self.keys[by], SHA256()).public_bytes(Encoding.DER).hex()

    def collateral(
        self, *, levels=None, qe_status="UpToDate", fmspc=FMSPC, issued=AT - DAY, until=AT + 20 * DAY, **more
    ):
        """The nine texts as JSON. ``levels``: (svn of all components, status); ``revoked``, ``revoked_middle``: serials."""
        levels = levels or ((5, "UpToDate"), (3, "OutOfDate"), (1, "Revoked"))
        common = {"issueDate": date(issued), "nextUpdate": date(until), "tcbEvaluationDataNumber": 20}
        tdx = more.get("kind") == "TDX"
        info = {"id": "TDX" if tdx else "SGX", "version": 3} | common | {"fmspc": fmspc.hex()}
        info |= {"pceId": more.get("pce_id", "0000"), "tcbType": 0}
        info["tcbLevels"] = [
            {
                "tcb": {"sgxtcbcomponents": [{"svn": svn}] * 16, "pcesvn": 10}
                | ({"tdxtcbcomponents": [{"svn": 0}] * 16} if tdx else {}),
                "tcbDate": date(AT - 100 * DAY),
                "tcbStatus": status,
                "advisoryIDs": [] if status == "UpToDate" else ["INTEL-SA-09999"],
            }
            for svn, status in levels
        ]
        if tdx:
            info["tdxModule"] = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
            info["tdxModuleIdentities"] = []
        common |= {"issueDate": date(more.get("qe_issued", issued))}
        identity = (
            {"id": "TD_QE" if tdx else "QE", "version": 2}
            | common
            | {"miscselect": "00000000", "miscselectMask": "FFFFFFFF"}
        )
        identity |= {"attributes": "11" + "00" * 15, "attributesMask": "FB" + "FF" * 7 + "00" * 8, "isvprodid": 1}
        identity |= {"mrsigner": more.get("qe_signer", QE_SIGNER).hex()}
        born = date(more.get("qe_tcb_date", AT - 100 * DAY))
        identity["tcbLevels"] = [{"tcb": {"isvsvn": 8}, "tcbDate": born, "tcbStatus": qe_status}]
        info, identity = json.dumps(info), json.dumps(identity)
        signer = self.keys[more.get("signer", "tcb")]
        chain = more.get("chain") or self.pem(self.tcb, self.root)
        return json.dumps(
            {
                "pck_crl_issuer_chain": self.pem(self.middle, self.root),
                "root_ca_crl": self.crl(self.root, "root", more.get("revoked_middle", ())),
                "pck_crl": self.crl(self.middle, "middle", more.get("revoked", ()), until=more.get("crl_until", until)),
                "tcb_info_issuer_chain": chain,
                "tcb_info": info,
                "tcb_info_signature": raw(signer, info.encode()).hex(),
                "qe_identity_issuer_chain": chain,
                "qe_identity": identity,
                "qe_identity_signature": raw(signer, identity.encode()).hex(),
            }
        ).encode()

    @staticmethod
    def pem(*certificates):
        def text(der):
            letters = b64encode(der).decode()
            return "".join(letters[at : at + 64] + "\n" for at in range(0, len(letters), 64))

        head, tail = "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n"
        return "".join(head + text(one.public_bytes(Encoding.DER)) + tail for one in certificates)

    def report(self, *, signer, prod, svn, data, enclave=b"\x61" * 32, debug=False, attributes=5):
        """An SGX report body."""
        flags = (attributes | 2 * debug).to_bytes(8, "little") + (0xE7).to_bytes(8, "little")
        body = bytes(SVNS) + bytes(32) + flags + enclave + bytes(32) + signer + bytes(96)
        return body + prod.to_bytes(2, "little") + svn.to_bytes(2, "little") + bytes(60) + data

    def quote(
        self, *, pck=None, debug=False, data=b"\x11" * 64, qe_signer=QE_SIGNER, version=3, chain=None, patch=None
    ):
        """An SGX quote; ``patch`` writes bytes into the report of the "enclave" or the "quoting enclave" before it is signed."""
        patch = patch or {}
        body = self.report(signer=b"\x71" * 32, prod=3, svn=4, data=data, debug=debug)
        signed = self.header(version, tee=0) + patched(body, *patch.get("enclave", ()))
        certified = self.certified(pck, qe_signer, chain, patch.get("quoting enclave", ()))
        return self.whole(signed, certified)

    def domain(
        self, *, attributes=1 << 28, data=b"\x11" * 64, registers=(b"\x81", b"\x82", b"\x83", b"\x84"), after=b""
    ):
        """A TDX quote of version 4; ``after`` stands behind its certification."""
        body = bytes(16) + bytes(96) + bytes(8) + attributes.to_bytes(8, "little") + b"\xe7\0\6".ljust(8, b"\0")
        body += b"\x80" * 48 + bytes(144) + b"".join(each * 48 for each in registers) + data
        certified = self.certified()
        return self.whole(
            self.header(4, tee=0x81) + body, b"\6\0" + len(certified).to_bytes(4, "little") + certified + after
        )

    @staticmethod
    def header(version, tee):
        start = version.to_bytes(2, "little") + b"\2\0" + tee.to_bytes(4, "little") + bytes.fromhex("0a000f00")
        return start + bytes.fromhex("939a7233f79c4ca9940a0db3957f0607") + bytes(20)

    def whole(self, signed, certified):
        signature = raw(self.keys["att"], signed) + point(self.keys["att"]) + certified
        return signed + len(signature).to_bytes(4, "little") + signature

    def certified(self, pck=None, qe_signer=QE_SIGNER, chain=None, patch=()):
        """The quoting enclave's report on the attestation key, and who vouches for it."""
        authentication = bytes(range(32))
        bound = hashlib.sha256(point(self.keys["att"]) + authentication).digest().ljust(64, b"\0")
        qe = patched(self.report(signer=qe_signer, prod=1, svn=9, data=bound, attributes=0x15), *patch)
        pem = chain or self.pem(pck or self.pck, self.middle, self.root).encode() + b"\0"
        parts = [qe, raw(self.keys["pck"], qe), b"\x20\0", authentication, b"\5\0", len(pem).to_bytes(4, "little"), pem]
        return b"".join(parts)
