"""What a client asks of a daemon, written once for the blocking client and for the one under trio.

A method builds a ``Request`` and does no I/O. ``asked`` makes of it a method that sends the request with ``ask`` of the
client it is called on: it blocks on an ``AdminClient``, and is awaited on an ``AsyncAdminClient``.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Generic, NamedTuple, ParamSpec, Protocol, TypeVar, overload

from hansa.config.errors import ConfigError
from hansa.node.admin import answers, job_answers, protocol
from hansa.node.errors import DaemonNotRunning, RelayedError

P = ParamSpec("P")
R = TypeVar("R")
MAX_JOB_FILE = 1 << 20
RESULT = "result"
EVENT = "job.event"


class Request(NamedTuple, Generic[R]):
    """A method of the admin socket and its parameters. ``member`` names the part of the result that is the answer."""

    method: str
    params: Mapping[str, Any] = {}
    member: str | None = None

    def line(self) -> bytes:
        """The request as it is sent. A connection carries one request, so that all have one id."""
        return protocol.line({"id": 1, "method": self.method, "params": dict(self.params)})

    def answer(self, result: Any) -> R:
        """The answer in a result."""
        found: R = result if self.member is None else result[self.member]
        return found


def message(raw: bytes) -> tuple[str, Any]:
    """A line from the daemon: ``RESULT`` and the result, or a notification's name and parameters.

    Raises the daemon's error as ``RelayedError``, and ``ValueError`` for what is no message.
    """
    told = json.loads(raw)
    if "error" in told:
        raise _relayed(told["error"])
    return (RESULT, told["result"]) if RESULT in told else (told["method"], told["params"])


def not_running(home: Path) -> DaemonNotRunning:
    """The error where no daemon answers, or one stops answering."""
    return DaemonNotRunning(
        f"no hansa daemon answers for {home}",
        remedy=f"start it with `hansa run --home {home}` in another terminal",
        home=str(home),
    )


def read_job_file(path: str | Path) -> dict[str, str]:
    """The parameters of job.plan and job.submit: the file's text and name. Raises ``ConfigError``."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_JOB_FILE + 1)
        if len(data) > MAX_JOB_FILE:
            raise ValueError(f"it is longer than {MAX_JOB_FILE >> 20} MiB")
        if not data.strip():
            raise ValueError("it is empty")
        return {"file_text": data.decode(), "file_name": str(path)}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"the job file {path} cannot be read: {reason}",
            remedy="write one after examples/ and docs/job.md, then `hansa job plan FILE.toml`",
            file=str(path),
        ) from error


class Blocking(Protocol):
    """A client whose ``ask`` returns the answer."""

    def ask(self, request: Request[R], /) -> R:
        """Send a request."""
        ...


class Awaited(Protocol):
    """A client whose ``ask`` is awaited."""

    async def ask(self, request: Request[R], /) -> R:
        """Send a request."""
        ...


