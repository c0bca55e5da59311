"""Members of a league that are nothing but a mesh and a listener, and a peer that the test speaks for."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from hansa.config.settings import SUITES
from hansa.node.identity import Identity
from hansa.node.net.connection import Connection, HandshakeParams, Purpose, dial
from hansa.node.net.listener import Listener
from hansa.node.net.mesh import Mesh
from hansa.node.net.peers import PeerBook
from hansa.node.store import Store
from hansa.protocols.errors import PeerError
from hansa.protocols.wire.messages import Hello, Probe
from hansa.protocols.wire.signing import tagged_hash


def hello(name: str) -> Hello:
    return Hello(name, "1", 0, (), "")


@dataclass
class Member:
    name: str
    identity: Identity
    book: PeerBook
    mesh: Mesh
    listener: Listener
    store: Store
    got: list[tuple[bytes, Any]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    @property
    def key(self) -> bytes:
        return self.identity.public


def member(home: Path, name: str, identity: Identity | None = None) -> Member:
    home.mkdir(exist_ok=True)
    identity = identity or Identity.from_secrets(os.urandom(32), os.urandom(32), os.urandom(32))
    store = Store(home)
    book = PeerBook(store, identity.public, name)
    mesh = Mesh(identity, book, suites=SUITES, hello=lambda: hello(name))
    made = Member(name, identity, book, mesh, Listener({Purpose.CONTROL: mesh.accept}), store)

    async def probed(sender: bytes, message: Probe) -> None:
        made.got.append((sender, message))

    async def up(identity: bytes) -> None:
        made.events.append("up")

    async def down(identity: bytes) -> None:
        made.events.append("down")

    mesh.handle(Probe, probed)
    mesh.on_up(up)
    mesh.on_down(down)
    return made


@asynccontextmanager
async def running(*members: Member) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for m in members:
            await nursery.start(m.listener.run, "127.0.0.1", 0)
        for m in members:
            for other in members:
                if other is not m:
                    address = (f"127.0.0.1:{other.listener.port}",)
                    m.book.pin(other.identity.record(other.name, address, 1), "added")
        for m in members:
            await nursery.start(m.mesh.run)
        yield
        nursery.cancel_scope.cancel()
    for m in members:
        m.store.close()


async def until(condition: Callable[[], bool], within: float = 10) -> None:
    with trio.fail_after(within):
        while not condition():
            await trio.sleep(0.01)


def pair(tmp_path: Path) -> tuple[Member, Member]:
    """(lower, higher): the first dials."""
    made = sorted((member(tmp_path / name, name) for name in ("bank", "bureau")), key=lambda m: m.key)
    return made[0], made[1]


def token(dialer: Identity, dialed: Identity) -> bytes:
    return tagged_hash("hansa-control-token", dialer.static.public, dialed.static.public)[:16]


async def dial_as(dialer: Identity, to: Member, secret: bytes | None = None) -> Connection:
    """A control connection by hand, as a peer that runs other software would."""
    params = HandshakeParams("KK", secret or dialer.static.secret, SUITES, remote_static=to.identity.static.public)
    return await dial(
        "127.0.0.1", to.listener.port, purpose=Purpose.CONTROL, token=token(dialer, to.identity), params=params
    )


@asynccontextmanager
async def rude(tmp_path: Path) -> AsyncIterator[tuple[Member, Identity, Connection]]:
    """A member, and a connection from a peer it has pinned that the test speaks for."""
    m = member(tmp_path / "bank", "bank")
    peer = Identity.from_secrets(os.urandom(32), os.urandom(32), os.urandom(32))
    m.book.pin(peer.record("rude", (), 1), "added")
    async with running(m):
        conn = await dial_as(peer, m)
        try:
            yield m, peer, conn
        finally:
            await conn.close()


async def ended(conn: Connection) -> PeerError:
    """Drain a connection to its end, and say how it ended."""
    with trio.fail_after(10):
        while True:
            try:
                await conn.receive()
            except PeerError as error:
                return error
