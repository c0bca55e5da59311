"""Intel quotes, field by field: SGX version 3, TDX versions 4 and 5, ECDSA P-256.

Sources: Intel SGX DCAP quote library API, appendix A.4; Intel TDX DCAP quote generation library, appendix A.3. Only the
layout is read here, and its one canonical form enforced; signatures are checked elsewhere (dcap.py).
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hansa.protocols.wire.attestation.errors import MalformedEvidence, UnknownVersion
from hansa.protocols.wire.attestation.platforms import SGX, TDX
from hansa.protocols.wire.attestation.reader import Reader

ECDSA_P256 = 2
_TEE_SGX, _TEE_TDX = 0, 0x81
_TD_1_0, _TD_1_5 = 2, 3
_BODY_BYTES = {_TD_1_0: 584, _TD_1_5: 648}
_QE_REPORT_CERTIFICATION, _PCK_CHAIN = 6, 5
_CHAIN_LENGTH = 3
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"
_PEM = re.compile(_BEGIN + rb"([A-Za-z0-9+/=\n]+)" + _END)
_BUFFER_BYTES = 8000
_V5_SURPLUS = 70

_SGX_BODY = (
    ("cpu_svn", 16),
    ("misc_select", 4),
    ("reserved1", 12),
    ("isv_ext_prod_id", 16),
    ("attributes", 16),
    ("mrenclave", 32),
    ("reserved2", 32),
    ("mrsigner", 32),
    ("reserved3", 32),
    ("config_id", 64),
    ("isv_prod_id", 2),
    ("isv_svn", 2),
    ("config_svn", 2),
    ("reserved4", 42),
    ("isv_family_id", 16),
    ("report_data", 64),
)
_TDX_BODY = (
    ("tee_tcb_svn", 16),
    ("mr_seam", 48),
    ("mr_signer_seam", 48),
    ("seam_attributes", 8),
    ("td_attributes", 8),
    ("xfam", 8),
    ("mrtd", 48),
    ("mr_config_id", 48),
    ("mr_owner", 48),
    ("mr_owner_config", 48),
    ("rtmr0", 48),
    ("rtmr1", 48),
    ("rtmr2", 48),
    ("rtmr3", 48),
    ("report_data", 64),
)
_TDX_1_5_MORE = (("tee_tcb_svn2", 16), ("mr_service_td", 48))
_SGX_STARTED = 1
_SGX_FLAGS = 0b100_1111_0111
"""Initialised, debug, 64 bits, provisioning key, launch key, control flow, key sharing, exit notification (SDM, volume 3D)."""
_SGX_MISC = 0b11
_NUMBERS = {"isv_prod_id", "isv_svn", "config_svn"}


@dataclass(frozen=True, slots=True)
class IntelQuote:
    """A quote's parts. ``body`` has the report's fields by name, as bytes; ``exact`` is the quote without padding."""

    platform: str
    version: int
    qe_vendor_id: bytes
    body: dict[str, bytes]
    attestation_key: bytes
    chain: tuple[bytes, ...]
    exact: bytes
    padding: int

    @property
    def debug(self) -> bool:
        """Whether the host may debug it: SGX attributes, bit 1; TD attributes, bit 0."""
        return bool(self.body["attributes"][0] & 2 if self.platform == SGX else self.body["td_attributes"][0] & 1)

    @property
    def migratable(self) -> bool:
        """Whether a trust domain may be moved to another machine: TD attributes, bit 29."""
        return self.platform == TDX and bool(self.body["td_attributes"][3] >> 5 & 1)

    def number(self, name: str) -> int:
        """A field of the body as an integer."""
        return int.from_bytes(self.body[name], "little")

    def as_fields(self) -> dict[str, Any]:
        """The quote for people and programs, reserved bytes left out."""
        shown = {name: value for name, value in self.body.items() if not name.startswith("reserved")}
        return {
            "version": self.version,
            "tee": self.platform,
            "att_key_type": ECDSA_P256,
            "qe_vendor_id": self.qe_vendor_id.hex(),
            "attestation_key": self.attestation_key.hex(),
            "debug": self.debug,
            **{name: self.number(name) if name in _NUMBERS else value.hex() for name, value in shown.items()},
        }


def parse_untrusted(data: bytes) -> IntelQuote:
    """The quote in ``data``; ``UnknownVersion`` or ``MalformedEvidence``.

    Two devices hand out more than the quote: its v4 form with the 70 zeros by which the v5 form is longer, and a buffer
    of 8,000 bytes filled up with zeros. Anything else after the quote is refused.
    """
    reader = Reader(data, "quote")
    version = reader.number(2, "version")
    if reader.number(2, "kind of attestation key") != ECDSA_P256:
        raise MalformedEvidence("quote: kind of attestation key", "is not ECDSA P-256")
    tee = reader.number(4, "TEE type")
    platform = {(3, _TEE_SGX): SGX, (4, _TEE_TDX): TDX, (5, _TEE_TDX): TDX}.get((version, tee))
    if platform is None:
        raise UnknownVersion("quote: version", f"{version} for TEE type {tee:#x} is not SGX 3, TDX 4 or TDX 5")
    reader.take(4, "QE and PCE SVN")
    vendor = reader.take(16, "QE vendor id")
    reader.take(20, "user data")
    body = _body(reader, version)
    signature = Reader(reader.take(reader.number(4, "signature's length"), "signature"), "quote signature")
    exact = data[: reader.at]
    padding = data[reader.at :]
    known = len(padding) == _V5_SURPLUS if version == 4 else False
    if padding and (any(padding) or not (known or len(data) == _BUFFER_BYTES)):
        raise MalformedEvidence("quote", f"has {len(padding)} bytes too many")
    signature.take(64, "signature")
    key = signature.take(64, "attestation key")
    chain = _certification(signature, version)
    return IntelQuote(platform, version, vendor, body, key, chain, exact, len(padding))


def _body(reader: Reader, version: int) -> dict[str, bytes]:
    layout: tuple[tuple[str, int], ...] = _SGX_BODY if version == 3 else _TDX_BODY
    if version == 5:
        kind, size = reader.number(2, "body type"), reader.number(4, "body size")
        if size != _BODY_BYTES.get(kind):
            raise UnknownVersion("quote: body", f"of type {kind} with {size} bytes is not TD report 1.0 or 1.5")
        layout += _TDX_1_5_MORE if kind == _TD_1_5 else ()
    return _fields(reader, layout)


def _fields(reader: Reader, layout: tuple[tuple[str, int], ...]) -> dict[str, bytes]:
    """A report's fields; what is reserved must be zero, and an enclave's flags known ones, of one that has been started."""
    found = {name: reader.take(size, name) for name, size in layout}
    for name, value in found.items():
        if name.startswith("reserved") and any(value):
            raise MalformedEvidence("quote", "has reserved bytes that are not zero")
    if "attributes" in found:
        flags, misc = (int.from_bytes(found[name][:8], "little") for name in ("attributes", "misc_select"))
        if flags & ~_SGX_FLAGS or misc & ~_SGX_MISC or not flags & _SGX_STARTED:
            raise MalformedEvidence("quote", f"has attributes {flags:#x} and {misc:#x} that are not known")
    return found


def _certification(signature: Reader, version: int) -> tuple[bytes, ...]:
    """The three DER certificates behind the quoting enclave's report; both lengths must fit exactly."""
    inner = signature
    if version > 3:
        if signature.number(2, "certification type") != _QE_REPORT_CERTIFICATION:
            raise MalformedEvidence("quote: certification type", "is not a quoting enclave's report")
        data = signature.take(signature.number(4, "certification's length"), "certification")
        signature.end()
        inner = Reader(data, "quote certification")
    enclave = _fields(inner, _SGX_BODY)
    if any(enclave["report_data"][32:]):
        raise MalformedEvidence("quote: quoting enclave's report", "has report data beyond its hash")
    inner.take(64, "quoting enclave's signature")
    inner.take(inner.number(2, "authentication data's length"), "authentication data")
    if inner.number(2, "certificates' type") != _PCK_CHAIN:
        raise MalformedEvidence("quote: certificates' type", "is not a PEM chain")
    pem = inner.take(inner.number(4, "certificates' length"), "certificates")
    inner.end()
    return _chain(pem)


def _chain(pem: bytes) -> tuple[bytes, ...]:
    """PEM as Intel writes it, byte for byte: 64 letters a line, one newline at the end, then at most one zero byte."""
    try:
        ders = tuple(b64decode(text.replace(b"\n", b""), validate=True) for text in _PEM.findall(pem))
    except ValueError as error:
        raise MalformedEvidence("quote: certificates", "are not base64") from error
    written = pem_of(ders)
    if len(ders) != _CHAIN_LENGTH or pem not in (written, written + b"\0"):
        raise MalformedEvidence("quote: certificates", "are not three, in the one form Intel writes")
    return ders


def pem_of(ders: Iterable[bytes]) -> bytes:
    """Certificates in PEM, as Intel writes them."""
    return b"".join(_BEGIN + _lines(der) + _END for der in ders)


def _lines(der: bytes) -> bytes:
    text = b64encode(der)
    return b"".join(text[at : at + 64] + b"\n" for at in range(0, len(text), 64))
