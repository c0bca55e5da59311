"""Noise against an independent implementation: `noiseprotocol` from PyPI, both roles, handshake and transport."""

from __future__ import annotations

import pytest
from noise.connection import Keypair, NoiseConnection

from hansa.protocols.wire.noise import HandshakeState, KeyPair, ProtocolName

PATTERNS = ("NN", "NK", "NX", "KK", "XX", "XK", "IK", "IX", "NNpsk0", "XXpsk0", "XXpsk3", "KKpsk0", "IKpsk2")
SUITES = ("AESGCM_SHA256", "AESGCM_BLAKE2b", "ChaChaPoly_BLAKE2b", "ChaChaPoly_SHA256", "ChaChaPoly_BLAKE2s")
PSK = b"p" * 32


class Theirs:
    """One side of the other implementation, with the methods of ours that the test calls."""

    def __init__(self, name: ProtocolName, *, initiator: bool, s: KeyPair, rs: bytes | None, initiator_s: bool) -> None:
        self.noise = NoiseConnection.from_name(name.text.encode())
        (self.noise.set_as_initiator if initiator else self.noise.set_as_responder)()
        self.noise.set_prologue(b"prologue")
        if initiator_s:
            self.noise.set_keypair_from_private_bytes(Keypair.STATIC, s.secret)
        if rs is not None:
            self.noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, rs)
        if name.pattern.psk_count:
            self.noise.set_psks(psks=[PSK] * name.pattern.psk_count)
        self.noise.start_handshake()

    def write_message(self, payload: bytes) -> bytes:
        return bytes(self.noise.write_message(payload))

    def read_message(self, message: bytes) -> bytes:
        return bytes(self.noise.read_message(message))


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("we_initiate", [True, False], ids=["initiator", "responder"])
def test_interop(pattern: str, suite: str, we_initiate: bool) -> None:
    name = ProtocolName.parse(f"Noise_{pattern}_25519_{suite}")
    here, there = KeyPair.generate(), KeyPair.generate()
    before_i, before_r = name.pattern.initiator_premessage, name.pattern.responder_premessage
    ours_before, theirs_before = (before_i, before_r) if we_initiate else (before_r, before_i)
    tokens = {
        token
        for index, message in enumerate(name.pattern.messages)
        if (index % 2 == 0) != we_initiate
        for token in message
    }
    ours = HandshakeState(
        name,
        initiator=we_initiate,
        prologue=b"prologue",
        s=here,
        rs=there.public if theirs_before else None,
        psks=[PSK] * name.pattern.psk_count,
    )
    theirs = Theirs(
        name,
        initiator=not we_initiate,
        s=there,
        rs=here.public if ours_before else None,
        initiator_s=bool(theirs_before) or "s" in tokens,
    )
    writer, reader = (ours, theirs) if we_initiate else (theirs, ours)
    for index in range(len(name.pattern.messages)):
        payload = b"payload %d" % index
        assert reader.read_message(writer.write_message(payload)) == payload
        writer, reader = reader, writer
    assert theirs.noise.handshake_finished
    assert ours.handshake_hash == theirs.noise.get_handshake_hash()
    sending, receiving = ours.split()
    assert sending is not None
    assert receiving is not None
    for index in range(5):
        text = b"transport %d" % index
        assert theirs.noise.decrypt(sending.encrypt_with_ad(b"", text)) == text
        assert receiving.decrypt_with_ad(b"", bytes(theirs.noise.encrypt(text))) == text


@pytest.mark.parametrize("suite", SUITES)
def test_rekey_is_theirs_too(suite: str) -> None:
    name = ProtocolName.parse(f"Noise_NN_25519_{suite}")
    ours = HandshakeState(name, initiator=True, prologue=b"prologue")
    theirs = Theirs(name, initiator=False, s=KeyPair.generate(), rs=None, initiator_s=False)
    theirs.read_message(ours.write_message(b""))
    ours.read_message(theirs.write_message(b""))
    sending, _ = ours.split()
    assert sending is not None
    theirs.noise.decrypt(sending.encrypt_with_ad(b"", b"before"))
    sending.rekey()
    theirs.noise.rekey_inbound_cipher()
    assert theirs.noise.decrypt(sending.encrypt_with_ad(b"", b"after")) == b"after"
