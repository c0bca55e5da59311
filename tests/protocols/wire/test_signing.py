"""Signatures verify for one key, one purpose and one body; fingerprints can be read aloud."""

import re

import pytest
from nacl.signing import SigningKey

from hansa.protocols.errors import SecurityError
from hansa.protocols.wire import signing

SIGNING_KEY = b"\x01" * 32
IDENTITY = bytes(SigningKey(SIGNING_KEY).verify_key)
OTHER = bytes(SigningKey(b"\x02" * 32).verify_key)
SIG = signing.sign(SIGNING_KEY, "tag", b"body")


def flipped(data, bit):
    return bytes(byte ^ (1 << bit % 8 if place == bit // 8 else 0) for place, byte in enumerate(data))


def test_a_signature_verifies():
    signing.verify(IDENTITY, "tag", b"body", SIG)
    assert len(SIG) == 64


@pytest.mark.parametrize(
    ("identity", "tag", "body", "sig"),
    [
        (OTHER, "tag", b"body", SIG),
        (IDENTITY, "tags", b"body", SIG),
        (IDENTITY, "ta", b"gbody", SIG),
        (IDENTITY, "tag", b"body2", SIG),
        (IDENTITY, "tag", b"", SIG),
        (IDENTITY, "tag", b"body", SIG[:-1]),
        (IDENTITY, "tag", b"body", b""),
        (IDENTITY, "tag", b"body", SIG + b"\0"),
        (IDENTITY[:-1], "tag", b"body", SIG),
        (bytes(32), "tag", b"body", bytes(64)),  # a point of small order, for which anybody could sign
    ],
)
def test_anything_else_does_not(identity, tag, body, sig):
    with pytest.raises(SecurityError, match="does not verify"):
        signing.verify(identity, tag, body, sig)


@pytest.mark.parametrize("bit", range(0, 512, 17))
def test_no_bit_of_it_may_flip(bit):
    with pytest.raises(SecurityError, match="does not verify"):
        signing.verify(IDENTITY, "tag", b"body", flipped(SIG, bit))


def test_parts_of_a_hash_do_not_run_together():
    hashes = {
        signing.tagged_hash("t", b"ab", b"c"),
        signing.tagged_hash("t", b"a", b"bc"),
        signing.tagged_hash("t", b"abc"),
        signing.tagged_hash("ta", b"bc"),
        signing.tagged_hash("t", b"abc", b""),
    }
    assert len(hashes) == 5
    assert {len(digest) for digest in hashes} == {32}


def test_a_fingerprint_is_four_pairs_of_syllables():
    prints = {signing.fingerprint(bytes([n]) * 32) for n in range(64)}
    assert len(prints) == 64
    for text in prints:
        assert re.fullmatch(r"([bdfghjklmnprstvz][aiou]){2}(-([bdfghjklmnprstvz][aiou]){2}){3}", text)
    assert signing.fingerprint(bytes(32)) == "nagi-jalu-zohu-huba"  # ours: people have written these down
