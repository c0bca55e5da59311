"""Preambles: bounds, trickle, refusals, and the choice of a suite."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.protocols.errors import PeerError, PeerMisbehaved
from hansa.protocols.wire.channel.preamble import SUITES, VERSION, Preamble, PreambleRefused, Purpose, Refusal, Reply
from hansa.protocols.wire.limits import PREAMBLE_MAX_SUITES, PREAMBLE_MAX_TOKEN

HEAD = b"HNSA" + bytes([VERSION, Purpose.WORKER])


@pytest.mark.parametrize("purpose", list(Purpose))
@pytest.mark.parametrize("token", [b"", b"t" * 16, b"t" * PREAMBLE_MAX_TOKEN])
def test_round_trip(purpose: Purpose, token: bytes) -> None:
    preamble = Preamble.build(purpose, token, SUITES)
    assert Preamble.decode_untrusted(preamble.raw) == preamble
    assert (preamble.purpose, preamble.token, preamble.suites) == (purpose, token, SUITES)


def test_trickle_and_trailing_junk() -> None:
    raw = Preamble.build(Purpose.MEET, b"token", SUITES).raw
    for cut in range(len(raw)):
        assert Preamble.parse_untrusted(raw[:cut]) is None
        with pytest.raises(PeerMisbehaved, match="truncated, or with bytes behind it"):
            Preamble.decode_untrusted(raw[:cut])
    found = Preamble.parse_untrusted(raw + b"handshake")
    assert found is not None
    assert found.raw == raw
    with pytest.raises(PeerMisbehaved, match="bytes behind it"):
        Preamble.decode_untrusted(raw + b"x")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"G", "does not begin with HNSA"),
        (b"HNSX", "does not begin with HNSA"),
        (b"GET / HTTP/1.1\r\n", "does not begin with HNSA"),
        (b"HNSA" + bytes([VERSION, 9]), "unknown purpose 9"),
        (HEAD + bytes([PREAMBLE_MAX_TOKEN + 1]), "the token is longer than 32 bytes"),
        (HEAD + b"\x00\x00", "0 suites"),
        (HEAD + b"\x00" + bytes([PREAMBLE_MAX_SUITES + 1]), "9 suites"),
        (HEAD + b"\x00\x01\xff", "a suite's name is longer"),
    ],
)
def test_what_is_refused_as_soon_as_it_shows(data: bytes, why: str) -> None:
    with pytest.raises(PeerMisbehaved, match=why):
        Preamble.parse_untrusted(data)


def test_another_version_is_told_apart_from_garbage() -> None:
    with pytest.raises(PreambleRefused, match="speaks version 7 of the protocol, this node version 1") as caught:
        Preamble.parse_untrusted(b"HNSA\x07\x01")
    assert caught.value.fields["reason"] == "unknown_version"


def test_own_bounds_are_kept() -> None:
    for token, suites in ((b"t" * (PREAMBLE_MAX_TOKEN + 1), SUITES), (b"", ()), (b"", ["a"] * 9)):
        with pytest.raises(ValueError, match="out of bounds"):
            Preamble.build(Purpose.CONTROL, token, suites)


@pytest.mark.parametrize(
    ("offered", "permitted", "chosen"),
    [
        (SUITES, SUITES, "AESGCM_SHA256"),
        (SUITES, ("ChaChaPoly_BLAKE2b", "AESGCM_SHA256"), "ChaChaPoly_BLAKE2b"),
        (("x", "ChaChaPoly_SHA256"), SUITES, "ChaChaPoly_SHA256"),
    ],
)
def test_the_responder_s_order_decides(offered: tuple[str, ...], permitted: tuple[str, ...], chosen: str) -> None:
    reply = Reply.choose(offered, permitted)
    assert reply.suite == chosen
    assert Reply.parse_untrusted(reply.raw, offered) == reply
    for cut in range(len(reply.raw)):
        assert Reply.parse_untrusted(reply.raw[:cut], offered) is None


@pytest.mark.parametrize("refusal", list(Refusal))
def test_refusals(refusal: Refusal) -> None:
    raw = Reply.refuse(refusal).raw
    words = refusal.name.lower().replace("_", " ")
    with pytest.raises(PreambleRefused, match=f"declined the connection: {words}"):
        Reply.parse_untrusted(raw, SUITES)
    newer = raw[:4] + b"\x09" + raw[5:]
    with pytest.raises(PreambleRefused, match=words):
        Reply.parse_untrusted(newer, SUITES)


def test_no_common_suite_is_a_refusal() -> None:
    assert Reply.choose(("a",), ("b",)).refusal is Refusal.NO_COMMON_SUITE


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP", "does not begin with HNSA"),
        (Reply.choose(SUITES, SUITES).raw.replace(b"AESGCM_SHA256", b"AESGCM_SHA255"), "did not offer"),
        (b"HNSA\x01\x00\xff", "the suite's name is longer"),
        (b"HNSA\x02\x00", "chosen in version 2"),
    ],
)
def test_replies_that_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(PeerMisbehaved, match=why):
        Reply.parse_untrusted(data, SUITES)


def test_an_unknown_refusal_is_still_a_refusal() -> None:
    with pytest.raises(PreambleRefused, match="an unknown reason"):
        Reply.parse_untrusted(b"HNSA\x01\xee\x00", SUITES)


@settings(deadline=None)
@given(st.binary(max_size=150), st.booleans())
def test_no_bytes_raise_anything_but_our_errors(data: bytes, headed: bool) -> None:
    for parse in (Preamble.parse_untrusted, lambda some: Reply.parse_untrusted(some, SUITES)):
        with contextlib.suppress(PeerError):
            parse(HEAD + data if headed else data)
