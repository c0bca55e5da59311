"""The client of a node's admin socket: what the command line uses, and notebooks may.

    with AdminClient(home) as client:
        print(client.status()["fingerprint"])

Standard library only, so that a command starts at once.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from hansa.config.paths import admin_socket, default_home
from hansa.node.admin.answers import AuditEntryView, AuditVerdict, Invited, JobSummary, Leg, PeerView, Status
from hansa.node.admin.protocol import MAX_LINE, line
from hansa.node.errors import DaemonNotRunning, RelayedError

Json = dict[str, Any]
_CONNECT_S = 10.0


def connect(home: str | Path | None = None) -> AdminClient:
    """A client of the daemon of ``home``: a path, else ``$HANSA_HOME``, else ``~/.hansa``."""
    return AdminClient(default_home() if home is None else Path(home).expanduser())


class AdminClient:
    """One connection to the daemon of ``home``. Every method raises the daemon's own error as ``RelayedError``."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._next_id = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(_CONNECT_S)
            self._socket.connect(str(admin_socket(home)))
            self._socket.settimeout(None)  # an answer may take as long as it takes: a join, a job watched
        except OSError as error:
            self._socket.close()
            raise self._not_running() from error
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> AdminClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._file.close()
        self._socket.close()

    def call(self, method: str, **params: Any) -> Any:
        """Call a method and return its result; notifications on the way are dropped."""
        for kind, value in self._messages(method, params):
            if kind == "result":
                return value
        raise self._not_running()

    def stream(self, method: str, **params: Any) -> Iterator[tuple[str, Any]]:
        """Call a method that reports on the way: yields (notification's method, params), at last ("result", result)."""
        yield from self._messages(method, params)

    # --- the node and its peers ------------------------------------------------------------------------------------

    def status(self) -> Status:
        """The node at a glance (docs/cli.md, status)."""
        answer: Status = self.call("node.status")
        return answer

    def doctor(self) -> list[Leg]:
        """Every leg of the mesh, and why it fails where it does; takes up to 15 s."""
        legs: list[Leg] = self.call("node.doctor")["legs"]
        return legs

    def stop(self) -> None:
        """End the daemon."""
        self.call("node.stop")

    def peers(self) -> list[PeerView]:
        """All pinned peers."""
        answer: list[PeerView] = self.call("peer.list")
        return answer

    def invite(self, ttl_s: int = 3600) -> Invited:
        """A one-time invitation code."""
        answer: Invited = self.call("peer.invite", ttl_s=ttl_s)
        return answer

    def join(self, code: str) -> PeerView:
        """Use another node's invitation code."""
        peer: PeerView = self.call("peer.join", code=code)["peer"]
        return peer

    def audit(self, since: int = 0, limit: int = 1000) -> list[AuditEntryView]:
        """Entries of the audit log with a number above ``since``."""
        answer: list[AuditEntryView] = self.call("audit.show", since=since, limit=limit)
        return answer

    def verify_audit(self) -> AuditVerdict:
        """Recompute the audit log and compare it with the heads that peers hold."""
        answer: AuditVerdict = self.call("audit.verify")
        return answer

    # --- data, jobs, models ----------------------------------------------------------------------------------------

    def datasets(self) -> list[Json]:
        """All registered datasets."""
        return list(self.call("data.list"))

    def jobs(self) -> list[JobSummary]:
        """All jobs, the newest first."""
        answer: list[JobSummary] = self.call("job.list")
        return answer

    def job(self, job: str) -> Json:
        """Everything about a job."""
        return dict(self.call("job.show", job=job))

    def submit(self, job_file: Path) -> str:
        """Submit a job file; the job's id."""
        return str(self.call("job.submit", file_text=job_file.read_text(), file_name=job_file.name)["job"])

    def approve(self, job: str) -> None:
        """Sign a job that waits for this node."""
        self.call("job.approve", job=job)

    def refuse(self, job: str, reason: str) -> None:
        """Refuse a job that waits for this node."""
        self.call("job.refuse", job=job, reason=reason)

    def watch(self, job: str) -> Iterator[Json]:
        """A job's events until it ends."""
        for kind, value in self.stream("job.watch", job=job):
            if kind == "job.event":
                yield value

    def models(self) -> list[Json]:
        """All models this node has a part of."""
        return list(self.call("model.list"))

    def _messages(self, method: str, params: Json) -> Iterator[tuple[str, Any]]:
        self._next_id += 1
        wanted = self._next_id
        try:
            with suppress(
                BrokenPipeError
            ):  # a daemon that is full says so and hangs up: what it said is still to be read
                self._socket.sendall(line({"id": wanted, "method": method, "params": params}))
            while raw := self._file.readline(MAX_LINE):
                message = json.loads(raw)
                if message.get("id") != wanted and "error" not in message:
                    yield message.get("method", ""), message.get("params")
                elif "error" in message:
                    raise _error(message["error"])
                else:
                    yield "result", message["result"]
                    return
        except (OSError, ValueError) as error:
            raise self._not_running() from error
        raise self._not_running()

    def _not_running(self) -> DaemonNotRunning:
        return DaemonNotRunning(
            f"no hansa daemon answers for {self._home}",
            remedy=f"start it with `hansa run --home {self._home}` in another terminal",
            home=str(self._home),
        )


def _error(error: Json) -> RelayedError:
    data = error.get("data")
    if isinstance(data, dict):
        return RelayedError.from_dict(data)
    return RelayedError("usage", 2, str(error.get("message")), remedy="see `hansa --help`; update client and daemon")
