"""Hash functions and the key derivation of Noise (sections 4.3 and 12)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HashFunction:
    """A hash with its HMAC and HKDF; ``length`` is HASHLEN in bytes."""

    algorithm: str
    length: int

    def hash(self, data: bytes) -> bytes:
        """HASH(data)."""
        return hashlib.new(self.algorithm, data).digest()

    def hmac(self, key: bytes, data: bytes) -> bytes:
        """HMAC-HASH(key, data) (RFC 2104)."""
        return hmac.digest(key, data, self.algorithm)

    def hkdf(self, chaining_key: bytes, material: bytes, outputs: int) -> tuple[bytes, ...]:
        """HKDF(chaining_key, input_key_material, num_outputs), each output HASHLEN bytes (RFC 5869)."""
        secret = self.hmac(chaining_key, material)
        out: list[bytes] = []
        previous = b""
        for counter in range(1, outputs + 1):
            previous = self.hmac(secret, previous + bytes([counter]))
            out.append(previous)
        return tuple(out)


HASHES = {
    "SHA256": HashFunction("sha256", 32),
    "SHA512": HashFunction("sha512", 64),
    "BLAKE2s": HashFunction("blake2s", 32),
    "BLAKE2b": HashFunction("blake2b", 64),
}
