"""The community's Noise test vectors, byte for byte, read in place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hansa.protocols.errors import SecurityError
from hansa.protocols.wire.noise import HandshakeState, KeyPair, ProtocolName
from hansa.protocols.wire.noise.cipher import CipherState

FOLDER = Path(__file__).resolve().parents[4].parent / "shared" / "vectors" / "noise"


def load_vectors() -> list[Any]:
    vectors = []
    for path in sorted(FOLDER.glob("*.json")):
        document = json.loads(path.read_text())
        for vector in document["vectors"] if isinstance(document, dict) else document:
            name = vector.get("protocol_name") or vector["name"]
            name = name if name.startswith("Noise_") else f"Noise_{name}"
            vectors.append(pytest.param(name, vector, id=f"{path.stem}:{name}"))
    return vectors or [pytest.param(None, None, id="missing")]


def side(vector: dict[str, Any], name: ProtocolName, prefix: str) -> HandshakeState:
    def value(key: str) -> bytes | None:
        text = vector.get(f"{prefix}_{key}")
        return bytes.fromhex(text) if text else None

    def pair(key: str) -> KeyPair | None:
        secret = value(key)
        return KeyPair.from_secret(secret) if secret else None

    psks = vector.get(f"{prefix}_psks") or ([vector[f"{prefix}_psk"]] if vector.get(f"{prefix}_psk") else [])
    return HandshakeState(
        name,
        initiator=prefix == "init",
        prologue=value("prologue") or b"",
        s=pair("static"),
        rs=value("remote_static"),
        e=pair("ephemeral"),
        psks=[bytes.fromhex(psk) for psk in psks],
    )


@pytest.mark.parametrize(("text", "vector"), load_vectors())
def test_vector(text: str | None, vector: dict[str, Any] | None) -> None:
    if text is None or vector is None:
        pytest.skip(f"no Noise vectors in {FOLDER}: the community's vectors were NOT checked")
    if "_25519_" not in text or "fallback" in text:
        pytest.skip(f"{text} is outside what hansa speaks: 25519, no fallback")
    if vector.get("fail"):
        with pytest.raises(SecurityError, match=r"."):
            check(text, vector)
    else:
        check(text, vector)


def check(text: str, vector: dict[str, Any]) -> None:
    name = ProtocolName.parse(text)
    initiator, responder = side(vector, name, "init"), side(vector, name, "resp")
    messages = iter(enumerate(vector["messages"]))
    writer, reader = initiator, responder
    while not initiator.complete:
        _, message = next(messages)
        payload, ciphertext = bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"])
        assert writer.write_message(payload) == ciphertext
        assert reader.read_message(ciphertext) == payload
        writer, reader = reader, writer
    assert responder.complete
    assert initiator.handshake_hash == responder.handshake_hash
    if "handshake_hash" in vector:
        assert initiator.handshake_hash.hex() == vector["handshake_hash"]

    send_i, receive_i = initiator.split()
    send_r, receive_r = responder.split()
    for index, message in messages:
        payload, ciphertext = bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"])
        ends: tuple[CipherState | None, CipherState | None]
        ends = (send_i, receive_r) if name.pattern.one_way or index % 2 == 0 else (send_r, receive_i)
        assert ends[0] is not None
        assert ends[1] is not None
        assert ends[0].encrypt_with_ad(b"", payload) == ciphertext
        assert ends[1].decrypt_with_ad(b"", ciphertext) == payload
