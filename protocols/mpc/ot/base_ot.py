"""Base oblivious transfers from the discrete logarithm: Chou and Orlandi, LATINCRYPT 2015, in Ed25519's prime-order group.

    sender                                   receiver (choices c_i)
    a random, A = aG           --A-->        b_i random, R_i = b_i G + c_i A
    k0_i = H(i, A, R_i, aR_i)  <--R--        k_i = H(i, A, R_i, b_i A)
    k1_i = H(i, A, R_i, a(R_i - A))

R_i is uniform whatever c_i is, so it hides the choice from anybody. The other key is the hash of a(R_i - A) or aR_i, which
differs from b_i A by a²G: to find it is to solve the (square) Diffie-Hellman problem. So both sides are secure against
semi-honest parties, H being a random oracle. The hash covers i, A and R_i, so that keys of different OTs and runs are
independent. Every point received must be of the prime-order group. (Against malicious parties the protocol is not simulatable
without further proofs; nothing here relies on that.)
"""

from __future__ import annotations

import secrets
from hashlib import blake2b

import numpy as np
import trio
from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_is_valid_point,
    crypto_core_ed25519_scalar_reduce,
    crypto_core_ed25519_sub,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)
from nacl.exceptions import RuntimeError as SodiumRefused
from numpy.typing import NDArray

from hansa.protocols.arrays import Bytes
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.session.session import Session

POINT = 32
KEY = 16


async def send_base_ots(s: Session, peer: int, n: int) -> Bytes:
    """Both random 16-byte keys of each of ``n`` OTs, (n, 2, 16) uint8; the peer learns one of each.

    Rounds: 2. Bytes sent: 32. Raises ``PeerMisbehaved`` for a point outside the group.
    """
    secret = _scalar()
    public = crypto_scalarmult_ed25519_base_noclamp(secret)
    await s.send(peer, _array(public))
    points = (await s.recv(peer, np.uint8, (n, POINT))).tobytes()
    return await trio.to_thread.run_sync(_sender_keys, s, peer, secret, public, points)


async def receive_base_ots(s: Session, peer: int, choices: NDArray[np.bool_]) -> Bytes:
    """The key that each choice bit selects, (n, 16) uint8. Rounds: 2. Bytes sent: 32·n. Raises as ``send_base_ots``."""
    public = (await s.recv(peer, np.uint8, POINT)).tobytes()
    _check(s, peer, public)
    points, keys = await trio.to_thread.run_sync(_receiver_keys, public, choices)
    await s.send(peer, _array(points))
    return keys


def _sender_keys(s: Session, peer: int, secret: bytes, public: bytes, points: bytes) -> Bytes:
    keys = bytearray()
    shift = crypto_scalarmult_ed25519_noclamp(secret, public)
    for index in range(len(points) // POINT):
        point = points[index * POINT : (index + 1) * POINT]
        _check(s, peer, point)
        try:
            zero = crypto_scalarmult_ed25519_noclamp(secret, point)
        except SodiumRefused:
            raise _misbehaved(s, peer) from None
        keys += _key(index, public, point, zero) + _key(index, public, point, crypto_core_ed25519_sub(zero, shift))
    return _array(bytes(keys)).reshape(-1, 2, KEY)


def _receiver_keys(public: bytes, choices: NDArray[np.bool_]) -> tuple[bytes, Bytes]:
    points, keys = bytearray(), bytearray()
    for index, choice in enumerate(choices.tolist()):
        secret = _scalar()
        plain = crypto_scalarmult_ed25519_base_noclamp(secret)
        point = (plain, crypto_core_ed25519_add(plain, public))[choice]
        points += point
        keys += _key(index, public, point, crypto_scalarmult_ed25519_noclamp(secret, public))
    return bytes(points), _array(bytes(keys)).reshape(-1, KEY)


def _key(index: int, public: bytes, point: bytes, shared: bytes) -> bytes:
    data = index.to_bytes(8, "little") + public + point + shared
    return blake2b(data, digest_size=KEY, person=b"hansa-base-ot").digest()


def _scalar() -> bytes:
    return crypto_core_ed25519_scalar_reduce(secrets.token_bytes(64))


def _array(data: bytes) -> Bytes:
    return np.frombuffer(bytearray(data), dtype=np.uint8)


def _check(s: Session, peer: int, point: bytes) -> None:
    if not crypto_core_ed25519_is_valid_point(point):
        raise _misbehaved(s, peer)


def _misbehaved(s: Session, peer: int) -> PeerMisbehaved:
    return PeerMisbehaved(
        f"party {s.job_ranks[peer]} sent a point outside the group of the base oblivious transfers, step {s.current_step}",
        remedy="check that all parties run the same version of hansa (`hansa --version`)",
        peer=s.job_ranks[peer],
        step=s.current_step,
    )
