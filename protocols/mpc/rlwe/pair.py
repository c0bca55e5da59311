"""Keys and ciphertexts between two parties: the owner has the secret key, the evaluator computes and returns."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import trio

from hansa.protocols.arrays import Words
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.rlwe.params import RlweParams
from hansa.protocols.mpc.rlwe.residues import Basis, basis
from hansa.protocols.mpc.rlwe.sampling import SEED_BYTES, fresh_coins
from hansa.protocols.mpc.rlwe.scheme import BgvScheme, PublicKey, ReturnedCiphertext, SecretKey, scheme
from hansa.protocols.mpc.session.session import Session

SEED_WORDS: Final = SEED_BYTES // 4
_REMEDY: Final = "check that all parties run the same version of hansa (`hansa --version`)"


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A secret key of this party, with the randomness for what it encrypts."""

    scheme: BgvScheme
    secret: SecretKey = field(repr=False)
    coins: Keystream = field(repr=False)


@dataclass(frozen=True, slots=True)
class PeerKey:
    """A peer's public key, with the randomness for what is returned to the peer."""

    scheme: BgvScheme
    public: PublicKey
    coins: Keystream = field(repr=False)


def fresh_seed() -> Words:
    """A seed for the uniform components of one message: public, and never used twice."""
    return np.frombuffer(secrets.token_bytes(SEED_BYTES), dtype=np.uint32)


async def send_key(session: Session, peer: int, params: RlweParams) -> OwnKey:
    """Make a key and send its public half. Messages: 1. Bytes sent: 32 + 4·degree·primes."""
    s, seed, coins = scheme(params), fresh_seed(), fresh_coins()
    secret = s.keygen(coins)
    await session.send(peer, seed, s.public_parts(secret, seed.tobytes(), 0, coins).ravel())
    return OwnKey(s, secret, coins)


async def recv_key(session: Session, peer: int, params: RlweParams) -> PeerKey:
    """The public half of a peer's key. Raises ``PeerMisbehaved`` for residues out of range, and the session's errors."""
    s = scheme(params)
    seed, parts = await recv_fresh(session, peer, s, 1)
    return PeerKey(s, s.public_key(parts[0], seed, 0), fresh_coins())


async def recv_fresh(session: Session, peer: int, s: BgvScheme, count: int) -> tuple[bytes, Words]:
    """A message of a seed and the first components (count, primes, degree) of fresh encryptions under it.

    Raises ``PeerMisbehaved`` for residues out of range, and the session's errors.
    """
    shape = (count, len(s.params.primes), s.params.degree)
    flat = await session.recv(peer, np.uint32, SEED_WORDS + int(np.prod(shape)))
    parts = flat[SEED_WORDS:].reshape(shape)
    await trio.to_thread.run_sync(check_residues, session, peer, s.basis, parts)
    return flat[:SEED_WORDS].tobytes(), parts


async def recv_returned(
    session: Session, peer: int, many: Sequence[tuple[BgvScheme, int]]
) -> list[tuple[Words, Words]]:
    """A message of returned ciphertexts (c0, c1); ``many``: scheme and number of results of each. Raises as ``recv_fresh``."""
    sizes = [(s.params.kept, results, s.params.degree) for s, results in many]
    flat = await session.recv(peer, np.uint32, sum(kept * (results + degree) for kept, results, degree in sizes))
    out, at = [], 0
    for (s, _), (kept, results, degree) in zip(many, sizes, strict=True):
        middle, end = at + kept * results, at + kept * (results + degree)
        c0, c1 = flat[at:middle].reshape(kept, results), flat[middle:end].reshape(kept, degree)
        for part in (c0, c1):
            check_residues(session, peer, basis(s.params.primes[:kept]), part[None])
        out.append((c0, c1))
        at = end
    return out


async def send_returned(session: Session, peer: int, many: Sequence[ReturnedCiphertext]) -> None:
    """Send returned ciphertexts. Messages: 1. Bytes sent: 4·kept·(results + degree) each."""
    await session.send(peer, *(part.ravel() for one in many for part in (one.c0, one.c1)))


def check_residues(session: Session, peer: int, primes: Basis, polys: Words) -> None:
    """Raise ``PeerMisbehaved`` unless all polynomials, (count, primes, n), are residues."""
    if not all(primes.holds_untrusted(poly) for poly in polys):
        rank = session.job_ranks[peer]
        raise PeerMisbehaved(
            f"party {rank} sent a ciphertext out of range, step {session.current_step}",
            remedy=_REMEDY,
            peer=rank,
            step=session.current_step,
        )
