"""Keys and ciphertexts between two parties: one owns the key, the other computes and answers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.rlwe.params import Params
from hansa.protocols.mpc.rlwe.scheme import SEED_BYTES, Constants, KeyOwner, PublicKey, expand
from hansa.protocols.mpc.session import Session

Words = NDArray[np.uint64]
Small = NDArray[np.uint32]
_REMEDY: Final = "check that all parties run the same version of hansa (`hansa --version`)"


def fresh_seed() -> bytes:
    """A seed for one ciphertext's uniform component: public, but never used twice under one key."""
    return os.urandom(SEED_BYTES)


async def send_key(session: Session, peer: int, params: Params) -> KeyOwner:
    """Make a key and send its public half. Bytes sent: 32 + 4·n·primes. Messages: 2."""
    owner = KeyOwner(params)
    seed = fresh_seed()
    await send_ciphertexts(session, peer, [owner.public_key(seed)], [seed])
    return owner


async def recv_key(session: Session, peer: int, params: Params) -> PublicKey:
    """The public half of a peer's key. Raises ``PeerMisbehaved`` for one that is none."""
    (zero,) = await recv_ciphertexts(session, peer, params, 1)
    return PublicKey(Constants(params), zero.astype(np.uint64))


async def send_ciphertexts(session: Session, peer: int, firsts: Sequence[Words], seeds: Sequence[bytes]) -> None:
    """Send fresh ciphertexts: a seed and a first component each. Bytes sent: (32 + 4·n·primes) each. Messages: 2."""
    await session.send(peer, np.frombuffer(b"".join(seeds), dtype=np.uint8))
    await session.send(peer, np.stack(firsts).astype(np.uint32))


async def recv_ciphertexts(session: Session, peer: int, params: Params, count: int) -> Small:
    """A peer's fresh ciphertexts, (count, 2, primes, n). Raises ``PeerMisbehaved`` for residues out of range."""
    seeds = (await session.recv(peer, np.uint8, count * SEED_BYTES)).tobytes()
    firsts = await session.recv(peer, np.uint32, (count, len(params.primes), params.n))
    check_residues(session, peer, firsts, params.primes)
    out = np.empty((count, 2, len(params.primes), params.n), dtype=np.uint32)
    out[:, 0] = firsts
    for k in range(count):
        out[k, 1] = expand(params, seeds[k * SEED_BYTES : (k + 1) * SEED_BYTES])
    return out


async def send_answer(session: Session, peer: int, first: Small, second: Small) -> None:
    """Send an answer. Bytes sent: 4·kept·(places + n). Messages: 1."""
    await session.send(peer, first, second)


async def recv_answer(session: Session, peer: int, params: Params, places: int) -> tuple[Small, Small]:
    """An answer of ``places`` coefficients. Raises ``PeerMisbehaved`` for residues out of range."""
    flat = await session.recv(peer, np.uint32, params.kept * (places + params.n))
    first = flat[: params.kept * places].reshape(params.kept, places)
    second = flat[params.kept * places :].reshape(params.kept, params.n)
    for part in (first, second):
        check_residues(session, peer, part, params.primes[: params.kept])
    return first, second


def check_residues(session: Session, peer: int, x: Small, primes: Sequence[int]) -> None:
    """Raise ``PeerMisbehaved`` unless row i (of the last but one axis) is below prime i."""
    limits = np.array(primes, dtype=np.uint32)
    if x.size and not bool(np.all(x.max(axis=-1) < limits)):
        raise PeerMisbehaved(
            f"party {session.job_ranks[peer]} sent a ciphertext out of range, step {session.current_step}",
            remedy=_REMEDY,
            peer=session.job_ranks[peer],
            step=session.current_step,
        )
