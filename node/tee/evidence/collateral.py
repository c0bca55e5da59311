"""Collateral out of files: Intel's JSON; AMD certificates and revocation lists (PEM, DER, or a host's table for its guest)."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hansa.node.errors import MissingExtra, UsageError
from hansa.protocols.wire.attestation.errors import MalformedEvidence
from hansa.protocols.wire.attestation.snp.snp import SnpCollateral
from hansa.protocols.wire.attestation.verify import Collateral
from hansa.protocols.wire.attestation.x509 import (
    CERTIFICATE,
    load_certificate_untrusted,
    load_crl_untrusted,
    pem_blocks_untrusted,
)
from hansa.protocols.wire.limits import ATTESTATION_MAX_CERTIFICATES, ATTESTATION_MAX_COLLATERAL

if TYPE_CHECKING:
    from hansa.protocols.wire.attestation.intel.dcap import DcapCollateral

_TABLE_ENTRY = struct.Struct("<16sII")
_TABLE_END = bytes(16)
_TABLE_MOST = 16
"""Entries of a host's table: five of them are known."""
_TABLE_KEYS = {
    uuid.UUID(name).bytes: kind
    for name, kind in (
        ("63da758d-e664-4564-adc5-f4b93be8accd", "VCEK"),
        ("a8074bc2-a25a-483e-aae6-39c045a0b8a1", "VLEK"),
        ("4ab7b379-bbac-4fe4-a02f-05aef327c782", "ASK"),
        ("c0b406a4-a803-4952-9743-3fb6014cd0ae", "ARK"),
        ("92f81bc3-5811-4d3d-97ff-d19f88dc67ea", "CRL"),
    )
}
"""What a GHCB certificate table may hold (AMD 56421, section 4.1.8.1); other entries are the host's own affair."""

_X509 = x509.Certificate | x509.CertificateRevocationList
_Piece: TypeAlias = "_X509 | DcapCollateral"


def load_collateral(paths: Sequence[Path]) -> Collateral:
    """Everything in these files and folders. A folder may hold other things too; a file named must be collateral.

    Raises ``UsageError`` naming the file.
    """
    found: list[_Piece] = []
    for path in paths:
        for inside in _inside(path):
            found += _read(inside, or_nothing=inside is not path)
            _few_enough(found, "give only those of this platform")
    if paths and not found:
        named = ", ".join(map(str, paths))
        raise UsageError(f"there is no collateral in {named}", remedy="check the path", file=str(paths[0]))
    return _sorted(found)


def collateral_untrusted(pieces: Iterable[bytes]) -> Collateral:
    """What a peer sent beside its evidence, a piece a file; ``MalformedEvidence`` where one is nothing that is known."""
    found: list[_Piece] = []
    for piece in pieces:
        found += parse_collateral_untrusted(piece)
        _few_enough(found, "ask the peer to send less")
    return _sorted(found)


def _inside(path: Path) -> list[Path]:
    """The files of a folder, or the file itself."""
    try:
        return sorted(inside for inside in path.iterdir() if inside.is_file()) if path.is_dir() else [path]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", remedy="check the path", file=str(path)) from error


def _few_enough(found: list[_Piece], remedy: str) -> None:
    """Each once: duplicates are dropped, and what is left is bounded."""
    found[:] = {_bytes(one): one for one in found}.values()
    if len(found) > ATTESTATION_MAX_CERTIFICATES:
        raise UsageError(
            f"the collateral has {len(found)} pieces, more than {ATTESTATION_MAX_CERTIFICATES}", remedy=remedy
        )


def _sorted(unique: Iterable[_Piece]) -> Collateral:
    unique = list(unique)
    certificates = [one for one in unique if isinstance(one, x509.Certificate)]
    crls = [one for one in unique if isinstance(one, x509.CertificateRevocationList)]
    intel = [one for one in unique if not isinstance(one, x509.Certificate | x509.CertificateRevocationList)]
    return Collateral(SnpCollateral(certificates, crls), intel)


def missing_library() -> MissingExtra:
    """The error where Intel's evidence is to be judged without its library."""
    return MissingExtra(
        "SGX and TDX quotes are judged with dcap-qvl, which is not installed",
        remedy="pip install 'hansa[tee]'",
        extra="tee",
        package="dcap-qvl",
    )


def read_bounded(path: Path, most: int) -> bytes:
    """A file of at most ``most`` bytes; ``UsageError`` otherwise."""
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", remedy="check the path", file=str(path)) from error
    if len(data) > most:
        raise UsageError(f"{path} has more than {most} bytes", remedy="check the path", file=str(path))
    return data


def parse_collateral_untrusted(data: bytes) -> list[_Piece]:
    """What one file's bytes hold; ``MalformedEvidence`` where that is nothing or broken, ``MissingExtra`` for Intel's."""
    if data.lstrip()[:1] == b"{":
        try:
            from hansa.protocols.wire.attestation.intel.dcap import read_collateral_untrusted  # noqa: PLC0415  # optional
        except ModuleNotFoundError as error:
            raise missing_library() from error
        return [read_collateral_untrusted(data)]
    if data[:16] in _TABLE_KEYS:
        return [one for entry in _table(data) for one in _certificates(entry)]
    return _certificates(data)


def _certificates(data: bytes) -> list[_Piece]:
    """Certificates and revocation lists in PEM, or one in DER."""
    if b"-----BEGIN " in data:
        found: list[_Piece] = [
            load_certificate_untrusted(der) if kind == CERTIFICATE else load_crl_untrusted(der)
            for kind, der in pem_blocks_untrusted(data)
        ]
        if not found:
            raise MalformedEvidence("PEM", "holds neither a certificate nor a revocation list")
        return found
    if data[:1] == b"\x30":
        return [_der(data)]
    raise MalformedEvidence("collateral", "is neither JSON, PEM, DER nor a certificate table")


def _read(path: Path, *, or_nothing: bool) -> list[_Piece]:
    try:
        return parse_collateral_untrusted(read_bounded(path, ATTESTATION_MAX_COLLATERAL))
    except (MalformedEvidence, UsageError, MissingExtra) as error:
        if or_nothing:
            return []
        if not isinstance(error, MalformedEvidence):
            raise
        raise UsageError(
            f"{path} is no collateral: {error.message}",
            remedy="give Intel's collateral as JSON, AMD's certificates and revocation lists as PEM or DER, or folders",
            file=str(path),
        ) from error


def _table(data: bytes) -> list[bytes]:
    """The entries of a certificate table that are ours to read; together no longer than the table."""
    found: list[bytes] = []
    at, total = 0, 0
    while data[at : at + 16] != _TABLE_END:
        if at + _TABLE_ENTRY.size > len(data):
            raise MalformedEvidence("certificate table", "does not end")
        if at == _TABLE_MOST * _TABLE_ENTRY.size:
            raise MalformedEvidence("certificate table", f"has more than {_TABLE_MOST} entries")
        kind, offset, size = _TABLE_ENTRY.unpack_from(data, at)
        at, total = at + _TABLE_ENTRY.size, total + size
        if offset + size > len(data) or total > len(data):
            raise MalformedEvidence("certificate table", "has an entry past its end, or entries that overlap")
        if kind in _TABLE_KEYS:
            found.append(data[offset : offset + size])
    return found


def _der(data: bytes) -> _X509:
    try:
        return load_certificate_untrusted(data)
    except MalformedEvidence:
        return load_crl_untrusted(data)


def _bytes(piece: _Piece) -> bytes:
    if isinstance(piece, x509.Certificate | x509.CertificateRevocationList):
        return piece.public_bytes(Encoding.DER)
    return piece.text.encode()
