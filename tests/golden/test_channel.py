"""Whole connections of an earlier version, byte for byte: preambles, handshake, records."""

import hashlib
import itertools
import os

import pytest

from hansa.protocols.wire.channel.channel import Sender
from hansa.protocols.wire.channel.handshaking import HandshakeParams, Handshaking
from hansa.protocols.wire.channel.preamble import Preamble, Purpose
from hansa.protocols.wire.noise import KeyPair


@pytest.fixture
def drawn(monkeypatch):
    """Keys come from the counter that the recording drew them from."""
    count = itertools.count(1000)

    def draw(length):
        return hashlib.blake2b(b"golden" + next(count).to_bytes(8, "big"), digest_size=length).digest()

    monkeypatch.setattr(os, "urandom", draw)


def sides(pattern, suite):
    a, b = KeyPair.from_secret(b"a" * 32), KeyPair.from_secret(b"b" * 32)
    psk = b"p" * 32 if "psk" in pattern else None
    known_b = b.public if pattern in {"KK", "IK"} else None
    known_a = a.public if pattern == "KK" else None
    return (
        HandshakeParams(pattern, a.secret, (suite,), known_b, b"extra", b"from a", psk),
        HandshakeParams(pattern, b.secret, (suite,), known_a, b"extra", b"from b", psk),
    )


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize(
    "name", ["XX AESGCM_SHA256", "IK AESGCM_BLAKE2b", "KK ChaChaPoly_BLAKE2b", "XXpsk0 ChaChaPoly_SHA256"]
)
def test_a_connection_is_the_same_byte_for_byte(golden, name):
    recorded = golden("channel")[name]
    here, there = sides(*name.split())
    a = Handshaking.initiate(here, Purpose.CONTROL, b"token")
    said = [["a", a.data_to_send()]]
    b = Handshaking.respond(there, Preamble.decode_untrusted(said[0][1]))
    for _ in range(4):
        for who, speaker, listener in (("b", b, a), ("a", a, b)):
            if data := speaker.data_to_send():
                said.append([who, data])
                listener.receive_data_untrusted(data)
    sender = Sender(a.established.sending, rekey_after=4)
    sent = (
        lambda: sender.message(b"hello"),
        lambda: sender.message(b"parts", b"x" * 300),
        lambda: [sender.ping(7)],
        lambda: [sender.pong(8)],
        lambda: sender.message(b"after"),
        lambda: [sender.close("bye")],
    )
    said += [["a", b"".join(map(bytes, pieces()))] for pieces in sent]
    assert [[who, data.hex()] for who, data in said] == recorded["said"]
    assert a.established.handshake_hash.hex() == b.established.handshake_hash.hex() == recorded["handshake hash"]
    bulk = b"".join(map(bytes, Sender(b.established.sending).message(bytes(70_000))))
    assert hashlib.sha256(bulk).hexdigest() == recorded["sha256 of 70,000 zeros from b"]
