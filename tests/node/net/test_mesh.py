"""The mesh under peers that misbehave: each costs its own connection, never another's, never the daemon."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
from support.net.members import Member, dial_as, ended, hello, pair, rude, running, until

from hansa.node.identity import Identity
from hansa.node.net import mesh as mesh_module
from hansa.node.net.requests import PROBE
from hansa.protocols.errors import PeerError, PeerLost, PeerMisbehaved, PeerTimeout
from hansa.protocols.wire import messages
from hansa.protocols.wire.limits import CONTROL_MAX_BYTES
from hansa.protocols.wire.messages import Probe, ProbeResult


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
