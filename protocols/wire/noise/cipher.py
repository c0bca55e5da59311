"""CipherState (Noise, section 5.1) over ChaChaPoly and AESGCM (section 12)."""

from __future__ import annotations

from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from hansa.protocols.errors import ProtocolError, SecurityError
from hansa.protocols.wire.limits import NOISE_MAX_NONCE, NOISE_TAG

Bytes = bytes | bytearray | memoryview


class Aead(Protocol):
    """An AEAD under one key; ``n`` is the 64-bit nonce of Noise."""

    def encrypt_into(self, n: int, ad: bytes, plaintext: Bytes, out: memoryview) -> None:
        """Write ciphertext and tag into ``out``, 16 bytes longer than the plaintext."""
        ...

    def decrypt_into(self, n: int, ad: bytes, ciphertext: Bytes, out: memoryview) -> None:
        """Write the plaintext into ``out``; raises ``InvalidTag`` or ``CryptoError`` on a bad tag."""
        ...


class AesGcm:
    """AES-256-GCM; the nonce is four zero bytes and n in big endian (Noise, section 12.4)."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def encrypt_into(self, n: int, ad: bytes, plaintext: Bytes, out: memoryview) -> None:
        """See ``Aead``."""
        self._aead.encrypt_into(n.to_bytes(12, "big"), plaintext, ad, out)

    def decrypt_into(self, n: int, ad: bytes, ciphertext: Bytes, out: memoryview) -> None:
        """See ``Aead``."""
        self._aead.decrypt_into(n.to_bytes(12, "big"), ciphertext, ad, out)


class ChaChaPoly:
    """ChaCha20-Poly1305; the nonce is four zero bytes and n in little endian (Noise, section 12.3)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encrypt_into(self, n: int, ad: bytes, plaintext: Bytes, out: memoryview) -> None:
        """See ``Aead``."""
        nonce = b"\x00\x00\x00\x00" + n.to_bytes(8, "little")
        out[:] = crypto_aead_chacha20poly1305_ietf_encrypt(bytes(plaintext), ad, nonce, self._key)

    def decrypt_into(self, n: int, ad: bytes, ciphertext: Bytes, out: memoryview) -> None:
        """See ``Aead``."""
        nonce = b"\x00\x00\x00\x00" + n.to_bytes(8, "little")
        out[:] = crypto_aead_chacha20poly1305_ietf_decrypt(bytes(ciphertext), ad, nonce, self._key)


AEADS: dict[str, type[AesGcm] | type[ChaChaPoly]] = {"AESGCM": AesGcm, "ChaChaPoly": ChaChaPoly}


class CipherState:
    """A key ``k`` and a nonce ``n`` that never repeats; without a key, data passes in clear.

    A failed decryption leaves ``n`` as it was (Noise, section 5.1).
    """

    def __init__(self, cipher: str, k: bytes | None = None) -> None:
        self._cipher = cipher
        self.n = 0
        self._aead: Aead | None = None
        if k is not None:
            self.initialize_key(k)

    def initialize_key(self, k: bytes) -> None:
        """InitializeKey: use the 32-byte key ``k`` from nonce 0."""
        self._aead = AEADS[self._cipher](k)
        self.n = 0

    @property
    def overhead(self) -> int:
        """Bytes that encryption adds: 16 with a key, 0 without."""
        return NOISE_TAG if self._aead is not None else 0

    def encrypt_with_ad(self, ad: bytes, plaintext: Bytes) -> bytes:
        """EncryptWithAd: ciphertext with its tag."""
        out = bytearray(len(plaintext) + self.overhead)
        self.encrypt_into(plaintext, memoryview(out), ad)
        return bytes(out)

    def decrypt_with_ad(self, ad: bytes, ciphertext: Bytes) -> bytes:
        """DecryptWithAd; raises ``SecurityError`` when the tag does not verify."""
        if len(ciphertext) < self.overhead:
            raise SecurityError("a Noise message is shorter than its tag", remedy="reconnect to the peer")
        out = bytearray(len(ciphertext) - self.overhead)
        self.decrypt_into(ciphertext, memoryview(out), ad)
        return bytes(out)

    def encrypt_into(self, plaintext: Bytes, out: memoryview, ad: bytes = b"") -> None:
        """EncryptWithAd without a copy: ``out`` is ``overhead`` bytes longer than the plaintext."""
        if self._aead is None:
            out[:] = plaintext
            return
        self._refuse_spent_nonce()
        self._aead.encrypt_into(self.n, ad, plaintext, out)
        self.n += 1

    def decrypt_into(self, ciphertext: Bytes, out: memoryview, ad: bytes = b"") -> None:
        """DecryptWithAd without a copy; raises ``SecurityError`` when the tag does not verify."""
        if self._aead is None:
            out[:] = ciphertext
            return
        self._refuse_spent_nonce()
        try:
            self._aead.decrypt_into(self.n, ad, ciphertext, out)
        except (InvalidTag, CryptoError) as error:
            raise SecurityError(
                "a message from the peer does not decrypt: altered, replayed, out of order or under another key",
                remedy="check the pinned keys with `hansa doctor`, then reconnect",
            ) from error
        self.n += 1

    def rekey(self) -> None:
        """Rekey: k = first 32 bytes of ENCRYPT(k, 2^64-1, "", zeros); the nonce runs on (Noise, section 4.2)."""
        if self._aead is None:
            raise ProtocolError("rekey before there is a key", remedy="report this as a bug")
        fresh = bytearray(32 + NOISE_TAG)
        self._aead.encrypt_into(NOISE_MAX_NONCE, b"", bytes(32), memoryview(fresh))
        self._aead = AEADS[self._cipher](bytes(fresh[:32]))

    def _refuse_spent_nonce(self) -> None:
        if self.n >= NOISE_MAX_NONCE:
            raise ProtocolError("a cipher state has used up its nonces", remedy="reconnect to the peer")
