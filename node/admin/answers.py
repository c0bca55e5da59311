"""The shapes of the daemon's answers, for type checkers and notebooks; docs/cli.md says what the fields mean."""

# No annotations as text here: a `TypedDict` compiles each such text, at the start of every command.
from typing import Any, NotRequired, TypedDict


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


class Stopping(TypedDict):
    """The daemon is about to end."""

    stopping: bool


class PeerRemoved(TypedDict):
    """A peer that was unpinned; ``note`` says so where the settings will bring it back."""

    removed: str
    note: str | None


class ColumnView(TypedDict):
    """A column of a dataset: ``number``s have bounds. ``odd_row`` is the first cell of text among mostly numbers."""

    name: str
    kind: str
    missing: int
    min: NotRequired[float]
    max: NotRequired[float]
    odd_row: NotRequired[int]


class Dataset(TypedDict):
    """A registered dataset; ``added`` in unix seconds."""

    name: str
    path: str
    format: str
    rows: int
    columns: list[ColumnView]
    key: list[str]
    label: str | None
    schema_digest: str
    copied: bool
    private: bool
    added: int


class OwnHardware(TypedDict):
    """What this node proves its code by; ``sealed`` is the state of the model keys."""

    backend: str
    platform: str | None
    code: str | None
    problem: str | None
    sealed: dict[str, Any] | None


VoteView = TypedDict("VoteView", {"from": str, "to": str, "voter": str, "until": int})
"""A vote that the keys of one code may go to another; ``until`` in unix seconds."""


class PeerHardware(TypedDict):
    """What a peer claims to prove its code by, and the last verdict on it."""

    peer: str
    claims: str | None
    verdict: str
    ago_s: float | None
    tcb_status: NotRequired[str | None]
    platform: str | None
    code: str | None
    reasons: list[str]


class HardwareStatus(TypedDict):
    """Trusted hardware at this node (None: it has none) and at its peers."""

    own: OwnHardware | None
    votes: list[VoteView]
    peers: list[PeerHardware]
