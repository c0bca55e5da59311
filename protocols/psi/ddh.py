"""Private set intersection of N parties by commuting exponentiation in Ed25519's prime-order group.

Two stages, so that nobody learns which of its rows are in a merely pairwise intersection (docs/protocols.md, PSI):

1. Party i draws a secret scalar k_i. It sends its set as shuffled H(x)^k_i round the ring i, i+1, ..., i-1; each hop
   checks, exponentiates and shuffles. The last hop sends the fully blinded set to all parties. T is the intersection of
   the blinded sets.
2. For each party i, T goes through all other parties, who each remove their exponent and shuffle, and ends at i, who
   finds these H(x)^k_i among those of stage 1. So i learns which of its rows are in the intersection, and nothing else.

The rows are then ordered by a keyed hash of x, which is the same at all parties.

All parties learn the size of each set, and of every group of parties how many rows they have in common; each party learns
which of its own rows are in the intersection. Semi-honest, under DDH and a random oracle. Parties that pool their views
learn no more than that of the other parties' sets (docs/protocols.md argues it).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b

import numpy as np
import trio
from nacl import exceptions
from nacl.bindings import (
    crypto_core_ed25519_from_uniform,
    crypto_core_ed25519_scalar_invert,
    crypto_core_ed25519_scalar_reduce,
    crypto_scalarmult_ed25519_noclamp,
)
from numpy.typing import NDArray

from hansa.protocols.errors import PeerMisbehaved, ProtocolError
from hansa.protocols.mpc.concurrency import gather
from hansa.protocols.mpc.session.session import Session

POINT = 32
CHUNK = 2048
"""Points in a message: about 0.2 s of work, during which the next chunk arrives."""
PLACE_BYTES = 16
MAX_SET = 1_000_000_000

Progress = Callable[[int], None]


async def intersect(
    s: Session, keys: Sequence[bytes], *, seed: bytes, max_rows: int, progress: Progress = lambda done: None
) -> NDArray[np.int64]:
    """Indices into ``keys`` (distinct) of the rows that every party has, in one order common to all parties.

    ``seed`` (public, 16 bytes) determines the order; ``max_rows`` bounds a peer's set; ``progress`` is called with the number
    of points exponentiated so far, out of ``work(...)``.

    Rounds: 3·n_parties - 1 as counted over the concurrent forks (2·n_parties one after another), sets in chunks. Bytes sent
    per party: 32·(sum of all sets' sizes + (n_parties - 2)·size of the next party's set + (n_parties - 1)·common).
    Raises ``PeerMisbehaved`` for bytes that are no element of the group, and for a wrong count.
    """
    if len(set(keys)) != len(keys):
        raise ProtocolError("a key stands twice in a set to intersect", remedy="check for double keys when reading")
    done = 0

    def count(points: int) -> None:
        nonlocal done
        done += points
        progress(done)

    secret = _scalar()
    sizes = await _tell_sizes(s, len(keys), max_rows)
    own = await _in_chunks(_blind, keys, secret, count)
    blinded = await _blind_all(s, own, secret, sizes, count)
    common = sorted(set.intersection(*(set(points) for points in blinded)))
    await s.check_public("intersection", len(common), b"".join(common))
    mine = await _unblind_all(s, common, secret, count)
    index = {point: i for i, point in enumerate(own)}
    found = {index.get(point, -1) for point in mine}
    if -1 in found or len(found) != len(common):
        raise _misbehaved((s.rank - 1) % s.n_parties, "an intersection that is not of this party's rows")
    rows = np.array(sorted(found), dtype=np.int64)
    return rows[in_common_order([keys[row] for row in rows], seed)]


def places_in_order(keys: Iterable[bytes], seed: bytes) -> list[bytes]:
    """A sort key for each key: its hash under the public seed."""
    start = blake2b(key=seed, digest_size=PLACE_BYTES, person=b"hansa-psi-order")
    places = []
    for key in keys:
        state = start.copy()
        state.update(key)
        places.append(state.digest())
    return places


def in_common_order(keys: Sequence[bytes], seed: bytes) -> NDArray[np.int64]:
    """Indices that sort distinct keys by ``places_in_order``, which is the order of ``intersect``."""
    digests = places_in_order(keys, seed)
    return np.array(sorted(range(len(keys)), key=digests.__getitem__), dtype=np.int64)


def work(own: int, n_parties: int) -> int:
    """About how many points one party exponentiates, if all sets are as large as its own and all rows common."""
    return (2 * n_parties - 1) * own


async def _tell_sizes(s: Session, size: int, max_rows: int) -> list[int]:
    mine = np.array([size], dtype=np.uint64)
    got = await s.exchange({peer: [mine] for peer in s.peers}, {peer: [1] for peer in s.peers})
    sizes = [size if rank == s.rank else int(got[rank][0][0]) for rank in range(s.n_parties)]
    for rank, announced in enumerate(sizes):
        if announced > min(max_rows, MAX_SET):
            raise _misbehaved(rank, f"a set of {announced} rows where the contract allows {max_rows}")
    return sizes


async def _blind_all(
    s: Session, own: list[bytes], secret: bytes, sizes: list[int], count: Progress
) -> list[list[bytes]]:
    """Stage 1: every party's set, blinded by all parties; ``own`` is this party's set, blinded by itself."""
    n = s.n_parties
    final: list[list[bytes]] = [[] for _ in range(n)]
    forks = [s.fork(f"set-{owner}") for owner in range(n)]

    async def relay(owner: int) -> None:
        fork = forks[owner]
        place, last = (s.rank - owner) % n, (owner - 1) % n
        if place == 0:
            points = list(own)
        else:
            points = await _receive(fork, (s.rank - 1) % n, sizes[owner], secret, count)
        await trio.to_thread.run_sync(_shuffle, points)
        if s.rank != last:
            await _send(fork, ((s.rank + 1) % n), points)
            final[owner] = await _receive(fork, last, sizes[owner], None, count)
            if len(set(final[owner])) != sizes[owner]:
                raise _misbehaved(last, "a set that holds a row twice")
            return
        await gather(*(_send(fork, peer, points) for peer in s.peers))
        final[owner] = points

    await gather(*map(relay, range(n)))
    return final


async def _unblind_all(s: Session, common: list[bytes], secret: bytes, count: Progress) -> list[bytes]:
    """Stage 2: for each owner a chain through all others. Returns this party's own: H(x)^k of its rows in the intersection."""
    n = s.n_parties
    inverse = crypto_core_ed25519_scalar_invert(secret)
    mine: list[bytes] = []
    forks = [s.fork(f"chain-{owner}") for owner in range(n)]

    async def relay(owner: int) -> None:
        fork = forks[owner]
        before, place = (s.rank - 1) % n, (s.rank - owner - 1) % n  # the chain begins at owner + 1, ends at the owner
        if s.rank == owner:
            mine.extend(await _receive(fork, before, len(common), None, count))
            return
        if place == 0:
            points = await _in_chunks(_exponentiate, common, inverse, count)
        else:
            points = await _receive(fork, before, len(common), inverse, count)
        await trio.to_thread.run_sync(_shuffle, points)
        await _send(fork, (s.rank + 1) % n, points)

    await gather(*map(relay, range(n)))
    return mine


