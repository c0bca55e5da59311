"""Drawing correlations that were made ahead: all parties use the same parcels, and each burns its own before any is used.

    first party                          each other party
      burns what it has next
      ── their names ─────────────────────▶ burns what it has of them
      ◀───────── which of them it had, each to each ─────────▶
    all use what all had

So no party has used a parcel that another still has: a file that is copied back at one party finds nobody to use it with.
A party that crashes has burnt what the others will not find in common either. How a store keeps its parcels is the
caller's business; this module has no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import trio

from hansa.protocols.arrays import Ring
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.additive.stored.kinds import PACKED, STORED_KINDS, ParcelId, packed, unpacked_untrusted
from hansa.protocols.mpc.session.session import Session

MAX_NAMED: Final = 256
"""Parcels named in one message."""
MAX_PARCELS: Final = 1 << 24
"""Parcels of one kind that a party may say it has."""


class ParcelStore(Protocol):
    """One party's parcels, made with exactly the other parties of the session."""

    @property
    def first(self) -> int:
        """The rank that names what is used: the same in all jobs of these parties, so that two do not name the same."""
        ...

    def parcels(self, kind: str) -> list[ParcelId]:
        """What there is, in an order that does not change."""
        ...

    def burn(self, kind: str, parcels: Sequence[ParcelId]) -> list[bytes | None]:
        """Take parcels away for good, and give them, sealed; None for those that are not there (any more).

        Nothing is given before the loss of all would outlast a crash.
        """
        ...

    def unseal(self, kind: str, parcel: ParcelId, sealed: bytes) -> bytes:
        """What a burnt parcel holds. Raises DataError where it is not what it should be."""
        ...


def to_bytes(parts: Sequence[Ring]) -> bytes:
    """A parcel's arrays as bytes."""
    return b"".join(np.ascontiguousarray(part).astype("<u8", copy=False).tobytes() for part in parts)


def from_bytes(kind: str, data: bytes) -> list[Ring]:
    """The arrays of a parcel: its own bytes, which a store has authenticated."""
    stored = STORED_KINDS[kind]
    assert len(data) == stored.parcel_bytes
    flat, parts, at = np.frombuffer(data, dtype="<u8"), [], 0
    for rows, words in stored.shapes:
        size = max(rows, 1) * words * stored.units
        part = flat[at : at + size].astype(np.uint64)
        parts.append(part.reshape(rows, -1) if rows else part)
        at += size
    return parts


class StoredCorrelations:
    """What a store has of one kind, drawn in lockstep. ``start`` gives one of these for each kind."""

    def __init__(self, session: Session, store: ParcelStore, kind: str, count: int) -> None:
        self._session, self._store, self._kind = session, store, kind
        self._left = count

    @classmethod
    async def start(cls, session: Session, store: ParcelStore) -> dict[str, StoredCorrelations]:
        """The first party says how many parcels it has. Rounds: 1, which nothing waits for. Bytes: 32 to each, by it."""
        fork = session.fork("shelf")  # what the store was called once: the label goes over the wire, so it stays
        if session.rank == store.first:
            counts = np.array([len(store.parcels(kind)) for kind in STORED_KINDS], dtype=np.uint64)
            for peer in session.peers:
                await fork.send(peer, counts)
        else:
            counts = await fork.recv(store.first, np.uint64, len(STORED_KINDS))
            if counts.max() > MAX_PARCELS:
                raise _misbehaved(fork, store.first, f"claims to have {counts.max()} parcels of correlations")
        return {
            kind: cls(session.fork(kind), store, kind, int(n))
            for kind, n in zip(STORED_KINDS, counts.tolist(), strict=True)
        }

    async def draw(self, units: int, step: Session) -> list[list[Ring]]:
        """Parcels of ``units`` or more, or all that are left; counted as ``step`` is.

        Rounds: 2, while there are parcels, and 2 more for each ``MAX_NAMED`` of them or where parties had not the same.
        """
        found: list[list[Ring]] = []
        self._session.adopt_step(step)
        size = STORED_KINDS[self._kind].units
        while self._left and units > len(found) * size:
            wanted = min(-(-units // size) - len(found), MAX_NAMED, self._left)
            found += await self._common(wanted)
        return found

    async def _common(self, most: int) -> list[list[Ring]]:
        session, store = self._session, self._store
        if session.rank == store.first:
            named, had = await trio.to_thread.run_sync(self._next, most)
            for peer in session.peers:
                await session.send_bytes(peer, packed(named))
        else:
            said = unpacked_untrusted(bytes(await session.recv_bytes(store.first, most * PACKED)))
            if said is None:
                raise _misbehaved(session, store.first, "names parcels of correlations that cannot be")
            named, had = said, await trio.to_thread.run_sync(store.burn, self._kind, said)
        if not named:
            self._left = 0
            return []
        self._left -= len(named)
        mine = np.array([data is not None for data in had], dtype=np.uint8)
        masks = await session.exchange(
            dict.fromkeys(session.peers, [mine]), dict.fromkeys(session.peers, [mine.size]), dtype=np.uint8
        )
        for peer, (mask,) in masks.items():
            if mask.max() > 1:
                raise _misbehaved(session, peer, "answers neither yes nor no about its parcels of correlations")
            mine = mine & mask
        common = [(parcel, sealed) for parcel, sealed, both in zip(named, had, mine, strict=True) if sealed and both]
        return await trio.to_thread.run_sync(self._unsealed, common)

    def _unsealed(self, burnt: list[tuple[ParcelId, bytes]]) -> list[list[Ring]]:
        return [from_bytes(self._kind, self._store.unseal(self._kind, *parcel)) for parcel in burnt]

    def _next(self, most: int) -> tuple[list[ParcelId], list[bytes | None]]:
        """The next parcels that this party has, burnt; fewer where another job takes them at the same time."""
        named = self._store.parcels(self._kind)[:most]
        had = self._store.burn(self._kind, named)
        kept = [(name, data) for name, data in zip(named, had, strict=True) if data is not None]
        return [name for name, _ in kept], [data for _, data in kept]


def _misbehaved(session: Session, peer: int, what: str) -> PeerMisbehaved:
    rank = session.job_ranks[peer]
    return PeerMisbehaved(
        f"party {rank} {what}",
        remedy="check that all parties run the same version of hansa (`hansa --version`)",
        peer=rank,
        step=session.current_step,
    )
