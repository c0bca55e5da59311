"""The mesh under peers that misbehave: each costs its own connection, never another's, never the daemon."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from hansa.config.settings import SUITES
from hansa.node.identity import Identity
from hansa.node.net import control_link
from hansa.node.net import mesh as mesh_module
from hansa.node.net.connection import Connection, HandshakeParams, Purpose, dial
from hansa.node.net.control_link import ControlLink
from hansa.node.net.listener import Listener
from hansa.node.net.mesh import Mesh
from hansa.node.net.peers import PeerBook
from hansa.node.net.requests import PROBE
from hansa.node.store import Store
from hansa.protocols.errors import PeerError, PeerLost, PeerMisbehaved, PeerTimeout, ProtocolError
from hansa.protocols.wire import messages
from hansa.protocols.wire.consent.statements import Offer
from hansa.protocols.wire.limits import CONTROL_MAX_BYTES
from hansa.protocols.wire.messages import Hello, Probe, ProbeResult
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


async def test_messages_arrive_in_order_and_ups_and_downs_are_told(tmp_path: Path) -> None:
    lower, higher = pair(tmp_path)
    async with running(lower, higher):
        await until(lambda: lower.mesh.online(higher.key) and higher.mesh.online(lower.key))
        for number in range(200):
            await lower.mesh.send(higher.key, Probe(number, bytes(32)))
        await until(lambda: len(higher.got) == 200)
        assert [message.request for _, message in higher.got] == list(range(200))
        assert {sender for sender, _ in higher.got} == {lower.key}
        await until(lambda: lower.events == ["up"] == higher.events)
        higher.mesh.drop_peer(lower.key)
        await until(lambda: higher.events == ["up", "down"])
    assert lower.mesh.link(higher.key) is None


async def test_a_peer_is_asked_and_answers(tmp_path: Path) -> None:
    lower, higher = pair(tmp_path)

    async def probed(sender: bytes, probe: Probe) -> None:
        await higher.mesh.send(sender, ProbeResult(probe.request, probe.target, True, 5, "connected"))

    higher.mesh.handle(Probe, probed)
    async with running(lower, higher):
        await until(lambda: lower.mesh.online(higher.key) and higher.mesh.online(lower.key))
        assert (await lower.mesh.request(higher.key, PROBE, bytes(32))).latency_us == 5
        assert (await lower.mesh.request(higher.key, PROBE, target=b"t" * 32)).target == b"t" * 32


@pytest.mark.parametrize("replaced", [True, False])
async def test_a_request_ends_with_its_connection(tmp_path: Path, replaced: bool) -> None:
    """The answer to what was asked on one connection counts on no other, nor does another peer's."""
    async with rude(tmp_path) as (m, peer, conn):
        await conn.send(messages.encode(hello("rude")))
        await until(lambda: m.mesh.online(peer.public))
        errors: list[PeerError] = []

        async def ask() -> None:
            try:
                await m.mesh.request(peer.public, PROBE, bytes(32))
            except PeerError as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            while b"Probe" not in bytes(await conn.receive()):
                pass
            if replaced:
                again = await dial_as(peer, m)
                await again.send(messages.encode(hello("rude")))
                await again.send(messages.encode(ProbeResult(1, bytes(32), True, 0, "")))
            else:
                await conn.close()
        assert [(type(error), error.message) for error in errors] == [
            (PeerLost, "the connection to rude ended before it answered")
        ]
        if replaced:
            await again.close()


async def test_sending_to_nobody(tmp_path: Path) -> None:
    lower, higher = pair(tmp_path)
    lower.book.pin(higher.identity.record("telecom", (), 1), "added")
    with pytest.raises(PeerLost, match="telecom is offline"):
        await lower.mesh.send(higher.key, Probe(1, bytes(32)))
    with pytest.raises(PeerLost, match="telecom is offline"):
        await lower.mesh.request(higher.key, PROBE, bytes(32))
    await lower.mesh.broadcast([higher.key], Probe(1, bytes(32)))
    with pytest.raises(PeerLost, match="telecom has no address"):
        await lower.mesh.try_dial(lower.book.all()[0])
    for m in (lower, higher):
        m.store.close()


