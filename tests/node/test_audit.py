"""The audit log under tampering with the SQLite file itself, and what peers keep of each other's."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from hansa.node.audit import Audit
from hansa.node.identity import Identity
from hansa.node.store import FILE, Store
from hansa.protocols.errors import SecurityError
from hansa.protocols.wire import chain
from hansa.protocols.wire.chain import AuditHead
from hansa.protocols.wire.limits import MAX_HEADS


def somebody() -> Identity:
    return Identity.from_secrets(os.urandom(32), os.urandom(32), os.urandom(32))


class Log:
    """A log on disk, opened and closed around what an intruder does to the file."""

    def __init__(self, home: Path, identity: Identity) -> None:
        self.home, self.identity = home, identity
        self.store = Store(home)
        self.audit = Audit(self.store, identity)

    def edit(self, *statements: str) -> None:
        self.store.close()
        with closing(sqlite3.connect(self.home / FILE)) as file, file:
            for statement in statements:
                file.execute(statement)
        self.store = Store(self.home)
        self.audit = Audit(self.store, self.identity)

    def head(self) -> AuditHead:
        head = self.audit.head()
        assert head is not None
        return head


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path, somebody())
    for number in range(5):
        log.audit.append("opening", {"number": number, "to": ["bank"], "what": b"\x01"})
    yield log
    log.store.close()


async def test_an_untouched_log_verifies(log: Log) -> None:
    assert await log.audit.verify_chain() == 5
    shown = log.audit.shown(since=3)
    assert [(entry["seq"], entry["body"]["number"]) for entry in shown] == [(4, 3), (5, 4)]
    assert log.audit.check_heads_untrusted("bureau", (log.head(),)).problem is None


@pytest.mark.parametrize(
    ("statement", "first_bad"),
    [
        ("UPDATE audit SET kind = 'other' WHERE seq = 3", 3),
        ("UPDATE audit SET body = x'80' WHERE seq = 2", 2),
        ("UPDATE audit SET time_ms = time_ms + 1 WHERE seq = 1", 1),
        ("UPDATE audit SET hash = zeroblob(32) WHERE seq = 4", 4),
        ("UPDATE audit SET sig = zeroblob(64) WHERE seq = 5", 5),
        ("UPDATE audit SET body = 7 WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 3", 3),
        ("DELETE FROM audit WHERE seq = 1", 1),
    ],
)
async def test_an_edited_file_is_found_at_its_first_bad_entry(log: Log, statement: str, first_bad: int) -> None:
    log.edit(statement)
    with pytest.raises(SecurityError, match=f"altered at entry {first_bad}:"):
        await log.audit.verify_chain()


async def test_a_shortened_log_is_found_by_a_peers_head(log: Log) -> None:
    head = log.head()
    log.edit("DELETE FROM audit WHERE seq > 3")
    assert await log.audit.verify_chain() == 3
    check = log.audit.check_heads_untrusted("bureau", (head,))
    assert check.problem == "bureau holds our head 5, but the log is shorter"


async def test_a_log_rewritten_with_the_real_key_is_found_by_a_peers_head(log: Log) -> None:
    heads = (log.head(),)
    log.edit("DELETE FROM audit WHERE seq > 2")
    for number in range(3):
        log.audit.append("opening", {"number": number, "to": ["nobody"]})
    assert await log.audit.verify_chain() == 5
    check = log.audit.check_heads_untrusted("bureau", heads)
    assert check.problem is not None
    assert "it was rewritten" in check.problem


def test_heads_that_prove_nothing_are_not_counted(log: Log) -> None:
    forged = replace(log.head(), seq=99)
    strangers = replace(log.head(), identity=somebody().public)
    check = log.audit.check_heads_untrusted("bureau", (forged, strangers))
    assert (check.count, check.problem) == (0, None)


def head_of(identity: Identity, seq: int, kind: str = "x") -> AuditHead:
    return chain.head_of(chain.append(bytes(32), seq, 0, kind, b"\x80", identity.signing_key), identity.public)


def test_only_the_senders_own_signed_heads_are_kept(log: Log) -> None:
    peer, other = somebody(), somebody()
    log.audit.keep_head_untrusted(peer.public, head_of(peer, 1))
    with pytest.raises(SecurityError, match="not its sender's"):
        log.audit.keep_head_untrusted(peer.public, head_of(other, 1))
    with pytest.raises(SecurityError, match="does not verify"):
        log.audit.keep_head_untrusted(peer.public, replace(head_of(peer, 2), seq=3))
    assert [head.seq for head in log.audit.heads_of(peer.public)] == [1]
    assert log.audit.heads_of(other.public) == ()


def test_a_peer_that_rewrote_its_log_is_on_record_once(log: Log) -> None:
    peer = somebody()
    log.audit.keep_head_untrusted(peer.public, head_of(peer, 1, "first"))
    for kind in ("second", "third"):
        log.audit.keep_head_untrusted(peer.public, head_of(peer, 1, kind))
    assert log.audit.heads_of(peer.public) == (head_of(peer, 1, "first"),)
    accusations = [entry for entry in log.audit.shown() if entry["kind"] == "peer-log-rewritten"]
    assert [(a["body"]["identity"], a["body"]["hash"]) for a in accusations] == [
        (peer.public, head_of(peer, 1, "second").hash)
    ]


def test_the_heads_kept_of_a_peer_are_bounded(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = somebody()
    with log.store.transaction():
        for seq in range(1, MAX_HEADS + 6):
            log.audit.keep_head_untrusted(peer.public, head_of(peer, seq))
    kept = [head.seq for head in log.audit.heads_of(peer.public)]
    assert kept == list(range(6, MAX_HEADS + 6))
