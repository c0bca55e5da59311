"""Records: pair tests, trickle, limits, tampering, replay, rekey, and memory that only grows with what arrives."""

from __future__ import annotations

import contextlib
import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.config.errors import HansaError
from hansa.protocols.errors import PeerMisbehaved, ProtocolError, SecurityError
from hansa.protocols.wire.channel.channel import (
    Event,
    MessageReceived,
    PeerClosed,
    PingReceived,
    PongReceived,
    Receiver,
    RecordKind,
    Sender,
)
from hansa.protocols.wire.limits import CHANNEL_MAX_MESSAGE, CHANNEL_REKEY_AFTER, CLOSE_MAX_REASON, NOISE_MAX_MESSAGE
from hansa.protocols.wire.noise import CipherState

PAYLOAD = NOISE_MAX_MESSAGE - 16
CIPHERS = ("AESGCM", "ChaChaPoly")


def ends(cipher: str = "AESGCM", *, rekey_after: int = CHANNEL_REKEY_AFTER) -> tuple[Sender, Receiver]:
    return (
        Sender(CipherState(cipher, b"k" * 32), rekey_after=rekey_after),
        Receiver(CipherState(cipher, b"k" * 32)),
    )


def wire(sender: Sender, *parts: bytes | bytearray | memoryview) -> bytes:
    return b"".join(bytes(piece) for piece in sender.message(*parts))


def feed(receiver: Receiver, data: bytes, step: int = 1 << 30) -> list[Event]:
    events: list[Event] = []
    at = 0
    while at < len(data):
        buffer = receiver.get_buffer()
        count = min(step, len(buffer), len(data) - at)
        buffer[:count] = data[at : at + count]
        receiver.buffer_updated(count)
        at += count
        while (event := receiver.next_event()) is not None:
            events.append(event)
            if isinstance(event, PeerClosed):
                return events
    return events


def messages(events: list[Event]) -> list[bytes]:
    return [bytes(event.data) for event in events if isinstance(event, MessageReceived)]


def forge(*plaintexts: bytes) -> bytes:
    """Records that a dishonest peer, who has the keys, would send."""
    cipher = CipherState("AESGCM", b"k" * 32)
    records = [cipher.encrypt_with_ad(b"", plaintext) for plaintext in plaintexts]
    return b"".join(len(record).to_bytes(2, "big") + record for record in records)


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("size", [0, 1, 1024, PAYLOAD - 2, PAYLOAD - 1, PAYLOAD, PAYLOAD + 1, 20 * PAYLOAD + 7])
def test_sizes_around_every_border(cipher: str, size: int) -> None:
    sender, receiver = ends(cipher)
    data = bytes(itertools.islice(itertools.cycle(range(251)), size))
    assert messages(feed(receiver, wire(sender, data) + wire(sender, b"next"))) == [data, b"next"]


def test_parts_are_concatenated_whatever_they_are() -> None:
    sender, receiver = ends()
    big = np.arange(100_000, dtype=np.uint64)
    parts = (b"", bytearray(b"head"), memoryview(np.empty((0, 3))), memoryview(big), memoryview(big.reshape(100, 1000)))
    joined = b"head" + big.tobytes() * 2
    assert messages(feed(receiver, wire(sender, *parts))) == [joined]
    assert messages(feed(receiver, wire(sender, b"a", b"", b"b"))) == [b"ab"]
    assert messages(feed(receiver, wire(sender))) == [b""]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 3 * PAYLOAD), max_size=3), max_size=5),
    st.integers(1000, 300_000),
    st.integers(1, 9),
    st.sampled_from(CIPHERS),
)
def test_any_messages_in_any_pieces_with_any_rekeying(
    sizes: list[list[int]], step: int, rekey_after: int, cipher: str
) -> None:
    sender, receiver = ends(cipher, rekey_after=rekey_after)
    parts = [[bytes([index % 256]) * size for index, size in enumerate(message)] for message in sizes]
    data = b"".join(wire(sender, *message) for message in parts)
    assert messages(feed(receiver, data, step)) == [b"".join(message) for message in parts]


def test_trickle() -> None:
    sender, receiver = ends()
    data = wire(sender, b"small") + bytes(sender.ping(7)) + wire(sender, bytes(PAYLOAD + 5)) + bytes(sender.pong(8))
    events = feed(receiver, data, step=1)
    assert messages(events) == [b"small", bytes(PAYLOAD + 5)]
    assert events[1] == PingReceived(7)
    assert events[3] == PongReceived(8)


def test_close_ends_the_stream_and_what_follows_is_not_read() -> None:
    sender, receiver = ends()
    assert feed(receiver, bytes(sender.close("done")) + b"junk behind the goodbye") == [PeerClosed("done")]
    with pytest.raises(ProtocolError, match="has ended"):
        receiver.next_event()


