"""Preambles and handshake together: pair tests, downgrade, replay, truncation, limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.config.errors import HansaError
from hansa.protocols.errors import PeerMisbehaved, ProtocolError, SecurityError
from hansa.protocols.wire.channel.handshaking import HandshakeParams, Handshaking
from hansa.protocols.wire.channel.preamble import SUITES, Preamble, PreambleRefused, Purpose, Reply
from hansa.protocols.wire.limits import HANDSHAKE_MAX_PAYLOAD
from hansa.protocols.wire.noise import KeyPair

A, B, MALLORY = KeyPair.generate(), KeyPair.generate(), KeyPair.generate()
WEAK = ("ChaChaPoly_SHA256",)
PATTERNS = ("XX", "IK", "KK", "XXpsk0")


def params(pattern: str = "KK", **changes: object) -> tuple[HandshakeParams, HandshakeParams]:
    psk = b"p" * 32 if "psk" in pattern else None
    here = HandshakeParams(
        pattern, A.secret, SUITES, B.public if pattern in {"KK", "IK"} else None, b"extra", b"from a", psk
    )
    there = HandshakeParams(pattern, B.secret, SUITES, A.public if pattern == "KK" else None, b"extra", b"from b", psk)
    return here, replace(there, **changes)  # type: ignore[arg-type]


def begin(here: HandshakeParams, there: HandshakeParams) -> tuple[Handshaking, Handshaking]:
    initiator = Handshaking.initiate(here, Purpose.CONTROL, b"token")
    return initiator, Handshaking.respond(there, Preamble.decode_untrusted(initiator.data_to_send()))


def finish(initiator: Handshaking, responder: Handshaking, *, step: int = 1 << 20) -> None:
    """Carry bytes to and fro, ``step`` at a time, until nothing moves."""
    moved = True
    while moved:
        moved = False
        for sender, receiver in ((responder, initiator), (initiator, responder)):
            data = sender.data_to_send()
            for at in range(0, len(data), step):
                receiver.receive_data_untrusted(data[at : at + step])
            moved = moved or bool(data)


def recorded(here: HandshakeParams, there: HandshakeParams) -> tuple[bytes, bytes]:
    """What an eavesdropper sees of the initiator: its preamble, and all that it says after the reply."""
    initiator = Handshaking.initiate(here, Purpose.CONTROL, b"token")
    raw = initiator.data_to_send()
    responder = Handshaking.respond(there, Preamble.decode_untrusted(raw))
    said = b""
    while responder.established is None:
        initiator.receive_data_untrusted(responder.data_to_send())
        data = initiator.data_to_send()
        said += data
        responder.receive_data_untrusted(data)
    return raw, said


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("step", [1, 1 << 20], ids=["trickle", "whole"])
def test_both_ends_agree(pattern: str, suite: str, step: int) -> None:
    here, there = params(pattern, suites=(suite,))
    initiator, responder = begin(here, there)
    finish(initiator, responder, step=step)
    a, b = initiator.established, responder.established
    assert a is not None
    assert b is not None
    assert (a.remote_static, a.remote_payload, a.suite) == (B.public, b"from b", suite)
    assert (b.remote_static, b.remote_payload, b.suite) == (A.public, b"from a", suite)
    assert a.handshake_hash == b.handshake_hash
    assert b.receiving.decrypt_with_ad(b"", a.sending.encrypt_with_ad(b"", b"there")) == b"there"
    assert a.receiving.decrypt_with_ad(b"", b.sending.encrypt_with_ad(b"", b"back")) == b"back"


@pytest.mark.parametrize("pattern", PATTERNS)
def test_bytes_behind_the_handshake_belong_to_the_records(pattern: str) -> None:
    initiator, responder = begin(*params(pattern))
    while initiator.established is None:
        initiator.receive_data_untrusted(responder.data_to_send())
        data = initiator.data_to_send()
        responder.receive_data_untrusted(data + (b"records" if initiator.established else b""))
    assert responder.established is not None
    assert responder.established.rest == b"records"


@pytest.mark.parametrize("pattern", PATTERNS)
def test_an_offer_cut_down_on_the_way_fails(pattern: str) -> None:
    here, there = params(pattern)
    initiator = Handshaking.initiate(here, Purpose.CONTROL, b"token")
    initiator.data_to_send()
    responder = Handshaking.respond(there, Preamble.build(Purpose.CONTROL, b"token", WEAK))
    with pytest.raises(SecurityError, match="does not decrypt"):
        finish(initiator, responder)
    assert initiator.established is None
    assert responder.established is None


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_choice_changed_on_the_way_fails(pattern: str) -> None:
    initiator, responder = begin(*params(pattern))
    responder.data_to_send()
    initiator.receive_data_untrusted(Reply.choose(SUITES, WEAK).raw)
    with pytest.raises(SecurityError, match="does not decrypt"):
        finish(initiator, responder)
    assert responder.established is None


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_token_or_purpose_changed_on_the_way_fails(pattern: str) -> None:
    here, there = params(pattern)
    for purpose, token in ((Purpose.WORKER, b"token"), (Purpose.CONTROL, b"tokem")):
        initiator = Handshaking.initiate(here, Purpose.CONTROL, b"token")
        initiator.data_to_send()
        responder = Handshaking.respond(there, Preamble.build(purpose, token, SUITES))
        with pytest.raises(SecurityError, match="does not decrypt"):
            finish(initiator, responder)


@pytest.mark.parametrize("pattern", ["KK", "IK"])
def test_another_static_key_fails(pattern: str) -> None:
    initiator, responder = begin(*params(pattern, static_secret=MALLORY.secret))
    with pytest.raises(SecurityError, match="does not decrypt"):
        finish(initiator, responder)
    assert responder.failed


@pytest.mark.parametrize(("field", "value"), [("prologue_extra", b"another job"), ("psk", b"q" * 32)])
def test_what_both_must_know_beforehand(field: str, value: bytes) -> None:
    initiator, responder = begin(*params("XXpsk0", **{field: value}))
    with pytest.raises(SecurityError, match="does not decrypt"):
        finish(initiator, responder)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_replayed_initiator_is_not_believed(pattern: str) -> None:
    here, there = params(pattern)
    raw, said = recorded(here, there)
    responder = Handshaking.respond(there, Preamble.decode_untrusted(raw))
    with pytest.raises(SecurityError, match="does not decrypt"):
        responder.receive_data_untrusted(said)
    assert responder.established is None
    assert responder.failed


@pytest.mark.parametrize("pattern", ["KK", "IK"])
def test_a_replayed_first_message_alone_opens_nothing(pattern: str) -> None:
    here, there = params(pattern)
    raw, said = recorded(here, there)
    first = said[: 2 + int.from_bytes(said[:2], "big")]
    responder = Handshaking.respond(there, Preamble.decode_untrusted(raw))
    responder.receive_data_untrusted(first)
    assert responder.established is None


def test_a_confirmation_that_says_something_is_refused() -> None:
    initiator, responder = begin(*params("KK"))
    initiator.receive_data_untrusted(responder.data_to_send())
    responder.receive_data_untrusted(initiator.data_to_send())
    initiator.receive_data_untrusted(responder.data_to_send())
    assert initiator.established is not None
    initiator.established.sending.n = 0  # as a dishonest node would
    wordy = initiator.established.sending.encrypt_with_ad(b"", b"word")
    with pytest.raises(PeerMisbehaved, match="more than an empty message"):
        responder.receive_data_untrusted(len(wordy).to_bytes(2, "big") + wordy)


def test_no_common_suite() -> None:
    initiator, responder = begin(*params("KK", suites=("AESGCM_SHA512",)))
    assert responder.failed
    assert "no common cipher suite" in str(responder.refuse_message())
    stranger = Handshaking.respond(params("KK")[1], Preamble.build(Purpose.CONTROL, b"", ("\x1b[2J\n",)))
    assert stranger.refuse_message().message.isprintable()
    with pytest.raises(PreambleRefused, match="no common suite"):
        initiator.receive_data_untrusted(responder.data_to_send())
    assert initiator.failed


def test_a_dead_machine_stays_dead() -> None:
    initiator, _ = begin(*params())
    with pytest.raises(PeerMisbehaved, match="does not begin with HNSA"):
        initiator.receive_data_untrusted(b"SSH-2.0-OpenSSH")
    with pytest.raises(ProtocolError, match="finished handshake"):
        initiator.receive_data_untrusted(b"")


def test_the_longest_payload_and_one_byte_more() -> None:
    here, there = params("KK", payload=bytes(HANDSHAKE_MAX_PAYLOAD))
    initiator, responder = begin(here, there)
    finish(initiator, responder)
    assert initiator.established is not None
    assert len(initiator.established.remote_payload) == HANDSHAKE_MAX_PAYLOAD
    with pytest.raises(ProtocolError, match="at most 16384"):
        Handshaking.initiate(replace(here, payload=bytes(HANDSHAKE_MAX_PAYLOAD + 1)), Purpose.CONTROL, b"")


def test_an_oversized_claim_is_refused_at_its_length() -> None:
    _, responder = begin(*params())
    with pytest.raises(PeerMisbehaved, match="claims 65535 bytes"):
        responder.receive_data_untrusted(b"\xff\xff")


@settings(deadline=None)
@given(st.binary(max_size=400), st.sampled_from(PATTERNS), st.booleans())
def test_no_bytes_raise_anything_but_our_errors(data: bytes, pattern: str, framed: bool) -> None:
    machines = begin(*params(pattern))
    for machine in machines:
        machine.data_to_send()
        try:
            machine.receive_data_untrusted(len(data).to_bytes(2, "big") + data if framed else data)
        except HansaError:
            assert machine.failed
        assert machine.established is None