async def _send(s: Session, to: int, points: list[bytes]) -> None:
    for at in range(0, len(points), CHUNK):
        await s.send_bytes(to, b"".join(points[at : at + CHUNK]))


async def _receive(s: Session, frm: int, size: int, scalar: bytes | None, count: Progress) -> list[bytes]:
    """A set of ``size`` points. If there is a ``scalar``, each chunk is checked and exponentiated while the next one arrives."""
    points: list[bytes] = []
    for at in range(0, size, CHUNK):
        expected = min(CHUNK, size - at)
        data = bytes(await s.recv_bytes(frm, CHUNK * POINT))
        if len(data) != expected * POINT:
            raise _misbehaved(frm, f"{len(data)} bytes where {expected} points were due")
        chunk = [data[i : i + POINT] for i in range(0, len(data), POINT)]
        if scalar is not None:
            points += await trio.to_thread.run_sync(_exponentiate_untrusted, chunk, scalar, frm)
            count(len(chunk))
        else:
            points += chunk
    return points


async def _in_chunks(
    kernel: Callable[[Sequence[bytes], bytes], list[bytes]], items: Sequence[bytes], scalar: bytes, count: Progress
) -> list[bytes]:
    out: list[bytes] = []
    for at in range(0, len(items), CHUNK):
        out += await trio.to_thread.run_sync(kernel, items[at : at + CHUNK], scalar)
        count(len(out) - at)
    return out


def _blind(keys: Sequence[bytes], scalar: bytes) -> list[bytes]:
    return _exponentiate([hash_to_group(key) for key in keys], scalar)


def _exponentiate(points: Sequence[bytes], scalar: bytes) -> list[bytes]:
    return [crypto_scalarmult_ed25519_noclamp(scalar, point) for point in points]


def _exponentiate_untrusted(points: list[bytes], scalar: bytes, frm: int) -> list[bytes]:
    """libsodium refuses all but canonical encodings of points of the prime-order subgroup (half of the time is this check)."""
    try:
        return _exponentiate(points, scalar)
    except exceptions.RuntimeError as error:
        raise _misbehaved(frm, "bytes that are no element of the prime-order group") from error


def hash_to_group(key: bytes) -> bytes:
    """An element of the prime-order group (Elligator 2, cofactor cleared), as 32 bytes."""
    return bytes(crypto_core_ed25519_from_uniform(blake2b(key, digest_size=32, person=b"hansa-psi-hash").digest()))


def _scalar() -> bytes:
    while True:
        scalar = bytes(crypto_core_ed25519_scalar_reduce(secrets.token_bytes(64)))
        if any(scalar):
            return scalar


def _shuffle(points: list[bytes]) -> None:
    secrets.SystemRandom().shuffle(points)


def _misbehaved(peer: int, what: str) -> PeerMisbehaved:
    return PeerMisbehaved(
        f"party {peer} sent {what} in the alignment",
        remedy="check that all parties run the same version of hansa (`hansa --version`)",
        peer=peer,
        step="align",
    )
