"""Noise: turns, failures, tampering, key confirmation by hash, nonces and rekey."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.protocols.errors import ProtocolError, SecurityError
from hansa.protocols.wire.limits import NOISE_MAX_MESSAGE, NOISE_MAX_NONCE
from hansa.protocols.wire.noise import CipherState, HandshakeState, KeyPair, ProtocolName
from hansa.protocols.wire.noise.patterns import PATTERNS

PSKS = [bytes([number]) * 32 for number in range(1, 10)]
NODE_PATTERNS = ("XX", "IK", "KK", "XXpsk0")


def pair(text: str, *, prologue: bytes = b"hansa", **changes: object) -> tuple[HandshakeState, HandshakeState]:
    """Both sides of a fresh handshake; every key is given where its pattern wants it beforehand."""
    name = ProtocolName.parse(text)
    i, r = KeyPair.generate(), KeyPair.generate()
    psks = PSKS[: name.pattern.psk_count]
    initiator = HandshakeState(
        name,
        initiator=True,
        prologue=prologue,
        s=i,
        rs=r.public if name.pattern.responder_premessage else None,
        psks=psks,
    )
    responder = HandshakeState(
        name,
        initiator=False,
        prologue=bytes(changes.get("responder_prologue", prologue)),  # type: ignore[call-overload]
        s=r,
        rs=i.public if name.pattern.initiator_premessage else None,
        psks=changes.get("responder_psks", psks),  # type: ignore[arg-type]
    )
    return initiator, responder


def full(pattern: str) -> str:
    return f"Noise_{pattern}_25519_AESGCM_SHA256"


def run(initiator: HandshakeState, responder: HandshakeState) -> None:
    writer, reader = initiator, responder
    while not initiator.complete:
        assert reader.read_message(writer.write_message(b"payload")) == b"payload"
        writer, reader = reader, writer


def run_flipped(initiator: HandshakeState, responder: HandshakeState, victim: int, at: int, lengths: list[int]) -> None:
    """As ``run``, with one bit of byte ``at`` of message ``victim`` changed on the way."""
    writer, reader = initiator, responder
    while not initiator.complete:
        message = bytearray(writer.write_message(b"payload"))
        if len(lengths) == victim:
            message[at] ^= 1 << (at % 8)
        lengths.append(len(message))
        reader.read_message(bytes(message))
        writer, reader = reader, writer


@pytest.mark.parametrize("base", sorted(PATTERNS))
def test_every_pattern_with_every_set_of_psks_completes(base: str) -> None:
    last = len(PATTERNS[base].messages)
    for count in range(3):
        for positions in itertools.combinations(range(last + 1), count):
            modifiers = "+".join(f"psk{position}" for position in positions)
            initiator, responder = pair(full(base + modifiers))
            run(initiator, responder)
            assert responder.complete
            assert initiator.handshake_hash == responder.handshake_hash


def test_the_table_holds_the_specification_s_patterns() -> None:
    assert len(PATTERNS) == 3 + 12 + 23
    for pattern in PATTERNS.values():
        assert {token for message in pattern.messages for token in message} <= {"e", "s", "ee", "es", "se", "ss"}
        assert pattern.messages[0][0] == "e"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Noise_XX_448_AESGCM_SHA256", "not a Noise protocol name"),
        ("Noise_XX_25519_AESGCM_MD5", "not a Noise protocol name"),
        ("Noise_N1_25519_AESGCM_SHA256", "unknown Noise pattern"),
        ("Noise_XXpsk4_25519_AESGCM_SHA256", "has no message 4"),
        ("Noise_XXpsk1+psk1_25519_AESGCM_SHA256", "stands twice"),
        ("Noise_XX_25519_AESGCM_SHA256\n", "not a Noise protocol name"),
    ],
)
def test_names_that_are_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ProtocolName.parse(text)


def test_a_missing_psk_is_refused() -> None:
    name = ProtocolName.parse(full("XXpsk0"))
    for psks in ([], [b"short"], PSKS[:2]):
        with pytest.raises(ProtocolError, match="needs 1 pre-shared keys"):
            HandshakeState(name, initiator=True, s=KeyPair.generate(), psks=psks)


@pytest.mark.parametrize("pattern", NODE_PATTERNS)
def test_any_flipped_byte_fails_the_handshake(pattern: str) -> None:
    count = len(ProtocolName.parse(full(pattern)).pattern.messages)
    for victim in range(count):
        at, length = 0, 1
        while at < length:
            initiator, responder = pair(full(pattern))
            lengths: list[int] = []
            with pytest.raises(SecurityError, match=r"does not decrypt|small order"):
                run_flipped(initiator, responder, victim, at, lengths)
            assert not (initiator.complete and responder.complete)
            length = lengths[victim]
            at += 1


@pytest.mark.parametrize("pattern", NODE_PATTERNS)
def test_a_message_cut_at_any_byte_fails_and_kills_the_state(pattern: str) -> None:
    count = len(ProtocolName.parse(full(pattern)).pattern.messages)
    for victim in range(count):
        for cut in itertools.count():
            initiator, responder = pair(full(pattern))
            writer, reader = initiator, responder
            for _ in range(victim):
                reader.read_message(writer.write_message())
                writer, reader = reader, writer
            message = writer.write_message()
            if cut >= len(message):
                break
            with pytest.raises(SecurityError, match=r"truncated|shorter|does not decrypt"):
                reader.read_message(message[:cut])
            assert not reader.complete
            with pytest.raises(ProtocolError, match="out of turn"):
                reader.write_message()


@pytest.mark.parametrize("pattern", NODE_PATTERNS)
def test_a_recorded_answer_does_not_fit_a_fresh_handshake(pattern: str) -> None:
    initiator, responder = pair(full(pattern))
    responder.read_message(initiator.write_message())
    recorded = responder.write_message()
    fresh, _ = pair(full(pattern))
    fresh.write_message()
    with pytest.raises(SecurityError, match="does not decrypt"):
        fresh.read_message(recorded)


@pytest.mark.parametrize("pattern", ["XX", "IK", "KK", "XXpsk0", "NN"])
def test_prologues_that_differ_fail(pattern: str) -> None:
    initiator, responder = pair(full(pattern), responder_prologue=b"other")
    with pytest.raises(SecurityError, match="does not decrypt"):
        run(initiator, responder)


def test_psks_that_differ_fail_at_the_first_message() -> None:
    initiator, responder = pair(full("XXpsk0"), responder_psks=[b"x" * 32])
    with pytest.raises(SecurityError, match="does not decrypt"):
        responder.read_message(initiator.write_message())


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31)])
def test_an_ephemeral_key_of_small_order_is_refused(point: bytes) -> None:
    _, responder = pair(full("XX"))
    responder.read_message(point)
    with pytest.raises(SecurityError, match="small order"):
        responder.write_message()
    assert not responder.complete


def test_turns_are_kept() -> None:
    initiator, responder = pair(full("XX"))
    with pytest.raises(ProtocolError, match="out of turn"):
        responder.write_message()
    initiator.write_message()
    with pytest.raises(ProtocolError, match="out of turn"):
        initiator.write_message()
    unfinished, _ = pair(full("XX"))
    with pytest.raises(ProtocolError, match="before the handshake is complete"):
        unfinished.split()


def test_split_kills_the_handshake() -> None:
    initiator, responder = pair(full("KK"))
    run(initiator, responder)
    initiator.split()
    for call in (initiator.split, initiator.write_message):
        with pytest.raises(ProtocolError, match=r"split before|out of turn"):
            call()


@pytest.mark.parametrize("pattern", ["N", "K", "X", "Npsk0", "Kpsk0+psk1"])
def test_a_one_way_pattern_has_one_direction(pattern: str) -> None:
    initiator, responder = pair(full(pattern))
    run(initiator, responder)
    sending, nothing = initiator.split()
    never, receiving = responder.split()
    assert nothing is None
    assert never is None
    assert sending is not None
    assert receiving is not None
    assert receiving.decrypt_with_ad(b"", sending.encrypt_with_ad(b"", b"there")) == b"there"


def test_the_longest_message_and_one_byte_more() -> None:
    room = NOISE_MAX_MESSAGE - 32  # XX's first message: an ephemeral key and a clear payload
    initiator, responder = pair(full("XX"))
    message = initiator.write_message(bytes(room))
    assert len(message) == NOISE_MAX_MESSAGE
    assert responder.read_message(message) == bytes(room)
    initiator, responder = pair(full("XX"))
    with pytest.raises(ProtocolError, match="65,535"):
        initiator.write_message(bytes(room + 1))
    with pytest.raises(ProtocolError, match="65,535"):
        responder.read_message(bytes(NOISE_MAX_MESSAGE + 1))


def test_a_key_pair_does_not_print_its_secret() -> None:
    keys = KeyPair.generate()
    assert keys.secret.hex() not in repr(keys)
    assert repr(keys.secret) not in repr(keys)


@pytest.mark.parametrize("cipher", ["AESGCM", "ChaChaPoly"])
class TestCipherState:
    def test_a_failed_decryption_leaves_the_nonce(self, cipher: str) -> None:
        here, there = CipherState(cipher, b"k" * 32), CipherState(cipher, b"k" * 32)
        good = here.encrypt_with_ad(b"", b"text")
        with pytest.raises(SecurityError, match="does not decrypt"):
            there.decrypt_with_ad(b"", good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(SecurityError, match="shorter than its tag"):
            there.decrypt_with_ad(b"", good[:15])
        assert there.n == 0
        assert there.decrypt_with_ad(b"", good) == b"text"

    def test_the_last_nonce_is_reserved(self, cipher: str) -> None:
        state = CipherState(cipher, b"k" * 32)
        state.n = NOISE_MAX_NONCE - 1
        state.encrypt_with_ad(b"", b"last")
        for call in (state.encrypt_with_ad, state.decrypt_with_ad):
            with pytest.raises(ProtocolError, match="used up its nonces"):
                call(b"", bytes(16))

    def test_rekey_changes_the_key_and_keeps_the_nonce(self, cipher: str) -> None:
        here, there = CipherState(cipher, b"k" * 32), CipherState(cipher, b"k" * 32)
        there.decrypt_with_ad(b"", here.encrypt_with_ad(b"", b"before"))
        here.rekey()
        assert here.n == 1
        after = here.encrypt_with_ad(b"", b"after")
        with pytest.raises(SecurityError, match="does not decrypt"):
            there.decrypt_with_ad(b"", after)
        there.rekey()
        assert there.decrypt_with_ad(b"", after) == b"after"

    def test_without_a_key_there_is_nothing_to_rekey(self, cipher: str) -> None:
        state = CipherState(cipher)
        assert state.encrypt_with_ad(b"", b"clear") == b"clear"
        with pytest.raises(ProtocolError, match="before there is a key"):
            state.rekey()


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from(NODE_PATTERNS))
def test_no_bytes_raise_anything_but_our_errors(data: bytes, pattern: str) -> None:
    _, responder = pair(full(pattern))
    try:
        responder.read_message(data)
    except SecurityError:
        assert not responder.complete
