"""The tweakable hash that breaks the correlation of extended OTs: MMO of a fixed-key permutation.

H(x, i) = pi(sigma(x) ^ i) ^ sigma(x) ^ i with pi = AES-128 under a key fixed for a session and a direction, sigma the
linear orthomorphism (l, r) -> (l ^ r, l). Source: Guo, Katz, Wang, Yu, "Efficient and secure multiparty computation from
fixed-key block ciphers" (IEEE S&P 2020), with the tweak in the permutation's input; docs/protocols.md says why that is
enough for oblivious transfer among parties that follow the protocol.
sigma and the tweak are applied where planes become rows (``kernels.ot.hash_inputs``), the last XOR where pads are taken.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from hansa.protocols.arrays import Ring


def session_key(context: bytes, purpose: bytes) -> bytes:
    """The public key of pi for one job, attempt, direction and use: so no two uses share a permutation."""
    return blake2b(
        len(context).to_bytes(8, "little") + context + purpose, digest_size=16, person=b"hansa-ot-hash"
    ).digest()


class Permutation:
    """AES-128 under a public key, on rows of two words, into a buffer that is used again by the next call."""

    def __init__(self, key: bytes, rows: int) -> None:
        self._cipher = Cipher(AES(key), ECB()).encryptor()  # noqa: S305  a permutation, not a mode of encryption
        self._out = np.empty(2 * rows + 2, dtype=np.uint64)  # the cipher wants a block of slack behind its output

    def __call__(self, rows: Ring) -> Ring:
        """pi of each row: an array of the same shape (any leading axes), valid until the next call."""
        self._cipher.update_into(rows.data.cast("B"), self._out.data.cast("B"))
        return self._out[: rows.size].reshape(rows.shape)
