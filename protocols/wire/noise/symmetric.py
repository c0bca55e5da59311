"""SymmetricState (Noise, section 5.2): the chaining key ``ck``, the transcript hash ``h`` and a CipherState."""

from __future__ import annotations

from hansa.protocols.wire.noise.cipher import Bytes, CipherState
from hansa.protocols.wire.noise.hashing import HASHES


class SymmetricState:
    """Mixes keys and transcript; every ciphertext authenticates all that came before it."""

    def __init__(self, protocol_name: str, cipher: str, hash_name: str) -> None:
        """InitializeSymmetric."""
        self._hash = HASHES[hash_name]
        self._cipher = cipher
        name = protocol_name.encode("ascii")
        self.h = name.ljust(self._hash.length, b"\x00") if len(name) <= self._hash.length else self._hash.hash(name)
        self.ck = self.h
        self.cipher_state = CipherState(cipher)

    def mix_key(self, input_key_material: bytes) -> None:
        """MixKey."""
        self.ck, temp_k = self._hash.hkdf(self.ck, input_key_material, 2)
        self.cipher_state.initialize_key(temp_k[:32])

    def mix_hash(self, data: bytes) -> None:
        """MixHash."""
        self.h = self._hash.hash(self.h + data)

    def mix_key_and_hash(self, input_key_material: bytes) -> None:
        """MixKeyAndHash, for pre-shared keys."""
        self.ck, temp_h, temp_k = self._hash.hkdf(self.ck, input_key_material, 3)
        self.mix_hash(temp_h)
        self.cipher_state.initialize_key(temp_k[:32])

    def encrypt_and_hash(self, plaintext: Bytes) -> bytes:
        """EncryptAndHash."""
        ciphertext = self.cipher_state.encrypt_with_ad(self.h, plaintext)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        """DecryptAndHash; raises ``SecurityError``."""
        plaintext = self.cipher_state.decrypt_with_ad(self.h, ciphertext)
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[CipherState, CipherState]:
        """Split: the cipher states initiator to responder, and back."""
        k1, k2 = self._hash.hkdf(self.ck, b"", 2)
        return CipherState(self._cipher, k1[:32]), CipherState(self._cipher, k2[:32])
