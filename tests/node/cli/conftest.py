"""A stand-in for the daemon: a thread on the admin socket that gives the answers a test prepared."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hansa.config.errors import HansaError
from hansa.config.paths import admin_socket
from hansa.node.cli.main import main
from hansa.node.errors import UsageError


class FakeDaemon:
    """``answers``: method to result, to an error to raise, or to a list of events ending with the result (watch)."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.answers: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(admin_socket(home)))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop accepting; the thread ends."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as file:
                for raw in file:
                    request = json.loads(raw)
                    for message in self._replies(request):
                        file.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
                    file.flush()

    def _replies(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        method, number = request["method"], request["id"]
        self.calls.append((method, request["params"]))
        if method == "job.watch":
            for event in self.events:
                yield {"method": "job.event", "params": event}
        answer = self.answers.get(
            method, {} if method == "job.watch" else UsageError("unprepared", remedy="prepare it")
        )
        if isinstance(answer, HansaError):
            yield {"id": number, "error": {"code": -32000, "message": answer.message, "data": answer.as_dict()}}
        else:
            yield {"id": number, "result": answer}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's home that $HANSA_HOME names."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HANSA_HOME", str(folder))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("HANSA_DEBUG", raising=False)
    return folder


@pytest.fixture
def daemon(home: Path) -> Iterator[FakeDaemon]:
    """The stand-in, serving ``home``."""
    fake = FakeDaemon(home)
    yield fake
    fake.close()


@pytest.fixture
def hansa(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line: (exit code, standard output, standard error)."""

    def run(*words: str) -> tuple[int, str, str]:
        try:
            code = main(words)
        except SystemExit as ended:  # argparse, after --help
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def peer(name: str = "lab", **changed: Any) -> dict[str, Any]:
    """A peer as the daemon describes it."""
    return {
        "name": name,
        "fingerprint": "ziba-jufa-lusi-mibi",
        "identity": "af" * 32,
        "address": "127.0.0.1:34439",
        "online": True,
        "last_seen_s": 0.0,
        "latency_ms": 1.37,
        "version": "0.1.0",
        "how": "invited",
    } | changed


def status(**changed: Any) -> dict[str, Any]:
    """A quiet node's status."""
    return {
        "name": "bank",
        "fingerprint": "pilo-patu-pudo-kivu",
        "identity": "81" * 32,
        "key": "81" * 32 + "." + "80" * 32,
        "version": "0.1.0",
        "pid": 1,
        "uptime_s": 61.0,
        "listen": "127.0.0.1:7400",
        "addresses": ["127.0.0.1:7400"],
        "rss_mb": 43.0,
        "peers": [peer()],
        "candidates": [],
        "jobs": [],
        "approvals": [],
        "datasets": 1,
        "warnings": [],
    } | changed


def glance(number: int, **changed: Any) -> dict[str, Any]:
    """A job in `status`."""
    return {
        "job": f"{number:016x}",
        "name": f"job {number}",
        "kind": "train",
        "state": "running",
        "waiting_for": [],
        "step": "train",
        "done": 3,
        "total": 10,
        "age_s": number,
    } | changed


def job(state: str = "done", **changed: Any) -> dict[str, Any]:
    """A job as job.show gives it."""
    parties = [
        {"name": "bank", "dataset": "clients", "columns": ["a", "b"], "label": "default", "consent": "signed"},
        {"name": "lab", "dataset": "tests", "columns": ["c"], "label": None, "consent": "waiting"},
    ]
    result = {
        "rows": 24811,
        "test_rows": 4962,
        "metrics": {"auc": 0.72512, "ks": 0.33, "accuracy": 0.81, "log_loss": 0.44},
        "weights": {"a": 0.5, "b": -1.25, "intercept": -1.0},
        "released": None,
        "scores": "",
        "rounds": 5200,
        "bytes_sent": 25 << 20,
        "seconds": 12.5,
        "steps": {},
    }
    return {
        "job": "4f1c4f1c4f1c4f1c",
        "name": "credit-default",
        "kind": "train",
        "state": state,
        "proposer": "bank",
        "created": 1_790_000_000,
        "parties": parties,
        "waiting_for": [],
        "approval_needed": False,
        "purpose": "predict default",
        "decision": "submitted here",
        "leakage": ["each party learns which rows are in common"],
        "contract": {"algorithm": "lr", "params": {"epochs": 10, "l2": 0.0}, "engine": "replicated"},
        "error": None,
        "result": result if state == "done" else None,
        "scores": None,
        "model": "4f1c4f1c4f1c4f1c",
    } | changed


def event(kind: str = "progress", **changed: Any) -> dict[str, Any]:
    """A job's event."""
    return {
        "time": 1_790_000_000.0,
        "job": "4f1c4f1c4f1c4f1c",
        "party": "bank",
        "kind": kind,
        "step": "train",
        "done": 5,
        "total": 10,
        "rounds": 120,
        "bytes_sent": 2048,
        "elapsed_s": 4.0,
    } | changed


@pytest.fixture
def samples() -> SimpleNamespace:
    """What a daemon says, by subject."""
    return SimpleNamespace(peer=peer, status=status, glance=glance, job=job, event=event)
