"""The peer book: which identities this node has pinned, under which names, and how they came in.

Names are this node's own and unique. A record that a pinned peer passes on pins its member too (one introduction
reaches the league) unless ``peers.accept_introductions`` is false; a peer removed here is not brought back by gossip.
An introduced member may introduce others in turn: who does not want to extend that trust sets it to false.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from hansa.node.errors import UsageError
from hansa.node.store import Store
from hansa.protocols.errors import ConsentError
from hansa.protocols.wire.limits import MAX_RECORDS
from hansa.protocols.wire.record import PeerRecord, newer
from hansa.protocols.wire.signing import fingerprint

MAX_PEERS = MAX_RECORDS
"""Members one node pins; beyond it introductions are ignored, so that no member can flood the league."""
_INTRODUCED = "introduced by "
_NAME_KEPT = 24
"""Characters of a taken name that stay when the fingerprint is put behind it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A pinned peer; ``name`` is what this node calls it."""

    name: str
    record: PeerRecord
    how: str
    added: int
    last_seen: float | None

    @property
    def identity(self) -> bytes:
        """Its Ed25519 key."""
        return self.record.identity

    @property
    def fingerprint(self) -> str:
        """Its short id."""
        return fingerprint(self.record.identity)

    @property
    def introduced(self) -> bool:
        """Whether another member brought it, and no operator here has pinned it."""
        return self.how.startswith(_INTRODUCED)


class PeerBook:
    """The pinned peers of the node ``me``, whose own name is ``own_name``."""

    def __init__(self, store: Store, me: bytes, own_name: str) -> None:
        self._store, self._me, self._own_name = store, me, own_name
        self._contradicted: dict[bytes, str] = {}

    @property
    def warnings(self) -> list[str]:
        """What an operator should know of the book: names that two nodes have, records that contradict each other."""
        peers = self.all()
        names = {peer.name for peer in peers} | {self._own_name}
        shared = [
            f"two nodes are called '{peer.record.name}'; one is shown as '{peer.name}' here"
            for peer in peers
            if peer.record.name != peer.name and peer.record.name in names and peer.how != "added"
        ]
        return [*shared, *self._contradicted.values()]

    def contradicted(self, identity: bytes, what: str) -> None:
        """Note that a member's records contradict each other."""
        self._contradicted[identity] = what

    def all(self) -> list[Peer]:
        """Every pinned peer, by name."""
        rows = self._store.rows("SELECT name, record, how, added, last_seen FROM peers ORDER BY name")
        return [Peer(name, _record(raw), how, added, seen) for name, raw, how, added, seen in rows]

    def get(self, identity: bytes) -> Peer | None:
        """The peer with this identity."""
        row = self._store.row("SELECT name, record, how, added, last_seen FROM peers WHERE identity = ?", identity)
        return None if row is None else Peer(row[0], _record(row[1]), row[2], row[3], row[4])

    def names(self) -> dict[bytes, str]:
        """What this node calls its peers, by their identities."""
        return {peer.identity: peer.name for peer in self.all()}

    def name_of(self, identity: bytes) -> str:
        """What this node calls somebody."""
        peer = self.get(identity)
        return peer.name if peer is not None else "a stranger"

    def addresses(self, identity: bytes) -> list[str]:
        """Where a peer listens, by its record."""
        peer = self.get(identity)
        return list(peer.record.addresses) if peer is not None else []

    def find(self, text: str) -> Peer:
        """The one peer that a name, fingerprint or start of an identity means; ``UsageError`` otherwise."""
        peers = self.all()
        exact = [p for p in peers if text in {p.name, p.fingerprint}]
        found = exact or [p for p in peers if len(text) >= 4 and p.identity.hex().startswith(text.lower())]
        if len(found) != 1:
            known = ", ".join(p.name for p in peers) or "none yet"
            count = "no peer is" if not found else f"{len(found)} peers are"
            raise UsageError(f"{count} called '{text[:100]}' (peers: {known})", remedy="see `hansa peer list`")
        return found[0]

    def pin(self, record: PeerRecord, how: str) -> Peer:
        """Pin a peer on an operator's word (``how``: invited, joined, added, config); undoes an earlier removal."""
        if record.identity == self._me:
            raise UsageError("this is the node's own key", remedy="pin the other node's key (`hansa status` there)")
        self._refuse_taken_name(record)
        if self.get(record.identity) is None and self._full():
            raise UsageError(f"{MAX_PEERS} peers are pinned already", remedy="remove some with `hansa peer remove`")
        self._store.write("DELETE FROM removed_peers WHERE identity = ?", record.identity)
        self._write(record, record.name, how)
        return self._known(record.identity)

    def learn(self, record: PeerRecord, introducer: str, *, accept_new: bool) -> Peer | None:
        """Take in a record that a pinned peer passed on; the peer if something changed.

        Raises ``PeerMisbehaved`` where its signer contradicts itself.
        """
        known = self.get(record.identity)
        if record.identity == self._me or self._removed(record.identity):
            return None
        if known is None and (not accept_new or self._full()):
            return None
        if known is not None and known.record.sequence == 0 and known.record.static_key != record.static_key:
            return None  # an operator typed that key: only an operator changes it
        if not newer(known.record if known is not None else None, record):
            return None
        name = known.name if known is not None else self._free_name(record)
        self._write(record, name, known.how if known is not None else _INTRODUCED + introducer)
        return self._known(record.identity)

    def remove(self, identity: bytes) -> None:
        """Unpin a peer, and remember that gossip must not bring it back."""
        with self._store.transaction():
            self._store.write("DELETE FROM peers WHERE identity = ?", identity)
            self._store.write("INSERT OR REPLACE INTO removed_peers VALUES (?, ?)", identity, int(time.time()))
        self._contradicted.pop(identity, None)

    def seen(self, identity: bytes) -> None:
        """Note that the peer is there now."""
        self._store.write("UPDATE peers SET last_seen = ? WHERE identity = ?", time.time(), identity)

    def _write(self, record: PeerRecord, name: str, how: str) -> None:
        self._store.write(
            "INSERT INTO peers VALUES (?, ?, ?, ?, ?, NULL) ON CONFLICT (identity) DO UPDATE "
            "SET name = excluded.name, record = excluded.record, how = excluded.how",
            record.identity,
            name,
            record.encode(),
            how,
            int(time.time()),
        )

    def _known(self, identity: bytes) -> Peer:
        peer = self.get(identity)
        if peer is None:
            raise UsageError("the peer is not pinned", remedy="see `hansa peer list`")
        return peer

    def _removed(self, identity: bytes) -> bool:
        return self._store.row("SELECT 1 FROM removed_peers WHERE identity = ?", identity) is not None

    def _taken(self, name: str, identity: bytes) -> bool:
        other = self._store.row("SELECT 1 FROM peers WHERE name = ? AND identity != ?", name, identity)
        return name == self._own_name or other is not None

    def _refuse_taken_name(self, record: PeerRecord) -> None:
        if self._taken(record.name, record.identity):
            raise ConsentError(
                f"two nodes would have the name '{record.name}': {record.name} is taken here",
                remedy="give one of them another name: node.name in its hansa.toml, then restart it",
                peer=record.name,
            )

    def _full(self) -> bool:
        row = self._store.row("SELECT COUNT(*) FROM peers")
        return row is not None and row[0] >= MAX_PEERS

    def _free_name(self, record: PeerRecord) -> str:
        """The introduced peer's own name, or, where that is taken, the name with its fingerprint (then its key)."""
        short = record.name[:_NAME_KEPT]
        names = (record.name, f"{short}-{fingerprint(record.identity)}", f"{short}-{record.identity.hex()[:32]}")
        return next((name for name in names if not self._taken(name, record.identity)), record.identity.hex())


def _record(raw: bytes) -> PeerRecord:
    return PeerRecord.decode_pinned(bytes(raw))
