"""What either side of a control link can make the other hold or do is bounded."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import trio
from support.net.members import hello, rude, until

from hansa.node.net import control_link
from hansa.node.net.control_link import ControlLink
from hansa.protocols.errors import PeerMisbehaved, ProtocolError
from hansa.protocols.wire import messages
from hansa.protocols.wire.consent.statements import Offer
from hansa.protocols.wire.limits import CONTROL_MAX_BYTES
from hansa.protocols.wire.messages import Probe


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
