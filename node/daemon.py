"""The daemon: one process an institution, composed here of its parts, and nothing else.

identity, store, audit          who it is, what it remembers
listener, mesh, gossip, invites one port, its peers
admin                           what its own people ask of it
jobs                            what it agrees to and runs
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO, Any

import trio

from hansa.config.errors import ConfigError, hansa_error_in
from hansa.config.paths import admin_socket
from hansa.config.settings import Settings, load_settings
from hansa.node.admin.methods.node import NodeMethods
from hansa.node.admin.methods.tee import TeeMethods
from hansa.node.admin.server import AdminServer
from hansa.node.audit import Audit
from hansa.node.identity import PASSPHRASE_VARIABLE, Identity, load_identity
from hansa.node.job_service import add_jobs
from hansa.node.net.connection import Purpose
from hansa.node.net.discovery import Discovery
from hansa.node.net.doctor import Doctor
from hansa.node.net.gossip import Gossip
from hansa.node.net.invites import Invites
from hansa.node.net.listener import Listener
from hansa.node.net.mesh import Mesh
from hansa.node.net.peers import Peer, PeerBook
from hansa.node.software import software_version
from hansa.node.store import Store
from hansa.node.tee.keys.job_keys import JobKeys
from hansa.node.tee.peers.attestations import Attestations
from hansa.node.tee.peers.cluster import Cluster
from hansa.node.tee.peers.epochs import SeenEpochs
from hansa.node.tee.peers.votes import VoteBook
from hansa.node.tee.settings_check import check_tee
from hansa.node.tee.tee_settings import judge_of, prover_of
from hansa.protocols.wire.attestation.statements.votes import Vote
from hansa.protocols.wire.consent.contract import Code
from hansa.protocols.wire.messages import AuditHead, Hello
from hansa.protocols.wire.record import PeerRecord

logger = logging.getLogger(__name__)

EVERY_INTERFACE = {"0.0.0.0", "::", ""}  # noqa: S104  # compared with, not bound to


class Daemon:
    """One node. ``run`` serves until it is stopped; a stopped Daemon is not started again."""

    def __init__(self, home: Path, settings: Settings, identity: Identity) -> None:
        self.home, self.settings, self.identity = home, settings, identity
        self.started = time.time()
        self.stopping = trio.Event()
        self.store = Store(home)
        self.audit = Audit(self.store, identity)
        self.book = PeerBook(self.store, identity.public, settings.node.name)
        suites = settings.channel.suites
        self.mesh = Mesh(identity, self.book, suites=suites, hello=self._hello)
        self.mesh.handle(AuditHead, self._keep_head)
        self.ballots = VoteBook(
            home / "tee" / "votes.json",
            self.mesh,
            signing_key=identity.signing_key,
            me=identity.public,
            peers=self._peers,
            record=self._vote_on_record,
        )
        prover = prover_of(home, settings.tee, software_version())
        self.attestations = Attestations(
            self.mesh,
            self.audit,
            me=identity.public,
            prover=prover,
            job_keys=JobKeys(home, prover, identity.public),
            epochs=SeenEpochs(home / "tee" / "epochs.json"),
            judge=judge_of(home, settings.tee, self.endorsed),
            name_of=self.name_of,
            reattest_s=settings.tee.reattest_s,
        )
        self.gossip = Gossip(
            self.mesh,
            self.book,
            own=self.record,
            accept_introductions=settings.peers.accept_introductions,
            pinned=self.pinned,
            outnumbered=self._outnumbered,
        )
        self.invites = Invites(
            self.store,
            identity,
            self.book,
            suites=suites,
            record=self.record,
            pinned=self.pinned,
            learn=self.gossip.learn,
        )
        self.listener = Listener({Purpose.CONTROL: self.mesh.accept, Purpose.MEET: self.invites.accept})
        self.doctor = Doctor(self.mesh, self.book, settings.node.name)
        self.discovery = Discovery(settings.listen.host) if settings.discovery.zeroconf else None
        self.admin = AdminServer()
        self.cluster = Cluster(self.mesh, self.attestations, self.ballots, self.audit, self._peers)
        self.services: list[Callable[..., Any]] = [self.attestations.serve, self.cluster.serve]
        self.status_of_jobs: Callable[[], dict[str, Any]] = lambda: {}
        self.hardware = TeeMethods(self.attestations, self.ballots, self.mesh, self.book)
        self.admin.methods |= self.hardware.methods() | NodeMethods(self).methods()
        self.jobs = add_jobs(self)
        self._pin_configured()

    def endorsed(self) -> list[Code]:
        """The codes that enough of the settings' voters voted for; also from a thread of the judge."""
        return self._endorsed() if trio.lowlevel.in_trio_run() else trio.from_thread.run_sync(self._endorsed)

    def _endorsed(self) -> list[Code]:
        """Voters are named: an introduction, which may bear any free name, makes none."""
        tee, me = self.settings.tee, self.identity.public
        own = [me] if self.settings.node.name in tee.voters else []
        pinned = {peer.identity for peer in self.book.all() if peer.name in tee.voters and not peer.introduced}
        return self.ballots.endorsed({*own, *pinned}, tee.votes)

    def _vote_on_record(self, vote: Vote) -> None:
        """Not those of introduced peers, which anybody among the peers can make up: no count here rests on them alone."""
        peer = self.book.get(vote.voter)
        if peer is not None and peer.introduced:
            return
        codes = {"from": str(vote.code_from), "to": str(vote.code_to)}
        voter = peer.name if peer is not None else self.settings.node.name
        self.audit.append("vote", {"voter": voter, **codes, "until": vote.until})

    def _peers(self) -> list[bytes]:
        return [peer.identity for peer in self.book.all()]

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where peers reach this node; none where it listens on every interface and is not told what to advertise."""
        listen = self.settings.listen
        if listen.advertise or listen.host in EVERY_INTERFACE:
            return listen.advertise
        host = f"[{listen.host}]" if ":" in listen.host else listen.host
        return (f"{host}:{self.listener.port}",)

    def record(self) -> PeerRecord:
        """This node's signed record; its sequence number moves only when what it says does."""
        said = json.dumps([self.settings.node.name, self.addresses, self.identity.static.public.hex()]).encode()
        if self.store.meta("record-says") != said:
            previous = int.from_bytes(self.store.meta("record-sequence") or b"", "big")
            self.store.set_meta("record-sequence", max(previous + 1, int(time.time())).to_bytes(8, "big"))
            self.store.set_meta("record-says", said)
        sequence = int.from_bytes(self.store.meta("record-sequence") or b"", "big")
        return self.identity.record(self.settings.node.name, self.addresses, sequence)

    def name_of(self, identity: bytes) -> str:
        """What this node calls a peer."""
        peer = self.book.get(identity)
        return peer.name if peer is not None else "a stranger"

    def pinned(self, peer: Peer) -> None:
        """A peer was pinned, in whatever way: on record, connected to, and introduced to the others."""
        self.audit.append("peer-pinned", {"peer": peer.name, "identity": peer.identity, "how": peer.how})
        self.mesh.watch_peer(peer.identity)
        self.gossip.spread()

    async def run(self, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until ``stop``; reports the port once everything answers."""
        listen = self.settings.listen
        kept = int.from_bytes(self.store.meta("port") or b"", "big")
        try:
            async with trio.open_nursery() as nursery:
                port = await self._listen(nursery, listen.host, listen.port or kept, fixed=bool(listen.port))
                self.store.set_meta("port", port.to_bytes(4, "big"))
                for service in self.services:
                    await nursery.start(service)
                await nursery.start(self.gossip.run)
                await nursery.start(self.mesh.run)
                if self.discovery is not None:
                    nursery.start_soon(self.discovery.run, port)
                await nursery.start(self.admin.run, admin_socket(self.home))
                self._write_state(port)
                task_status.started(port)
                await self.stopping.wait()
                nursery.cancel_scope.cancel()
        finally:
            (self.home / "daemon.json").unlink(missing_ok=True)
            self.store.close()

    def stop(self) -> None:
        """Ask ``run`` to end."""
        self.stopping.set()

    async def _listen(self, nursery: trio.Nursery, host: str, port: int, *, fixed: bool) -> int:
        try:
            bound: int = await nursery.start(self.listener.run, host, port)
        except ConfigError:
            if fixed or not port:
                raise
            bound = await nursery.start(self.listener.run, host, 0)  # the kept port is taken: peers learn the new one
        return bound

    async def _keep_head(self, sender: bytes, head: AuditHead) -> None:
        self.audit.keep_head_untrusted(sender, head)

    def _hello(self) -> Hello:
        return Hello(
            self.settings.node.name, software_version(), int(time.time()), self.addresses, self.settings.tee.backend
        )

    def _outnumbered(self, sequence: int) -> None:
        self.store.set_meta("record-sequence", sequence.to_bytes(8, "big"))
        self.store.set_meta("record-says", b"")  # so that the next record is signed anew, under a higher number

    def _pin_configured(self) -> None:
        for entry in self.settings.peer:
            identity, static = (bytes.fromhex(part) for part in entry.key.split("."))
            if identity == self.identity.public:
                continue  # one list of peers may serve every member
            known = self.book.get(identity)
            record = PeerRecord.by_hand(identity, static, entry.name, entry.address)
            if known is None or known.record.static_key != static or _differs_unmet(known.record, record):
                self.pinned(self.book.pin(record, "config"))

    def _write_state(self, port: int) -> None:
        state = {"pid": os.getpid(), "port": port, "started": int(self.started), "version": software_version()}
        unfinished = self.home / "daemon.json.new"
        unfinished.write_text(json.dumps(state))
        unfinished.replace(self.home / "daemon.json")


def _differs_unmet(known: PeerRecord, typed: PeerRecord) -> bool:
    """Whether an operator corrected an entry whose peer has not told its own record yet."""
    return known.sequence == 0 and known.encode() != typed.encode()


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
                ready(await nursery.start(daemon.run), daemon.identity.key_text)
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