def test_a_long_reason_is_cut_between_characters() -> None:
    sender, receiver = ends()
    (event,) = feed(receiver, bytes(sender.close("a" + "ß" * CLOSE_MAX_REASON)))
    assert event == PeerClosed("a" + "ß" * ((CLOSE_MAX_REASON - 1) // 2))


def test_a_reason_cannot_drive_the_operator_s_terminal() -> None:
    (event,) = feed(ends()[1], forge(bytes([RecordKind.CLOSE]) + b"bye\x1b[2J\r\n\xff"))
    assert event == PeerClosed("bye\ufffd[2J\ufffd\ufffd\ufffd")


@pytest.mark.parametrize("cipher", CIPHERS)
def test_every_flipped_byte_fails_for_good(cipher: str) -> None:
    sender, _ = ends(cipher)
    good = wire(sender, b"text")
    for at in range(2, len(good)):
        _, receiver = ends(cipher)
        with pytest.raises(SecurityError, match="does not decrypt"):
            feed(receiver, good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(ProtocolError, match="has ended"):
            feed(receiver, good)


def test_a_flipped_length_never_yields_a_message() -> None:
    sender, _ = ends()
    good = wire(sender, b"text") + wire(sender, bytes(3000))
    for at, bit in itertools.product(range(2), range(8)):
        _, receiver = ends()
        try:
            events = feed(receiver, good[:at] + bytes([good[at] ^ (1 << bit)]) + good[at + 1 :])
        except (SecurityError, PeerMisbehaved):
            continue
        assert events == []


def test_replayed_dropped_and_reordered_records_fail() -> None:
    sender, _ = ends()
    first, second, third = (wire(sender, text) for text in (b"1", b"2", b"3"))
    for order in ((first, first), (first, third), (second, first)):
        with pytest.raises(SecurityError, match="replayed, out of order"):
            feed(ends()[1], b"".join(order))


def test_a_record_of_the_other_direction_fails() -> None:
    sender = Sender(CipherState("AESGCM", b"j" * 32))
    with pytest.raises(SecurityError, match="does not decrypt"):
        feed(ends()[1], wire(sender, b"reflected"))


@pytest.mark.parametrize("length", range(17))
def test_a_record_too_short_to_hold_a_kind(length: int) -> None:
    with pytest.raises(PeerMisbehaved, match=f"a record of {length} bytes"):
        feed(ends()[1], length.to_bytes(2, "big"))


@pytest.mark.parametrize(
    ("plaintext", "why"),
    [
        (b"\x06", "kind 6 with 0 bytes"),
        (b"\xff" * 9, "kind 255 with 8 bytes"),
        (bytes([RecordKind.PING]) + bytes(7), "kind 2 with 7 bytes"),
        (bytes([RecordKind.PONG]) + bytes(9), "kind 3 with 9 bytes"),
        (bytes([RecordKind.REKEY]) + b"x", "kind 4 with 1 bytes"),
        (bytes([RecordKind.CLOSE]) + bytes(CLOSE_MAX_REASON + 1), "kind 5 with 201 bytes"),
        (bytes([RecordKind.BULK]) + bytes(8), "kind 1 with 8 bytes"),
        (bytes([RecordKind.BULK]) + bytes(7), "kind 1 with 7 bytes"),
        (bytes([RecordKind.BULK]) + (CHANNEL_MAX_MESSAGE + 1).to_bytes(8, "big"), "kind 1 with 8 bytes"),
        (bytes([RecordKind.BULK]) + b"\xff" * 8, "kind 1 with 8 bytes"),
    ],
)
def test_records_no_honest_node_sends(plaintext: bytes, why: str) -> None:
    _, receiver = ends()
    with pytest.raises(PeerMisbehaved, match=why):
        feed(receiver, forge(plaintext))
    with pytest.raises(ProtocolError, match="has ended"):
        receiver.next_event()


def test_more_bytes_than_a_message_announced() -> None:
    with pytest.raises(PeerMisbehaved, match="more bytes than the message announced"):
        feed(ends()[1], forge(bytes([RecordKind.BULK]) + (10).to_bytes(8, "big"), bytes(6), bytes(5)))


def test_a_claimed_length_costs_nothing_until_its_bytes_come() -> None:
    _, receiver = ends()
    claim = forge(bytes([RecordKind.BULK]) + CHANNEL_MAX_MESSAGE.to_bytes(8, "big"), bytes(1000))
    tracemalloc.start()
    try:
        assert feed(receiver, claim) == []
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_message_over_the_limit_is_refused_and_harms_nothing() -> None:
    sender, receiver = ends()
    part = bytes(1 << 20)
    with pytest.raises(ProtocolError, match="too long for a channel"):
        sender.message(*[part] * 1024, b"x")
    with pytest.raises(ProtocolError, match="not contiguous"):
        sender.message(memoryview(np.zeros((4, 4))[:, 1]))
    assert messages(feed(receiver, wire(sender, b"still in step"))) == [b"still in step"]


def test_rekey_by_volume_changes_keys_on_both_sides() -> None:
    sender, receiver = ends(rekey_after=4)
    plain = Receiver(CipherState("AESGCM", b"k" * 32))
    data = [wire(sender, b"%d" % index) for index in range(20)]
    assert messages(feed(receiver, b"".join(data))) == [b"%d" % index for index in range(20)]
    plain._cipher.rekey = lambda: None  # type: ignore[method-assign]
    with pytest.raises(SecurityError, match="does not decrypt"):
        feed(plain, b"".join(data))


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=300), st.booleans())
def test_no_bytes_raise_anything_but_our_errors(data: bytes, sealed: bool) -> None:
    with contextlib.suppress(HansaError):
        feed(ends()[1], forge(data) if sealed else data)
