"""The daemon: one process an institution, which puts the parts of a node together and runs them until it is stopped."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO

import trio

from hansa.config.errors import ConfigError, hansa_error_in
from hansa.config.paths import admin_socket
from hansa.config.settings import Settings, load_settings
from hansa.node.identity import PASSPHRASE_VARIABLE, Identity, load_identity
from hansa.node.parts import Node, build_admin, build_jobs, build_net, build_tee, pin_configured
from hansa.node.tee.settings_check import check_tee


class Daemon:
    """One node. ``run`` serves until it is stopped; a stopped Daemon is not started again."""

    def __init__(self, home: Path, settings: Settings, identity: Identity) -> None:
        node = Node(home, settings, identity)
        self.node, self.stopping = node, trio.Event()
        self.net = build_net(node)
        self.tee = build_tee(node, self.net)
        self.jobs = build_jobs(node, self.net, self.tee)
        self.admin = build_admin(node, self.net, self.tee, self.jobs, self.stop)
        pin_configured(node, self.net)

    async def run(self, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until ``stop``; reports the port once everything answers."""
        store, net, home = self.node.store, self.net, self.node.home
        try:
            async with trio.open_nursery() as nursery:
                port = await self._listen(nursery)
                store.set_meta("port", port.to_bytes(4, "big"))
                for service in (self.tee.attestations.serve, self.tee.cluster.serve, *self.jobs.services):
                    await nursery.start(service)
                await nursery.start(net.gossip.run)
                await nursery.start(net.mesh.run)
                if net.discovery is not None:
                    nursery.start_soon(net.discovery.run, port)
                await nursery.start(self.admin.run, admin_socket(home))
                self._write_state(port)
                task_status.started(port)
                await self.stopping.wait()
                nursery.cancel_scope.cancel()
        finally:
            (home / "daemon.json").unlink(missing_ok=True)
            store.close()

    def stop(self) -> None:
        """Ask ``run`` to end."""
        self.stopping.set()

    async def _listen(self, nursery: trio.Nursery) -> int:
        """Take the port of the settings, or the one of the last start; where that is taken, peers learn the new one."""
        listen = self.node.settings.listen
        port = listen.port or int.from_bytes(self.node.store.meta("port") or b"", "big")
        try:
            bound: int = await nursery.start(self.net.listener.run, listen.host, port)
        except ConfigError:
            if listen.port or not port:
                raise
            bound = await nursery.start(self.net.listener.run, listen.host, 0)
        return bound

    def _write_state(self, port: int) -> None:
        state = {"pid": os.getpid(), "port": port, "started": int(time.time()), "version": self.net.own.version}
        unfinished = self.node.home / "daemon.json.new"
        unfinished.write_text(json.dumps(state))
        unfinished.replace(self.node.home / "daemon.json")


def main(home: Path, *, ready: Callable[[int, str], None]) -> None:
    """``hansa run``: the foreground daemon of a home, until SIGTERM or SIGINT. ``ready`` gets the port and the node's key."""
    settings = load_settings(home)
    check_tee(home, settings.tee)
    _log(settings.log.level)
    home.chmod(0o700)  # keys, data descriptions and the admin socket are this user's alone
    with _only_one(home):
        identity = load_identity(home, os.environ.pop(PASSPHRASE_VARIABLE, None))  # no worker inherits it
        trio.run(_serve, Daemon(home, settings, identity), ready)


async def _serve(daemon: Daemon, ready: Callable[[int, str], None]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        try:
            async with trio.open_nursery() as nursery:
                ready(await nursery.start(daemon.run), daemon.node.identity.key_text)
                nursery.start_soon(_stop_on, signals, daemon)
                await daemon.stopping.wait()
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:  # an `except*` could only raise a group again
            raise hansa_error_in(group) or group from None


async def _stop_on(signals: AsyncIterator[int], daemon: Daemon) -> None:
    async for _ in signals:
        daemon.stop()


def _only_one(home: Path) -> IO[str]:
    lock = open(home / "daemon.lock", "w")  # noqa: SIM115  # held until the process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise ConfigError(
            f"a daemon runs for {home} already", remedy=f"see `hansa status --home {home}`", file=str(home)
        ) from error
    return lock


def _log(level: str) -> None:
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