class asked(Generic[P, R]):  # a decorator
    """The method of a client that sends the request which the decorated method builds."""

    def __init__(self, build: Callable[Concatenate[Any, P], Request[R]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: Blocking, owner: Any = None) -> Callable[P, R]: ...
    @overload
    def __get__(self, client: Awaited, owner: Any = None) -> Callable[P, Awaitable[R]]: ...
    def __get__(self, client: Any, owner: Any = None) -> Any:
        if client is None:
            return self._build  # what help(AdminClient) describes
        build = self._build.__get__(client)

        @wraps(build)
        def ask(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.ask(build(*args, **kwargs))

        return ask


class AdminApi:
    """Every method of the admin socket but ``job.watch``, which each client has by itself.

    Where a method takes a job or a model, its id, the start of its id or its name will do. A peer is a name, a
    fingerprint, or the start of an identity. Every method raises the daemon's error as ``RelayedError`` with its code
    (docs/errors.md), and ``DaemonNotRunning`` where no daemon answers.
    """

    # --- the node and its peers ------------------------------------------------------------------------------------

    @asked
    def status(self) -> Request[answers.Status]:
        """The node at a glance."""
        return Request("node.status")

    @asked
    def doctor(self) -> Request[list[answers.Leg]]:
        """Examine every connection of the league. Takes up to 15 s."""
        return Request("node.doctor", member="legs")

    @asked
    def stop(self) -> Request[answers.Stopping]:
        """End the daemon."""
        return Request("node.stop")

    @asked
    def peers(self) -> Request[list[answers.PeerView]]:
        """All pinned peers."""
        return Request("peer.list")

    @asked
    def invite(self, ttl_s: int = 3600) -> Request[answers.Invited]:
        """Make a code that lets one institution in, once, within ``ttl_s`` seconds (at most seven days)."""
        return Request("peer.invite", {"ttl_s": ttl_s})

    @asked
    def join(self, code: str) -> Request[answers.PeerView]:
        """Join the league of the node that made this code; the answer is that node."""
        return Request("peer.join", {"code": code}, "peer")

    @asked
    def add_peer(self, name: str, key: str, address: str) -> Request[answers.PeerView]:
        """Pin a peer by the key that its operator told. ``address`` is ``host:port``."""
        return Request("peer.add", {"name": name, "key": key, "address": address}, "peer")

    @asked
    def remove_peer(self, peer: str) -> Request[answers.PeerRemoved]:
        """Unpin a peer."""
        return Request("peer.remove", {"peer": peer})

    @asked
    def audit(self, since: int = 0, limit: int = 1000) -> Request[list[answers.AuditEntryView]]:
        """The entries of the audit log with a number above ``since``, at most ``limit``."""
        return Request("audit.show", {"since": since, "limit": limit})

    @asked
    def verify_audit(self) -> Request[answers.AuditVerdict]:
        """Recompute the audit log, and compare it with the heads that peers hold. Takes up to 5 s."""
        return Request("audit.verify")

    @asked
    def hardware(self) -> Request[answers.HardwareStatus]:
        """This node's trusted hardware, the last verdict on each peer's, and the votes known here."""
        return Request("tee.status")

    @asked
    def vote(self, code_from: str, code_to: str, days: int) -> Request[answers.VoteView]:
        """Let enclaves that run ``code_to`` have the model keys of ``code_from``, for ``days`` days.

        A code is written ``PLATFORM:MEASUREMENT``, as ``hardware`` shows it. A vote cannot be taken back.
        """
        return Request("tee.vote", {"code_from": code_from, "code_to": code_to, "days": days})

    # --- data ------------------------------------------------------------------------------------------------------

    @asked
    def datasets(self) -> Request[list[answers.Dataset]]:
        """All datasets of this node."""
        return Request("data.list")

    @asked
    def dataset(self, name: str) -> Request[answers.Dataset]:
        """One dataset: its columns, their bounds, and the file."""
        return Request("data.show", {"name": name})

    @asked
    def add_data(
        self,
        path: str | Path,
        name: str,
        key: Sequence[str],
        *,
        label: str | None = None,
        copy: bool = False,
        private: bool = False,
    ) -> Request[answers.Dataset]:
        """Register a CSV or Parquet file under ``name``.

        ``key`` names the columns that identify a row, ``label`` the column to predict. ``copy`` keeps a copy in the
        home; ``private`` hides the dataset from peers.
        """
        where = str(Path(path).expanduser().absolute())
        more = {"label": label, "copy": copy, "private": private}
        return Request("data.add", {"path": where, "name": name, "key": list(key), **more})

    @asked
    def remove_data(self, name: str) -> Request[answers.Dataset]:
        """Forget a dataset. Its file stays; a copy in the home goes."""
        return Request("data.remove", {"name": name})

    # --- jobs ------------------------------------------------------------------------------------------------------

    @asked
    def plan(self, job_file: str | Path) -> Request[job_answers.JobPlan]:
        """What a job file would mean: who learns what, whom it trusts, what it costs. Nobody is asked.

        Raises ``ConfigError`` where the file cannot be read.
        """
        return Request("job.plan", read_job_file(job_file))

    @asked
    def submit(self, job_file: str | Path) -> Request[str]:
        """Sign a job file and propose it to its parties; the answer is the job's id. Raises as ``plan``."""
        return Request("job.submit", read_job_file(job_file), "job")

    @asked
    def jobs(self) -> Request[list[job_answers.JobSummary]]:
        """All jobs, the newest first."""
        return Request("job.list")

    @asked
    def job(self, job: str) -> Request[job_answers.JobView]:
        """Everything about a job."""
        return Request("job.show", {"job": job})

    @asked
    def logs(self, job: str) -> Request[list[job_answers.LogLine]]:
        """What happened in a job, line by line, then what its worker wrote."""
        return Request("job.logs", {"job": job})

    @asked
    def approve(self, job: str) -> Request[job_answers.JobSummary]:
        """Sign a job that waits for this node. A signature is final."""
        return Request("job.approve", {"job": job})

    @asked
    def refuse(self, job: str, reason: str) -> Request[job_answers.JobSummary]:
        """Refuse a job; all parties read the reason."""
        return Request("job.refuse", {"job": job, "reason": reason})

    @asked
    def cancel(self, job: str, reason: str) -> Request[job_answers.JobSummary]:
        """End a job at every party; all read the reason."""
        return Request("job.cancel", {"job": job, "reason": reason})

    # --- models and correlations -----------------------------------------------------------------------------------

    @asked
    def models(self) -> Request[list[job_answers.ModelSummary]]:
        """All models that this node has a part of, the newest first."""
        return Request("model.list")

    @asked
    def model(self, model: str) -> Request[job_answers.ModelView]:
        """One model as this node sees it."""
        return Request("model.show", {"model": model})

    @asked
    def predict(self, model: str, data: str, at: Mapping[str, str] | None = None) -> Request[str]:
        """Propose to score the common rows of new datasets; the answer is the job's id.

        ``data`` is the dataset's name at every party; ``at`` gives the name at parties that call it otherwise.
        """
        return Request("model.predict", {"model": model, "data": data, "with": dict(at or {})}, "job")

    @asked
    def release(self, model: str) -> Request[str]:
        """Propose to open a model to all its parties; the answer is the job's id."""
        return Request("model.release", {"model": model}, "job")

    @asked
    def scores(self, job: str) -> Request[job_answers.ScoresFile]:
        """Where the scores lie that a job opened to this node."""
        return Request("model.scores", {"job": job})

    @asked
    def correlations(self) -> Request[list[job_answers.CorrelationsView]]:
        """The correlated random numbers made ahead and not used yet, by parties."""
        return Request("correlations.list")

    @asked
    def make_correlations(
        self, peers: Sequence[str], amounts: Mapping[str, int], like: str | None = None
    ) -> Request[job_answers.CorrelationsProposed]:
        """Propose to make correlations with these peers ahead of jobs without a dealer.

        ``amounts`` says how many of each kind (``triples``, ``bit_triples``, ``bit_pairs``, ``dabits``); ``like`` takes
        as many as that finished job used, and its parties where no peer is named.
        """
        more = {} if like is None else {"like": like}
        return Request("correlations.make", {"peers": list(peers), "amounts": dict(amounts), **more})

    @asked
    def drop_correlations(
        self, peers: Sequence[str], everything: bool = False
    ) -> Request[job_answers.CorrelationsDropped]:
        """Throw away what was made with exactly these peers, or ``everything``."""
        return Request("correlations.drop", {"peers": list(peers), "everything": everything})


def _relayed(error: Mapping[str, Any]) -> RelayedError:
    data = error.get("data")
    if isinstance(data, dict):
        return RelayedError.from_dict(data)
    return RelayedError("usage", 2, str(error.get("message")), remedy="see `hansa --help`; update client and daemon")
