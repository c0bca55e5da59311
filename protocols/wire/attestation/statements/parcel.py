"""Data encrypted for an attested enclave, with the release policy under which it may be opened.

    4 bytes length | signed policy | sealed key (80) | nonce (24) | data, XChaCha20-Poly1305 | tag

Every parcel has a fresh data key. The key is sealed (libsodium's sealed box: X25519, XSalsa20-Poly1305) for the public key that
the enclave's evidence is bound to. The associated data is a hash of the signed policy, so the data opens under no other policy.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_box_seal,
    crypto_box_seal_open,
    crypto_scalarmult_base,
)
from nacl.exceptions import CryptoError

from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.wire import limits
from hansa.protocols.wire.attestation.statements.release_policy import ReleasePolicy
from hansa.protocols.wire.signing import tagged_hash

KEY_BYTES = 32
_SEALED_KEY = 48 + KEY_BYTES
_NONCE = 24


def close(signed_policy: bytes, public_key: bytes, data: bytes) -> bytes:
    """Encrypt for whoever has the secret of ``public_key`` (X25519, 32 bytes), under a signed release policy."""
    key, nonce = os.urandom(KEY_BYTES), os.urandom(_NONCE)
    body: bytes = crypto_aead_xchacha20poly1305_ietf_encrypt(data, _bound(signed_policy), nonce, key)
    return len(signed_policy).to_bytes(4, "big") + signed_policy + crypto_box_seal(key, public_key) + nonce + body


def open_untrusted(parcel: bytes | memoryview, secret_key: bytes, check: Callable[[ReleasePolicy], None]) -> bytes:
    """The data of a parcel. ``check`` judges the policy first; if it raises, the data key stays sealed.

    Raises what ``check`` does, ``SecurityError`` for a forged policy, ``PeerMisbehaved`` for what does not open.
    """
    size = int.from_bytes(parcel[:4], "big")
    if size > limits.RELEASE_POLICY_MAX_BYTES or len(parcel) < 4 + size + _SEALED_KEY + _NONCE:
        raise _not_one()
    signed_policy = bytes(parcel[4 : 4 + size])
    check(ReleasePolicy.verified_untrusted(signed_policy))
    at = 4 + size
    sealed, nonce = bytes(parcel[at : at + _SEALED_KEY]), bytes(parcel[at + _SEALED_KEY : at + _SEALED_KEY + _NONCE])
    try:
        key = crypto_box_seal_open(sealed, crypto_scalarmult_base(secret_key), secret_key)
        if len(key) != KEY_BYTES:
            raise _not_one()
        body = bytes(parcel[at + _SEALED_KEY + _NONCE :])
        data: bytes = crypto_aead_xchacha20poly1305_ietf_decrypt(body, _bound(signed_policy), nonce, key)
    except (CryptoError, ValueError) as error:
        raise _not_one() from error
    return data


def _bound(signed_policy: bytes) -> bytes:
    return tagged_hash("hansa-parcel", signed_policy)


def _not_one() -> PeerMisbehaved:
    return PeerMisbehaved(
        "a parcel does not open: it was changed, or sealed for another enclave",
        remedy="submit the job anew; check that all members run the same version of hansa",
    )
