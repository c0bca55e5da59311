"""The node's audit log: append-only, hash-chained, signed, and vouched for by what peers hold of it.

At a job's start and end the parties exchange their chain's signed heads. ``verify`` recomputes the chain and compares
it with the heads that peers hold, so that a log rewritten or shortened here is found as long as one of them answers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import trio

from hansa.node.identity import Identity
from hansa.node.store import Store
from hansa.protocols.errors import SecurityError
from hansa.protocols.wire import canonical, chain
from hansa.protocols.wire.chain import AuditHead
from hansa.protocols.wire.limits import MAX_HEADS

_MAX_BODY = 4 << 20


@dataclass(frozen=True, slots=True)
class HeadCheck:
    """What comparing one peer's copies of our heads gave."""

    peer: str
    count: int
    problem: str | None


class Audit:
    """The log of one node."""

    def __init__(self, store: Store, identity: Identity) -> None:
        self._store, self._identity = store, identity
        self._accused: set[bytes] = set()

    def append(self, kind: str, body: dict[str, Any]) -> None:
        """Write one entry; it is on disk, chained and signed when this returns."""
        with self._store.transaction():
            last = self._store.row("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
            seq, previous = (last[0] + 1, bytes(last[1])) if last else (1, chain.GENESIS)
            now = time.time_ns() // 1_000_000
            entry = chain.append(previous, seq, now, kind, canonical.encode(body), self._identity.signing_key)
            self._store.write(
                "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)", seq, now, kind, entry.body, entry.hash, entry.sig
            )

    def entries(self, since: int = 0, limit: int = 1 << 62) -> Iterator[chain.AuditEntry]:
        """Entries with a number above ``since``, the oldest first."""
        rows = self._store.rows("SELECT * FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", since, limit)
        for row in rows:
            yield chain.AuditEntry(*row)  # as it lies in the file: judging it is verify_chain's

    def shown(self, since: int = 0, limit: int = 1 << 62) -> list[dict[str, Any]]:
        """The same as JSON-like data."""
        return [
            {
                "seq": entry.seq,
                "time": entry.time_ms / 1000,
                "kind": entry.kind,
                "body": canonical.decode_untrusted(entry.body, _MAX_BODY),
                "hash": entry.hash.hex(),
            }
            for entry in self.entries(since, limit)
        ]

    def head(self) -> AuditHead | None:
        """The signed head, for peers to keep; None while the log is empty."""
        rows = self._store.rows("SELECT * FROM audit ORDER BY seq DESC LIMIT 1")
        for row in rows:
            return chain.head_of(chain.AuditEntry(*row), self._identity.public)
        return None

    def keep_head_untrusted(self, sender: bytes, head: AuditHead) -> None:
        """Keep a peer's head; ``SecurityError`` unless it is the sender's own. The newest 1024 of a peer are kept.

        One that contradicts the head kept under its number is evidence that the peer's log was rewritten: it is
        audited, with the peer's signature on it, and the older one stays.
        """
        if head.identity != sender:
            raise SecurityError("an audit head is not its sender's", remedy="nothing: it was ignored")
        chain.verify_head_untrusted(head)
        kept = self._store.row("SELECT hash FROM peer_heads WHERE identity = ? AND seq = ?", sender, head.seq)
        if kept is not None and bytes(kept[0]) != head.hash:
            if sender not in self._accused:  # once a run: a peer must not fill our log
                self._accused.add(sender)
                body = {"identity": sender, "seq": head.seq, "hash": head.hash, "sig": head.sig}
                self.append("peer-log-rewritten", body)
            return
        self._store.write(
            "INSERT OR IGNORE INTO peer_heads VALUES (?, ?, ?, ?)", head.identity, head.seq, head.hash, head.sig
        )
        self._store.write(
            "DELETE FROM peer_heads WHERE identity = ? AND seq <= "
            "(SELECT MAX(seq) FROM peer_heads WHERE identity = ?) - ? AND seq NOT IN "
            "(SELECT seq FROM peer_heads WHERE identity = ? ORDER BY seq DESC LIMIT ?)",
            head.identity,
            head.identity,
            MAX_HEADS,
            head.identity,
            MAX_HEADS,
        )

    def heads_of(self, identity: bytes) -> tuple[AuditHead, ...]:
        """The heads we hold of a peer's chain, the newest last."""
        rows = self._store.rows(
            "SELECT seq, hash, sig FROM peer_heads WHERE identity = ? ORDER BY seq DESC LIMIT ?", identity, MAX_HEADS
        )
        return tuple(AuditHead(identity, seq, bytes(digest), bytes(sig)) for seq, digest, sig in reversed(rows))

    async def verify_chain(self) -> int:
        """Recompute every hash and signature; the number of entries. ``SecurityError`` names the first bad one.

        About 0.1 ms an entry, in a thread.
        """
        entries = list(self.entries())
        count, _ = await trio.to_thread.run_sync(chain.verify_chain, entries, self._identity.public)
        return count

    def check_heads_untrusted(self, peer: str, heads: tuple[AuditHead, ...]) -> HeadCheck:
        """Compare the heads a peer says it holds of us with our log."""
        checked = 0
        for head in heads:
            if head.identity != self._identity.public:
                continue
            try:
                chain.verify_head_untrusted(head)
            except SecurityError:
                continue  # not signed by us: no witness against our log
            checked += 1
            found = self._store.row("SELECT hash FROM audit WHERE seq = ?", head.seq)
            if found is None:
                return HeadCheck(peer, checked, f"{peer} holds our head {head.seq}, but the log is shorter")
            if bytes(found[0]) != head.hash:
                return HeadCheck(peer, checked, f"{peer} holds another entry {head.seq} than the log: it was rewritten")
        return HeadCheck(peer, checked, None)
