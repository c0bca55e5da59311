"""Evidence is about one node, one channel, one question and one role: change any, and the report data is another."""

from __future__ import annotations

import hashlib

import pytest

from hansa.protocols.errors import ProtocolError
from hansa.protocols.wire.attestation.statements.binding import Role, report_data

WHOLE = {"identity": b"i" * 32, "handshake_hash": b"h" * 64, "nonce": b"n" * 32, "role": Role.DEALER}


def test_vector():
    """Ours: the hash written out."""
    parts = (b"hansa-attestation", b"\1", b"i" * 32, b"h" * 64, b"n" * 32, b"dealer")
    whole = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    assert report_data(**WHOLE) == hashlib.blake2b(whole).digest()
    assert len(report_data(**WHOLE)) == 64


def test_replayed_elsewhere():
    seen = {report_data(**WHOLE)}
    for changed in (
        {"identity": b"j" * 32},
        {"handshake_hash": b"g" * 64},
        {"handshake_hash": b"h" * 32},
        {"nonce": b"m" * 32},
        {"role": Role.ENCLAVE},
        {"role": Role.SCORER},
    ):
        seen.add(report_data(**WHOLE | changed))
    assert len(seen) == 7


@pytest.mark.parametrize("part", ["identity", "handshake_hash", "nonce"])
def test_lengths(part):
    for wrong in (b"", WHOLE[part][:-1], WHOLE[part] + b"x"):
        with pytest.raises(ProtocolError, match="cannot be bound"):
            report_data(**WHOLE | {part: wrong})
