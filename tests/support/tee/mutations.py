"""Changes to evidence: anywhere, of a part, of a certificate, of its length, or a part of another's."""

from __future__ import annotations

import itertools
import random
from base64 import b64encode

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
BEGIN, END = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"
ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def mutate(data: bytes, parts: dict[str, tuple[int, int]], other: bytes, rng: random.Random) -> bytes:
    """``data`` with one change; ``parts`` are its fields as (offset, size), ``other`` evidence of the same layout."""
    changed = bytearray(data)
    at, size = parts[rng.choice(sorted(parts))]
    kind = rng.randrange(11)
    if kind == 0:
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind <= 3:
        changed[at + rng.randrange(size)] ^= 1 << rng.randrange(8)
    elif kind == 4:
        changed[at : at + size] = bytes(size)
    elif kind == 5:
        changed[at : at + size] = rng.randbytes(size)
    elif kind == 6:
        changed[at : at + size] = other[at : at + size]
    elif kind == 7:
        to, least = parts[rng.choice(sorted(parts))]
        least = min(least, size)
        changed[at : at + least], changed[to : to + least] = data[to : to + least], data[at : at + least]
    elif kind == 8:
        del changed[rng.randrange(len(data)) :]
    elif kind == 9:
        place = rng.randrange(len(data) + 1)
        changed[place:place] = rng.choice((b"\0", b"\n", rng.randbytes(rng.randrange(1, 80))))
    else:
        place = rng.randrange(len(data))
        del changed[place : place + rng.randrange(1, 80)]
    return bytes(changed)


def quote_parts(data: bytes) -> dict[str, tuple[int, int]]:
    """Where a quote's fields and certificates are."""
    version = data[0]
    body, size = (48, 384) if version == 3 else (48, 584) if version == 4 else (54, 648)
    signature = body + size + 4
    qe = signature + (128 if version == 3 else 134)
    authentication = int.from_bytes(data[qe + 448 : qe + 450], "little")
    chain = qe + 450 + authentication + 6
    starts = [chain]
    while (found := data.find(BEGIN, starts[-1] + 1)) > 0:
        starts.append(found)
    end = data.rfind(END) + len(END)
    parts = {f"certificate {n}": (a, b - a) for n, (a, b) in enumerate(zip(starts, [*starts[1:], end], strict=True))}
    fields = [0, 2, 4, 8, 12, 28, 48]
    parts |= {f"header {a}": (a, b - a) for a, b in itertools.pairwise(fields)}
    parts |= {f"body {a}": (a, 8) for a in range(body - (6 if version == 5 else 0), body + size - 7, 8)}
    return parts | {
        "signature's length": (signature - 4, 4),
        "signature": (signature, 64),
        "attestation key": (signature + 64, 64),
        "certification": (signature + 128, qe - signature - 128 or 1),
        "quoting enclave": (qe, 384),
        "quoting enclave's signature": (qe + 384, 64),
        "authentication's length": (qe + 448, 2),
        "authentication": (qe + 450, authentication or 1),
        "chain's type": (chain - 6, 2),
        "chain's length": (chain - 4, 4),
    }


def report_parts() -> dict[str, tuple[int, int]]:
    """Where an SNP report's fields are."""
    fields = [
        0,
        4,
        8,
        0x10,
        0x20,
        0x30,
        0x34,
        0x38,
        0x40,
        0x48,
        0x4C,
        0x50,
        0x90,
        0xC0,
        0xE0,
        0x110,
        0x140,
        0x160,
        0x180,
    ]
    fields += [0x188, 0x1A0, 0x1E0, 0x1E8, 0x1F0, 0x1F8, 0x200, 0x208, 0x2A0, 0x2E8, 0x330, 0x4A0]
    return {f"{a:#x}": (a, b - a) for a, b in itertools.pairwise(fields)}


def twin(pair: bytes) -> bytes:
    """The other valid form of a raw ECDSA P-256 signature: (r, n - s)."""
    return pair[:32] + (P256_ORDER - int.from_bytes(pair[32:], "big")).to_bytes(32, "big")


def twin_certificate(der: bytes) -> bytes:
    """A certificate with the other valid form of its ECDSA signature."""
    certificate = x509.load_der_x509_certificate(der)
    r, s = decode_dss_signature(certificate.signature)
    signature = encode_dss_signature(r, P256_ORDER - s)
    inner = certificate.tbs_certificate_bytes + ECDSA_SHA256 + bytes([3, len(signature) + 1, 0]) + signature
    return b"\x30\x82" + len(inner).to_bytes(2, "big") + inner


def with_chain(data: bytes, ders: list[bytes]) -> bytes:
    """A quote with other certificates, every length made to fit; padding kept."""
    parts = quote_parts(data)
    at, _ = parts["certificate 0"]
    end = data.rfind(END) + len(END) + 1
    text = [b64encode(der) for der in ders]
    lines = [b"".join(one[n : n + 64] + b"\n" for n in range(0, len(one), 64)) for one in text]
    pem = b"".join(BEGIN + one + END for one in lines) + b"\0"
    grown = len(pem) - (end - at)
    changed = bytearray(data[:at] + pem + data[end:])
    lengths = [parts["signature's length"][0], parts["chain's length"][0]]
    if data[0] > 3:
        lengths.append(parts["certification"][0] + 2)
    for place in lengths:
        changed[place : place + 4] = (int.from_bytes(data[place : place + 4], "little") + grown).to_bytes(4, "little")
    return bytes(changed)
