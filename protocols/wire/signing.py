"""Ed25519 signatures with domain separation, and names that people can read aloud for keys.

What is signed is a hash of (tag, body) with the tag's length in front, so that no signature made for one purpose
verifies for another.
"""

from __future__ import annotations

import hashlib

from nacl.exceptions import BadSignatureError, CryptoError
from nacl.signing import SigningKey, VerifyKey

from hansa.protocols.errors import SecurityError

_CONSONANTS = "bdfghjklmnprstvz"
_VOWELS = "aiou"


def tagged_hash(tag: str, *parts: bytes) -> bytes:
    """BLAKE2b-256 of the tag and the parts, each behind its length."""
    h = hashlib.blake2b(digest_size=32)
    for part in (tag.encode("ascii"), *parts):
        h.update(len(part).to_bytes(8, "big"))
        h.update(part)
    return h.digest()


def sign(signing_key: bytes, tag: str, body: bytes) -> bytes:
    """The 64-byte signature of ``body`` for the purpose ``tag`` under the 32-byte Ed25519 private key ``signing_key``."""
    return bytes(SigningKey(signing_key).sign(tagged_hash("hansa-signed:" + tag, body)).signature)


def verify(identity: bytes, tag: str, body: bytes, signature: bytes) -> None:
    """Raise ``SecurityError`` unless ``identity`` signed ``body`` for the purpose ``tag``."""
    try:
        VerifyKey(identity).verify(tagged_hash("hansa-signed:" + tag, body), signature)
    except (BadSignatureError, CryptoError, ValueError, TypeError) as error:
        raise SecurityError(
            f"a signature ({tag}) by {fingerprint(identity)} does not verify",
            remedy="compare the fingerprint with its owner's `hansa status`; if it is the same, tell them",
            tag=tag,
        ) from error


def fingerprint(identity: bytes) -> str:
    """A node's short id: 48 bits of BLAKE2b as four pairs of syllables ("tuvo-kami-resu-labi")."""
    bits = int.from_bytes(tagged_hash("hansa-fingerprint", identity)[:6], "big")
    syllables = []
    for _ in range(8):
        syllables.append(_CONSONANTS[bits & 15] + _VOWELS[bits >> 4 & 3])
        bits >>= 6
    return "-".join(a + b for a, b in zip(syllables[::2], syllables[1::2], strict=True))
