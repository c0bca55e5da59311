"""What the jobs of a node work with: the rest of the daemon, as narrow as jobs need it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import trio

from hansa.config.policy import Policy
from hansa.node.contracts.hardware import Hardware
from hansa.node.data.schema import Use
from hansa.node.jobs.events import JobEvents
from hansa.node.jobs.store import JobStore
from hansa.node.net.listener import Serve
from hansa.node.worker.messages import Start
from hansa.node.worker.process import WorkerProcess
from hansa.protocols.wire.chain import AuditHead
from hansa.protocols.wire.messages import DatasetInfo, Message


class JobsMesh(Protocol):
    """How other daemons are reached."""

    def online(self, identity: bytes) -> bool:
        """Whether a control connection to this peer stands."""

    async def send(self, identity: bytes, message: Message) -> None:
        """Send one message. Raises PeerLost when the peer is offline."""

    async def broadcast(self, identities: Iterable[bytes], message: Message) -> None:
        """Send to whoever of these is online; never raises."""


class JobsAudit(Protocol):
    """The audit log."""

    def append(self, kind: str, body: dict[str, Any]) -> None:
        """Write one entry; it is on disk when this returns."""

    def head(self) -> AuditHead | None:
        """The signed head, for peers to keep."""


class OwnData(Protocol):
    """This node's own datasets."""

    def info(self, name: str, schema_digest: bytes) -> DatasetInfo | None:
        """A dataset as it is now, for a contract that knows it by this digest; a private one of no other digest."""

    def table_spec(self, name: str, use: Use) -> dict[str, Any]:
        """The description node.data.table reads it by."""


@dataclass
class JobContext:
    """The collaborators of all jobs at one node. ``signing_key`` is the identity's, ``sealing_key`` gives the key under
    which the blobs of a job, or of a set of parties, lie on disk, by its id; ``tee`` is what a worker needs to prove and to judge
    hardware; ``routes`` is the listener's table of who takes connections for a job."""

    me: bytes
    name: str
    signing_key: bytes = field(repr=False)
    sealing_key: Callable[[bytes], bytes] = field(repr=False)
    home: Path
    mesh: JobsMesh
    audit: JobsAudit
    store: JobStore
    data: OwnData
    policy: Callable[[], Policy]
    peer_names: Callable[[], Mapping[bytes, str]]
    addresses: Callable[[bytes], list[str]]
    suites: tuple[str, ...]
    max_jobs: int
    max_rows: int
    routes: dict[bytes, Serve]
    hardware: Hardware
    tee: Callable[[], Mapping[str, Any]]
    max_correlations_mb: int = 2048
    now: Callable[[], int] = lambda: int(time.time())
    make_worker: Callable[[Start, Path], WorkerProcess] = WorkerProcess
    events: JobEvents = field(init=False)
    nursery: trio.Nursery = field(init=False)

    def __post_init__(self) -> None:
        self.events = JobEvents(self.store)

    async def share_head(self, identities: Iterable[bytes]) -> None:
        """Give the parties the signed head of our audit log, to keep."""
        head = self.audit.head()
        if head is not None:
            await self.mesh.broadcast(identities, head)

    def folder(self, job_id: bytes) -> Path:
        """Where a job's checkpoints, log and result lie."""
        return self.home / "jobs" / job_id.hex()[:16]

    def model_file(self, model: bytes) -> Path:
        """Where this node's sealed part of a model lies; ``model`` is the training job's id."""
        return self.home / "blobs" / f"{model.hex()[:32]}.model"

    def scores_file(self, job_id: bytes) -> Path:
        """Where scores this node receives lie."""
        return self.home / "scores" / f"{job_id.hex()[:16]}.csv"

    def released_file(self, model: bytes) -> Path:
        """Where a released model lies."""
        return self.home / "released" / f"{model.hex()[:16]}.json"