async def test_when_both_dial_the_lower_ones_connection_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_module, "HIGHER_WAITS_S", 0)
    for round_number in range(5):
        folder = tmp_path / str(round_number)
        folder.mkdir()
        lower, higher = pair(folder)
        async with running(lower, higher):
            with trio.fail_after(10):
                while not _agree(lower, higher):
                    await trio.sleep(0.01)
            await lower.mesh.send(higher.key, Probe(1, bytes(32)))
            with trio.fail_after(10):
                while not higher.got:
                    await trio.sleep(0.01)


def _agree(lower: Member, higher: Member) -> bool:
    one, two = lower.mesh.link(higher.key), higher.mesh.link(lower.key)
    return (
        one is not None
        and two is not None
        and one.by_lower
        and two.by_lower
        and one.conn.handshake_hash == two.conn.handshake_hash
    )


async def test_the_higher_one_dials_where_the_lower_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_module, "HIGHER_WAITS_S", 0.05)
    lower, higher = pair(tmp_path)
    async with running(lower, higher):
        await until(lambda: lower.mesh.online(higher.key))
        nowhere = higher.identity.record(higher.name, (), 2)
        lower.book.learn(nowhere, "x", accept_new=False)
        lower.mesh.link(higher.key).scope.cancel()  # type: ignore[union-attr]
        await until(lambda: higher.events.count("up") == 2)
        link = lower.mesh.link(higher.key)
        assert link is not None
        assert not link.by_lower


async def test_an_error_in_a_handler_ends_nothing(tmp_path: Path) -> None:
    async with rude(tmp_path) as (m, peer, conn):
        calls = []

        async def handler(sender: bytes, message: Probe) -> None:
            calls.append(message.request)
            if message.request == 0:
                raise ZeroDivisionError
            if message.request == 1:
                raise PeerTimeout("late", remedy="wait")
            raise PeerMisbehaved("enough", remedy="stop")

        m.mesh.handle(Probe, handler)
        await conn.send(messages.encode(hello("rude")))
        for number in range(3):
            await conn.send(messages.encode(Probe(number, bytes(32))))
        error = await ended(conn)
        assert calls == [0, 1, 2]
        assert "enough" in error.message
        await until(lambda: not m.mesh.online(peer.public))
        assert m.mesh.last_error[peer.public].message == "enough"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([b"\xc1"], "do not decode"),
        ([messages.encode(Probe(1, bytes(32)))], "Hello first"),
        ([messages.encode(hello("a")), messages.encode(hello("a"))], "Hello twice"),
        ([messages.encode(hello("a")), b"\x80"], "lacks 'type'"),
        ([messages.encode(hello("a")), b""], "do not decode"),
        ([messages.encode(hello("a")), b"x" * (CONTROL_MAX_BYTES + 1)], "a record of kind 1"),
    ],
)
async def test_bad_messages_end_the_connection_and_the_peer_can_come_back(
    tmp_path: Path, said: list[bytes], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with rude(tmp_path) as (m, peer, conn):
        try:
            for data in said:
                await conn.send(data)
        except PeerError:
            pass  # it was dropped while still being sent: what was announced is refused, not what has come
        await ended(conn)  # with the reason, unless the reset overtakes it
        await until(lambda: reason in caplog.text)
        again = await dial_as(peer, m)
        await again.send(messages.encode(hello("rude")))
        await until(lambda: m.mesh.online(peer.public))
        await again.close()


async def test_a_connection_without_hello_displaces_nothing(tmp_path: Path) -> None:
    async with rude(tmp_path) as (m, peer, conn):
        await conn.send(messages.encode(hello("rude")))
        await until(lambda: m.mesh.online(peer.public))
        silent = [await dial_as(peer, m) for _ in range(mesh_module.MAX_BEGINNING)]
        with pytest.raises(PeerError, match="during the handshake"):
            await dial_as(peer, m)
        await conn.send(messages.encode(Probe(7, bytes(32))))
        await until(lambda: len(m.got) == 1)
        for one in silent:
            await one.close()
        await until(lambda: not m.mesh._beginning[peer.public])
        assert m.mesh.online(peer.public)


async def test_a_wrong_key_or_an_unknown_dialer_is_closed_and_counted(tmp_path: Path) -> None:
    async with rude(tmp_path) as (m, peer, _):
        before = m.listener.refused
        with pytest.raises(PeerError, match="during the handshake"):
            await dial_as(peer, m, secret=os.urandom(32))
        stranger = Identity.from_secrets(os.urandom(32), os.urandom(32), os.urandom(32))
        with pytest.raises(PeerError, match="during the handshake"):
            await dial_as(stranger, m)
        await until(lambda: m.listener.refused == before + 2)


async def test_a_removed_peer_is_cut_off_at_once(tmp_path: Path) -> None:
    async with rude(tmp_path) as (m, peer, conn):
        await conn.send(messages.encode(hello("rude")))
        await until(lambda: m.mesh.online(peer.public))
        m.book.remove(peer.public)
        m.mesh.drop_peer(peer.public)
        await ended(conn)
        with pytest.raises(PeerError, match="during the handshake"):
            await dial_as(peer, m)


async def test_a_peer_that_takes_nothing_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_link, "OUTGOING_BYTES", 8 << 20)
    async with rude(tmp_path) as (m, peer, conn):
        await conn.send(messages.encode(hello("rude")))
        await until(lambda: m.mesh.online(peer.public))
        big = Offer(bytes(1 << 20), ())
        for _ in range(9):
            await m.mesh.broadcast([peer.public], big)
        await until(lambda: not m.mesh.online(peer.public))
        assert "too slowly" in m.mesh.last_error[peer.public].message


