"""The shapes of the daemon's answers, for type checkers and notebooks; docs/cli.md says what the fields mean."""

from __future__ import annotations

from typing import Any, TypedDict


class PeerView(TypedDict):
    """A pinned peer. ``last_seen_s`` and ``latency_ms`` are None where unknown."""

    name: str
    fingerprint: str
    identity: str
    address: str
    online: bool
    last_seen_s: float | None
    latency_ms: float | None
    version: str | None
    how: str
    hardware: dict[str, Any] | None


class CandidateView(TypedDict):
    """Something on the local network that says it is a hansa node, and is not pinned."""

    instance: str
    address: str


class Notice(TypedDict):
    """A warning and what to do about it."""

    text: str
    remedy: str


class JobGlance(TypedDict):
    """A job in ``status``; ``waiting_for`` names parties."""

    job: str
    name: str
    kind: str
    state: str
    waiting_for: list[str]
    step: str
    done: int
    total: int
    age_s: int


class Approval(TypedDict):
    """A job that waits for this node's operator; ``role`` is what the node would be in it, ``trust`` who could collude."""

    job: str
    name: str
    kind: str
    proposer: str
    purpose: str
    role: str
    trust: list[str]
    expires_in_s: int


class Status(TypedDict):
    """The node at a glance."""

    name: str
    fingerprint: str
    identity: str
    key: str
    version: str
    pid: int
    uptime_s: float
    listen: str
    addresses: list[str]
    rss_mb: float | None
    peers: list[PeerView]
    candidates: list[CandidateView]
    jobs: list[JobGlance]
    approvals: list[Approval]
    datasets: int
    warnings: list[Notice]


Leg = TypedDict("Leg", {"from": str, "to": str, "ok": bool, "latency_ms": float | None, "detail": str, "remedy": str})
"""One connection of the mesh as its beginning sees it; ``remedy`` is empty where it works."""


class Invited(TypedDict):
    """A one-time code; ``expires`` in unix seconds."""

    code: str
    expires: int
    expires_s: int


class JobSummary(TypedDict):
    """A job in a list; ``created`` in unix seconds, ``error`` the cause where it failed."""

    job: str
    name: str
    kind: str
    state: str
    proposer: str
    created: int
    parties: list[str]
    waiting_for: list[str]
    approval_needed: bool
    error: str | None


class AuditEntryView(TypedDict):
    """An entry of the audit log; bytes in ``body`` are in hex."""

    seq: int
    time: float
    kind: str
    body: dict[str, Any]
    hash: str


class HeadsChecked(TypedDict):
    """How many of our heads a peer holds, and whether they fit our log."""

    peer: str
    count: int
    ok: bool


class AuditVerdict(TypedDict):
    """Whether the audit log is whole; ``entries`` is None and ``problem`` the reason where it is altered."""

    ok: bool
    entries: int | None
    heads_checked: list[HeadsChecked]
    unreachable: list[str]
    problem: str | None
