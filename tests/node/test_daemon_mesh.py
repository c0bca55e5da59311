"""Daemons meet: invitations, introductions, reconnection, and strangers at the port, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from hansa.config.settings import LimitSettings, NodeSettings, Settings
from hansa.node.daemon import Daemon
from hansa.node.errors import UsageError
from hansa.node.identity import create_identity, load_identity
from hansa.protocols.errors import ConsentError


def make_daemon(home: Path, name: str, **changes: object) -> Daemon:
    home.mkdir(parents=True, exist_ok=True)
    try:
        identity = load_identity(home)
    except Exception:
        identity = create_identity(home)
    settings = Settings(node=NodeSettings(name), limits=LimitSettings(), **changes)  # type: ignore[arg-type]
    return Daemon(home, settings, identity)


@asynccontextmanager
async def league(tmp_path: Path, *names: str) -> AsyncIterator[list[Daemon]]:
    daemons = [make_daemon(tmp_path / name, name) for name in names]
    async with trio.open_nursery() as nursery:
        for daemon in daemons:
            await nursery.start(daemon.run)
        yield daemons
        for daemon in daemons:
            daemon.stop()


async def until(condition: Callable[[], bool], within: float = 10) -> None:
    with trio.fail_after(within):
        while not condition():
            await trio.sleep(0.01)


async def meet(inviter: Daemon, newcomer: Daemon) -> None:
    code = (await inviter.admin.methods["peer.invite"]())["code"]
    await newcomer.admin.methods["peer.join"](code=code)


def connected(daemon: Daemon, count: int) -> bool:
    peers = daemon.net.book.all()
    return len(peers) == count and all(daemon.net.mesh.online(peer.identity) for peer in peers)


async def test_one_introduction_reaches_the_league(tmp_path: Path) -> None:
    async with league(tmp_path, "bank", "bureau", "telecom") as daemons:
        await meet(daemons[0], daemons[1])
        await meet(daemons[0], daemons[2])
        await until(lambda: all(connected(daemon, 2) for daemon in daemons))
        legs = (await daemons[1].admin.methods["node.doctor"]())["legs"]
        assert len(legs) == 4
        assert all(leg["ok"] for leg in legs)
        status = await daemons[2].admin.methods["node.status"]()
        assert {peer["name"] for peer in status["peers"]} == {"bank", "bureau"}
        assert status["warnings"] == []


async def test_a_code_works_once(tmp_path: Path) -> None:
    async with league(tmp_path, "bank", "bureau", "telecom") as daemons:
        code = (await daemons[0].admin.methods["peer.invite"]())["code"]
        await daemons[1].admin.methods["peer.join"](code=code)
        with pytest.raises(ConsentError, match="did not accept the code"):
            await daemons[2].admin.methods["peer.join"](code=code)
        with pytest.raises(ConsentError, match="cannot be read"):
            await daemons[2].admin.methods["peer.join"](code=code[:-3] + "aaa")


async def test_two_nodes_with_one_name_are_refused_by_name(tmp_path: Path) -> None:
    first = make_daemon(tmp_path / "a", "bank")
    second = make_daemon(tmp_path / "b", "bank")
    async with trio.open_nursery() as nursery:
        await nursery.start(first.run)
        await nursery.start(second.run)
        with pytest.raises(ConsentError, match="two nodes would have the name 'bank'"):
            await meet(first, second)
        first.stop()
        second.stop()


async def test_a_killed_peer_is_noticed_and_comes_back(tmp_path: Path) -> None:
    async with league(tmp_path, "bank") as (bank,):
        async with trio.open_nursery() as nursery:
            bureau = make_daemon(tmp_path / "bureau", "bureau")
            await nursery.start(bureau.run)
            await meet(bank, bureau)
            await until(lambda: connected(bank, 1) and connected(bureau, 1))
            bureau.stop()
        await until(lambda: not connected(bank, 1))
        again = make_daemon(tmp_path / "bureau", "bureau")
        async with trio.open_nursery() as nursery:
            await nursery.start(again.run)
            await until(lambda: connected(bank, 1) and connected(again, 1), within=20)
            again.stop()


async def test_a_removed_peer_stays_removed(tmp_path: Path) -> None:
    async with league(tmp_path, "bank", "bureau", "telecom") as daemons:
        await meet(daemons[0], daemons[1])
        await meet(daemons[0], daemons[2])
        await until(lambda: all(connected(daemon, 2) for daemon in daemons))
        await daemons[1].admin.methods["peer.remove"](peer="telecom")
        daemons[0].net.gossip.spread()
        await until(lambda: not daemons[2].net.mesh.online(daemons[1].node.identity.public))
        assert [peer.name for peer in daemons[1].net.book.all()] == ["bank"]
        with pytest.raises(UsageError, match="no peer is called"):
            await daemons[1].admin.methods["peer.remove"](peer="telecom")


@pytest.mark.parametrize(
    "rubbish", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 300, b"HNSA\x02\x01", b"HNSA\x01\x01\xff", b"HNSA\x01\x09"]
)
async def test_garbage_at_the_port_leaves_the_daemon_up(tmp_path: Path, rubbish: bytes) -> None:
    async with league(tmp_path, "bank", "bureau") as daemons:
        stream = await trio.open_tcp_stream("127.0.0.1", daemons[0].net.listener.port)
        async with stream:
            await stream.send_all(rubbish)
            with trio.fail_after(5), suppress(trio.BrokenResourceError):  # closed or reset, either way nothing is said
                assert await stream.receive_some(100) == b""
        await meet(daemons[0], daemons[1])
        await until(lambda: connected(daemons[0], 1))
        assert daemons[0].net.listener.refused >= 1


async def test_pinned_by_hand_on_both_sides(tmp_path: Path) -> None:
    async with league(tmp_path, "bank", "bureau") as (bank, bureau):
        for here, there in ((bank, bureau), (bureau, bank)):
            await here.admin.methods["peer.add"](
                name=there.node.settings.node.name, key=there.node.identity.key_text, address=there.net.own.addresses[0]
            )
        await until(lambda: connected(bank, 1) and connected(bureau, 1))
        await until(lambda: bank.net.book.all()[0].record.sequence > 0)


async def test_a_wrong_key_is_diagnosed(tmp_path: Path) -> None:
    async with league(tmp_path, "bank", "bureau") as (bank, bureau):
        wrong = f"{bureau.node.identity.public.hex()}.{'09' + '00' * 31}"
        await bank.admin.methods["peer.add"](name="bureau", key=wrong, address=bureau.net.own.addresses[0])
        legs = (await bank.admin.methods["node.doctor"]())["legs"]
        assert [leg["ok"] for leg in legs] == [False]
        assert "handshake" in legs[0]["detail"]
        assert "pinned there" in legs[0]["remedy"]


async def test_audit_finds_a_rewritten_log(tmp_path: Path) -> None:
    async with league(tmp_path, "bank", "bureau") as (bank, bureau):
        await meet(bank, bureau)
        await until(lambda: connected(bank, 1) and connected(bureau, 1))
        for number in range(3):
            bank.node.audit.append("test", {"number": number})
        head = bank.node.audit.head()
        assert head is not None
        await bank.net.mesh.send(bureau.node.identity.public, head)
        await until(lambda: len(bureau.node.audit.heads_of(bank.node.identity.public)) == 1)
        verdict = await bank.admin.methods["audit.verify"]()
        assert verdict["ok"]
        assert verdict["heads_checked"] == [{"peer": "bureau", "count": 1, "ok": True}]

        bank.node.store.write("DELETE FROM audit WHERE seq = ?", head.seq)
        verdict = await bank.admin.methods["audit.verify"]()
        assert not verdict["ok"]
        assert "shorter" in verdict["problem"]
        bank.node.audit.append("test", {"number": 99})
        verdict = await bank.admin.methods["audit.verify"]()
        assert not verdict["ok"]
        assert "rewritten" in verdict["problem"]
        bank.node.store.write("UPDATE audit SET body = ? WHERE seq = 2", b"\x80")
        verdict = await bank.admin.methods["audit.verify"]()
        assert "altered at entry 2" in verdict["problem"]