async def test_more_messages_than_the_queue_holds_drop_the_peer(tmp_path: Path) -> None:
    async with rude(tmp_path) as (m, peer, conn):
        await conn.send(messages.encode(hello("rude")))
        await until(lambda: m.mesh.online(peer.public))
        for number in range(control_link.OUTGOING_MESSAGES + 2):
            await m.mesh.broadcast([peer.public], Probe(number, bytes(32)))
        await until(lambda: not m.mesh.online(peer.public))


async def test_a_message_no_peer_would_read_is_our_own_error(tmp_path: Path) -> None:
    async with rude(tmp_path) as (m, peer, conn):
        await conn.send(messages.encode(hello("rude")))
        await until(lambda: m.mesh.online(peer.public))
        with pytest.raises(ProtocolError, match="more than a peer reads"):
            await m.mesh.send(peer.public, Offer(bytes(CONTROL_MAX_BYTES), ()))
        assert m.mesh.online(peer.public)


async def test_a_peer_that_talks_without_end_is_read_slowly(autojump_clock: trio.testing.MockClock) -> None:
    class Talker:
        last_heard = 0.0

        def limit_messages(self, most: int) -> None: ...

        async def receive(self) -> bytes:
            return messages.encode(Probe(1, bytes(32)))

    link = ControlLink(Talker(), by_lower=True, address="")  # type: ignore[arg-type]
    began, heard_at = trio.current_time(), []

    async def hear(message: object) -> None:
        heard_at.append(trio.current_time() - began)
        if len(heard_at) == control_link.BURST + control_link.RATE_PER_S * 10:
            raise PeerMisbehaved("enough", remedy="stop")

    with pytest.raises(PeerMisbehaved):
        await link._read(hear)
    assert heard_at[control_link.BURST // 2] == 0
    assert heard_at[-1] == pytest.approx(10, rel=0.1)


async def test_a_callback_that_fails_ends_nothing(tmp_path: Path) -> None:
    lower, higher = pair(tmp_path)

    async def fail(identity: bytes) -> None:
        raise ZeroDivisionError

    lower.mesh.on_up(fail)
    lower.mesh.on_down(fail)
    async with running(lower, higher):
        await until(lambda: lower.mesh.online(higher.key) and higher.mesh.online(lower.key))
        higher.mesh.link(lower.key).scope.cancel()  # type: ignore[union-attr]
        await until(lambda: lower.events == ["up", "down", "up"])


async def test_a_peer_whose_messages_take_long_is_heard_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signatures and the disk cost more than the bytes they came in: no peer may have all of the daemon's time."""
    monkeypatch.setattr(control_link, "BURST", 20.0)
    async with rude(tmp_path) as (m, _, conn):
        heard = []

        async def slow(sender: bytes, message: Probe) -> None:
            time.sleep(0.02)  # noqa: ASYNC251  # as work does that leaves no room for others
            heard.append(message.request)

        m.mesh.handle(Probe, slow)
        await conn.send(messages.encode(hello("rude")))
        for number in range(100):
            await conn.send(messages.encode(Probe(number, bytes(32))))
        await trio.sleep(1)
        assert 5 <= len(heard) <= 25  # of the 50 that there is time for
        await conn.close()
