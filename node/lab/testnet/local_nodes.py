"""A league on one machine: real daemons as real processes, own homes under one folder, loopback only.

`hansa demo` and `hansa net` are built on it. Nothing here has a way into a node that an operator does not have: homes
are made by `hansa init`, and the rest goes over admin sockets.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hansa.node.admin.client import AdminClient
from hansa.node.errors import DaemonNotRunning, JobError

READY_WITHIN_S = 20.0
MEET_WITHIN_S = 20.0
STOP_WITHIN_S = 5.0
_HANSA = (sys.executable, "-m", "hansa.node.cli")


@dataclass(frozen=True, slots=True)
class LocalNode:
    """One institution of a local league."""

    name: str
    home: Path

    @property
    def log(self) -> Path:
        """Where its daemon writes."""
        return self.home / "daemon.log"

    def make(
        self,
        *,
        port: int = 0,
        advertise: str = "",
        policy: str = "",
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Make the home; ``settings`` are others of hansa.toml, "section.key" to text."""
        words = ["init", "--home", str(self.home), "--name", self.name, "--port", str(port), "--json"]
        done = subprocess.run(
            [
                *_HANSA,
                *words,
                *(["--advertise", advertise] if advertise else []),
                *(f"--set={key}={json.dumps(value)}" for key, value in settings.items()),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        if done.returncode:
            raise JobError(
                f"the home of {self.name} could not be made: {done.stdout or done.stderr}",
                remedy="choose another folder with --dir",
                file=str(self.home),
            )
        if policy:
            (self.home / "policy.toml").write_text(policy)

    def start(self) -> int:
        """Start the daemon in its own session; its process id. Call ``wait_ready`` next."""
        return spawn([*_HANSA, "run", "--home", str(self.home)], self.log)

    def wait_ready(self, pid: int) -> None:
        """Until the admin socket answers; ``JobError`` with the log's last line if the daemon ends instead."""
        until = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < until:
            if self.answers():
                return
            if not alive(pid):
                break
            time.sleep(0.05)
        lines = self.log.read_text(errors="replace").strip().splitlines()
        raise JobError(
            f"the daemon of {self.name} did not start: {lines[-1] if lines else 'it said nothing'}",
            remedy=f"see {self.log}",
            file=str(self.log),
        )

    def answers(self) -> bool:
        """Whether its daemon answers."""
        try:
            with AdminClient(self.home) as client:
                client.call("peer.list")
        except DaemonNotRunning:
            return False
        return True

    def call(self, method: str, **params: Any) -> Any:
        """One call on its admin socket."""
        with AdminClient(self.home) as client:
            return client.call(method, **params)

    def pid(self) -> int | None:
        """The process id its daemon wrote down, if that process lives."""
        try:
            pid = int(json.loads((self.home / "daemon.json").read_text())["pid"])
        except (OSError, ValueError, KeyError):
            return None
        return pid if alive(pid) else None


ACCEPTS_SIMULATED = {"tee.accept": "insecure-simulated"}
"""The settings of a member that plays with simulated hardware, and of the node that is it."""
SIMULATED = "insecure-tee"
"""What a node is called that pretends to be in trusted hardware."""
IS_SIMULATED = {"tee.backend": "insecure-simulated", **ACCEPTS_SIMULATED}

_children: dict[int, subprocess.Popen[bytes]] = {}
"""Processes this process started, to be reaped."""


def spawn(words: Sequence[str], log: Path) -> int:
    """Start a program that outlives this one, in its own session, writing to ``log``; its process id."""
    with open(log, "ab") as file:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd="/", start_new_session=True
        )
    _children[process.pid] = process
    return process.pid


def alive(pid: int) -> bool:
    """Whether the process runs (a dead child of ours is reaped first)."""
    if pid <= 0:
        return False  # the kernel takes these for groups of processes
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def end(pids: Sequence[int]) -> None:
    """Ask processes to end, and make them."""
    for sign, patience in ((signal.SIGTERM, STOP_WITHIN_S), (signal.SIGKILL, STOP_WITHIN_S)):
        for pid in filter(alive, pids):
            os.kill(pid, sign)
        until = time.monotonic() + patience
        while any(map(alive, pids)) and time.monotonic() < until:
            time.sleep(0.02)


def introduce(nodes: Sequence[LocalNode]) -> None:
    """The first invites the others one by one; returns when every node is connected to every other."""
    for newcomer in nodes[1:]:
        newcomer.call("peer.join", code=nodes[0].call("peer.invite", ttl_s=60)["code"])
    wait_connected(nodes)


def wait_connected(nodes: Sequence[LocalNode]) -> None:
    """Until every node sees every other online."""
    until = time.monotonic() + MEET_WITHIN_S
    while not all(_sees(node, len(nodes) - 1) for node in nodes):
        if time.monotonic() > until:
            raise JobError(
                "the nodes did not find each other in time",
                remedy=f"hansa doctor --home {nodes[0].home}",
            )
        time.sleep(0.05)


def _sees(node: LocalNode, others: int) -> bool:
    return bool(sum(peer["online"] for peer in node.call("peer.list")) == others)


@contextmanager
def running(nodes: Sequence[LocalNode]) -> Iterator[None]:
    """Start all daemons, and end them whatever happens."""
    pids: list[int] = []
    try:
        pids += [node.start() for node in nodes]
        for node, pid in zip(nodes, pids, strict=True):
            node.wait_ready(pid)
        yield
    finally:
        end(pids)
