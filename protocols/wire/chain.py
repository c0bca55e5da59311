"""The audit log's hash chain: every entry's hash covers the one before, every entry is signed.

A peer that holds a signed head (sequence number, hash) can later prove that the log up to there was rewritten or
shortened.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hansa.protocols.errors import ProtocolError, SecurityError
from hansa.protocols.wire import canonical, limits, signing
from hansa.protocols.wire.declared import declared, number, octets

GENESIS = bytes(32)
_TAG = "audit-head"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry: ``body`` is canonical bytes, ``hash`` covers everything before it, ``sig`` signs (seq, hash)."""

    seq: int
    time_ms: int
    kind: str
    body: bytes
    hash: bytes
    sig: bytes


@declared()
class AuditHead:
    """A signed head of ``identity``'s audit chain, exchanged at the start and the end of a job."""

    identity: bytes = octets(32)
    seq: int = number(limits.MAX_COUNTER)
    hash: bytes = octets(32)
    sig: bytes = octets(64)


def append(previous: bytes, seq: int, time_ms: int, kind: str, body: bytes, signing_key: bytes) -> AuditEntry:
    """The entry after the one whose hash is ``previous`` (``GENESIS`` before the first, ``seq`` 1)."""
    digest = _hash(previous, seq, time_ms, kind, body)
    return AuditEntry(seq, time_ms, kind, body, digest, signing.sign(signing_key, _TAG, _head_body(seq, digest)))


def head_of(entry: AuditEntry, identity: bytes) -> AuditHead:
    """The signed head that peers keep."""
    return AuditHead(identity, entry.seq, entry.hash, entry.sig)


def verify_head_untrusted(head: AuditHead) -> None:
    """Raise ``SecurityError`` unless ``head.identity`` signed it."""
    signing.verify(head.identity, _TAG, _head_body(head.seq, head.hash), head.sig)


def verify_chain(entries: Iterable[AuditEntry], identity: bytes) -> tuple[int, bytes]:
    """Check a whole log, entry by entry; returns (number of entries, last hash).

    Raises ``SecurityError`` naming the first entry that is altered, missing or not signed by ``identity``.
    """
    previous, count = GENESIS, 0
    for entry in entries:
        count += 1
        if not _follows(entry, previous, count, identity):
            raise SecurityError(
                f"the audit log is altered at entry {count}: its hash, number or signature does not fit",
                remedy="keep the file as it is and compare with the heads that peers hold",
                entry=count,
            )
        previous = entry.hash
    return count, previous


def _follows(entry: AuditEntry, previous: bytes, seq: int, identity: bytes) -> bool:
    """Whether it is the entry ``seq`` after ``previous``; whoever edited the file may have left any type in it."""
    try:
        signing.verify(identity, _TAG, _head_body(entry.seq, entry.hash), entry.sig)
        digest = _hash(previous, entry.seq, entry.time_ms, entry.kind, entry.body)
    except (SecurityError, ProtocolError, TypeError):
        return False
    return (entry.seq, entry.hash) == (seq, digest)


def _hash(previous: bytes, seq: int, time_ms: int, kind: str, body: bytes) -> bytes:
    fixed = canonical.encode([seq, time_ms, kind])
    return signing.tagged_hash("hansa-audit-entry", previous, fixed, body)


def _head_body(seq: int, digest: bytes) -> bytes:
    return canonical.encode([seq, digest])
