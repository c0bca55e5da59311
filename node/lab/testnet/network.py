"""`hansa net`: a local test network, to play with and to break. Its state is DIR/net.json.

All traffic between the nodes crosses one relay process: every node advertises the relay's port for it, so the network
can be slowed while it runs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hansa.node.errors import JobError, UsageError
from hansa.node.lab.testnet.local_nodes import (
    ACCEPTS_SIMULATED,
    IS_SIMULATED,
    SIMULATED,
    LocalNode,
    alive,
    end,
    introduce,
    spawn,
    wait_connected,
)

STATE = "net.json"
NAMES = ("bank", "bureau", "telecom", "insurer", "retailer", "utility", "broker", "carrier")
MAX_NODES = 16
_RELAY_WITHIN_S = 10.0


def default_folder() -> Path:
    """One network a user, unless --dir says otherwise."""
    return Path(tempfile.gettempdir()) / f"hansa-net-{os.getuid()}"


@dataclass(slots=True)
class NetState:
    """What is written down: each node's port and the relay's port for it, process ids, the relay's shape; which nodes
    simulate trusted hardware."""

    names: list[str]
    ports: dict[str, int]
    relay_ports: dict[str, int]
    relay_pid: int = 0
    latency: str = ""
    bandwidth: str = ""
    simulated: list[str] = field(default_factory=list)


class LocalNetwork:
    """The network in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._file = self.folder / STATE

    # --- what `hansa net` does -----------------------------------------------------------------------------------

    def up(self, count: int, names: Sequence[str], simulated: int = 0) -> dict[str, Any]:
        """Make and start the network, or start again what is down of one that stands; ``simulated`` nodes more pretend to be
        in trusted hardware, and all others play along."""
        if self._file.exists():
            state = self._load()
            plain = [name for name in state.names if name not in state.simulated]
            same = list(names) in ([], plain) and count in (0, len(plain)) and simulated in (0, len(state.simulated))
            if not same:
                raise UsageError(
                    f"a network of {', '.join(state.names)} is in {self.folder} already",
                    remedy="take it down with `hansa net down`, or choose another --dir",
                )
            self._start_relay(state)
            for name in state.names:
                self._start(self._node(name))
            wait_connected([self._node(name) for name in state.names])
            return self.status()
        chosen = list(names) or [NAMES[i] if i < len(NAMES) else f"node-{i + 1}" for i in range(count or 3)]
        pretending = [f"{SIMULATED}-{i + 1}" if i else SIMULATED for i in range(simulated)]
        everyone = [*chosen, *pretending]
        if len(chosen) < 2 or len(everyone) > MAX_NODES or len(set(everyone)) != len(everyone):
            raise UsageError(f"a network has 2 to {MAX_NODES} nodes of different names", remedy="hansa net up -n 3")
        try:
            self._create(everyone, pretending)
        except BaseException:
            self._destroy()
            raise
        return self.status()

    def status(self) -> dict[str, Any]:
        """Every node: whether it runs, its home, its ports."""
        state = self._load()
        nodes = []
        for name in state.names:
            node = self._node(name)
            pid = node.pid()
            up = pid is not None and node.answers()
            online = sum(peer["online"] for peer in node.call("peer.list")) if up else 0
            nodes.append(
                {"name": name, "up": up, "pid": pid, "home": str(node.home), "peers_online": online}
                | {"port": state.ports[name], "relay_port": state.relay_ports[name]}
                | {"insecure_simulated_tee": name in state.simulated}
            )
        relay = {"up": alive(state.relay_pid), "latency": state.latency or None, "bandwidth": state.bandwidth or None}
        return {"folder": str(self.folder), "nodes": nodes, "relay": relay}

    def logs(self, name: str | None, lines: int) -> dict[str, list[str]]:
        """The last lines of the daemons' logs."""
        state = self._load()
        chosen = state.names if name is None else [self._known(state, name)]
        return {
            n: self._node(n).log.read_text(errors="replace").splitlines()[-lines:]
            for n in chosen
            if self._node(n).log.exists()
        }

    def kill(self, name: str) -> int:
        """kill -9 a node's daemon; its workers notice and end. The process id that was killed."""
        node = self._node(self._known(self._load(), name))
        pid = node.pid()
        if pid is None:
            raise UsageError(f"{name} is down already", remedy="start it again: hansa net up")
        os.kill(pid, signal.SIGKILL)
        end([pid])
        return pid

    def slow(self, latency: str, bandwidth: str) -> None:
        """Reshape the network while it runs; empty strings: no limit."""
        state = self._load()
        state.latency, state.bandwidth = latency, bandwidth
        self._save(state)
        if not alive(state.relay_pid):
            raise UsageError("the relay is down", remedy="start it again: hansa net up")
        os.kill(state.relay_pid, signal.SIGHUP)

    def down(self, *, keep: bool) -> list[str]:
        """Stop everything and remove the folder (unless ``keep``); the names of what was stopped."""
        state = self._load()
        pids = [pid for name in state.names if (pid := self._node(name).pid()) is not None]
        end([*pids, state.relay_pid] if state.relay_pid else pids)
        if not keep:
            shutil.rmtree(self.folder)
        return state.names

    # --- parts ---------------------------------------------------------------------------------------------------

    def _create(self, names: list[str], simulated: list[str]) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(self.folder.iterdir()):
            raise UsageError(
                f"{self.folder} is not empty and holds no network", remedy="choose another folder with --dir"
            )
        free = iter(_free_ports(2 * len(names)))
        ports, relay_ports = ({n: next(free) for n in names} for _ in range(2))
        state = NetState(names, ports, relay_ports, simulated=simulated)
        self._save(state)
        nodes = [self._node(name) for name in names]
        for node in nodes:
            settings = {} if not simulated else IS_SIMULATED if node.name in simulated else ACCEPTS_SIMULATED
            address = f"127.0.0.1:{state.relay_ports[node.name]}"
            node.make(port=state.ports[node.name], advertise=address, settings=settings)
        self._start_relay(state)
        for node in nodes:
            self._start(node)
        introduce(nodes)

    def _start(self, node: LocalNode) -> None:
        if node.pid() is None:
            node.wait_ready(node.start())

    def _start_relay(self, state: NetState) -> None:
        if alive(state.relay_pid):
            return
        words = [sys.executable, "-m", "hansa.node.lab.testnet.relay_process", str(self._file)]
        state.relay_pid = spawn(words, self.folder / "relay.log")
        self._save(state)
        until = time.monotonic() + _RELAY_WITHIN_S
        while not all(map(_listens, state.relay_ports.values())):
            if not alive(state.relay_pid) or time.monotonic() > until:
                raise JobError("the relay did not start", remedy=f"see {self.folder / 'relay.log'}")
            time.sleep(0.05)

    def _destroy(self) -> None:
        if not self._file.exists():
            return
        try:
            self.down(keep=False)
        except UsageError:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _node(self, name: str) -> LocalNode:
        return LocalNode(name, self.folder / name)

    def _known(self, state: NetState, name: str) -> str:
        if name not in state.names:
            raise UsageError(f"the network has no node '{name}' ({', '.join(state.names)})", remedy="hansa net status")
        return name

    def _load(self) -> NetState:
        try:
            return load_state(self._file)
        except FileNotFoundError as error:
            raise UsageError(f"there is no network in {self.folder}", remedy="hansa net up -n 3") from error
        except (ValueError, TypeError) as error:
            raise UsageError(f"{self._file} is damaged", remedy=f"remove the folder {self.folder}") from error

    def _save(self, state: NetState) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(state), indent=2))
        fresh.replace(self._file)


def load_state(file: Path) -> NetState:
    """The network's state; ``FileNotFoundError``, ``ValueError`` or ``TypeError`` where there is none."""
    return NetState(**json.loads(file.read_text()))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(0.5)
        return sock.connect_ex(("127.0.0.1", port)) == 0
