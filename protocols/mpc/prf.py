"""Keystreams: AES-128 in counter mode, shared by two parties that hold the same key.

Both draw the same amounts in the same order, so that no message is needed to agree on a mask.
"""

from __future__ import annotations

import math
from hashlib import blake2b

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

_BLOCK = 1 << 20
_ZEROS = memoryview(bytes(_BLOCK))


class Keystream:
    """An endless stream of pseudo-random words under a 32-byte secret, bound to a context (job id and attempt).

    ``at``: the word it begins with, for those who need only a part of it.
    """

    def __init__(self, secret: bytes, context: bytes, at: int = 0) -> None:
        key = blake2b(context, key=secret, digest_size=16, person=b"hansa-keystream").digest()
        self._encryptor = Cipher(AES(key), CTR((at // 2).to_bytes(16, "big"))).encryptor()
        if at % 2:  # a cipher block is two words
            self.words(1)

    def words(self, *shape: int) -> NDArray[np.uint64]:
        """The next uniform words of the ring, as an array of this shape."""
        size = math.prod(shape)
        raw = np.empty(size + 2, dtype=np.uint64)  # the cipher wants a block of slack behind its output
        out = raw.data.cast("B")
        at, end = 0, 8 * size
        while at < end:
            step = min(_BLOCK, end - at)
            self._encryptor.update_into(_ZEROS[:step], out[at:])
            at += step
        return raw[:size].reshape(shape)
