"""Invitation codes: a slip of the hand is found, an old code is refused, the secret shows nowhere else."""

import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.protocols.errors import ConsentError
from hansa.protocols.wire.invitation import PREFIX, Invitation

NOW = 1_800_000_000
INVITATION = Invitation(b"i" * 32, b"x" * 32, "bank.example:7400", NOW + 60, b"secret-of-16-byt")
CODE = INVITATION.code()


def code_of(body):
    """A code with a right checksum, whatever it holds."""
    data = body + hashlib.blake2b(body, digest_size=4).digest()
    return PREFIX + base64.b32encode(data).decode().rstrip("=").lower()


def body(version=1, address=b"a:1"):
    return bytes([version]) + (NOW + 60).to_bytes(8, "big") + bytes(80) + address


def test_a_code_is_read_back_until_it_expires():
    assert Invitation.parse(CODE, NOW) == INVITATION
    assert Invitation.parse(CODE, NOW + 59) == INVITATION
    with pytest.raises(ConsentError, match="has expired"):
        Invitation.parse(CODE, NOW + 60)


def test_how_it_was_copied_does_not_matter():
    for text in (CODE.upper(), f"  {CODE}\n", f"{CODE[:40]}\n  {CODE[40:]}"):
        assert Invitation.parse(text, NOW) == INVITATION


@settings(deadline=None, max_examples=200)
@given(st.integers(len(PREFIX), len(CODE) - 1), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_one_wrong_letter_is_found(place, letter):
    text = CODE[:place] + letter + CODE[place + 1 :]
    if text != CODE:
        try:
            assert Invitation.parse(text, NOW) == INVITATION  # only bits that pad the last letter may differ
        except ConsentError as error:
            assert "cannot be read" in error.message  # noqa: PT017
        else:
            assert place == len(CODE) - 1


@settings(deadline=None)
@given(st.integers(len(PREFIX), len(CODE) - 2))
def test_two_letters_swapped_or_one_lost_are_found(place):
    swapped = CODE[:place] + CODE[place + 1] + CODE[place] + CODE[place + 2 :]
    for text in {swapped, CODE[:place] + CODE[place + 1 :], CODE[: place + 1]} - {CODE}:
        with pytest.raises(ConsentError, match="cannot be read"):
            Invitation.parse(text, NOW)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    for code in (text, PREFIX + text):
        with pytest.raises(ConsentError, match="cannot be read"):
            Invitation.parse(code, NOW)


@pytest.mark.parametrize(
    ("code", "match"),
    [
        ("", "begins with hansa1-"),
        ("hansa2-" + CODE[7:], "begins with hansa1-"),
        (PREFIX, "checksum does not fit"),
        (PREFIX + "1890", "letters no code has"),
        (PREFIX + "ä" * 8, "letters no code has"),
        (PREFIX + "a" * 700, "begins with hansa1-"),
        (code_of(body(version=2)), "checksum does not fit"),
        (code_of(body(address=b"")), "checksum does not fit"),
        (code_of(body(address=b"nowhere")), "write host:port"),
        (code_of(body(address=b"\xff:1")), "write host:port"),
    ],
)
def test_what_is_wrong_is_said_in_words(code, match):
    with pytest.raises(ConsentError, match=match) as caught:
        Invitation.parse(code, NOW)
    assert "hansa peer invite" in caught.value.remedy


def test_the_secret_stays_in_the_code():
    assert b"secret-of" not in INVITATION.token
    assert b"secret-of" not in INVITATION.psk
    assert INVITATION.psk[:16] != INVITATION.token
    assert "secret-of" not in repr(INVITATION)
    assert (len(INVITATION.token), len(INVITATION.psk)) == (16, 32)


def test_the_longest_address_fits():
    long = Invitation(b"i" * 32, b"x" * 32, "h" * 253 + ":65535", NOW + 60, bytes(16))
    assert Invitation.parse(long.code(), NOW) == long
