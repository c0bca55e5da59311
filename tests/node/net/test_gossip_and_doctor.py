"""What members pass on of each other, and what `hansa doctor` says of a leg that fails."""

from __future__ import annotations

import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from hansa.config.settings import ListenSettings, NodeSettings, PeerEntry, PeerSettings, Settings
from hansa.node.daemon import Daemon
from hansa.node.errors import UsageError
from hansa.node.identity import create_identity, load_identity
from hansa.node.net import doctor as doctor_module
from hansa.node.net import mesh as mesh_module
from hansa.node.net.requests import PROBE
from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire.messages import Records
from hansa.protocols.wire.record import PeerRecord


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_module, "HIGHER_WAITS_S", 0.1)


def make(home: Path, name: str, **sections: Any) -> Daemon:
    if not home.exists():
        home.mkdir()
        create_identity(home)
    return Daemon(home, Settings(node=NodeSettings(name), **sections), load_identity(home))


@asynccontextmanager
async def running(*daemons: Daemon) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for daemon in daemons:
            await nursery.start(daemon.run)
        yield
        for daemon in daemons:
            daemon.stop()


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(15):
        while not condition():
            await trio.sleep(0.01)


def ask(daemon: Daemon, method: str, **params: Any) -> Awaitable[Any]:
    return daemon.admin.methods[method](**params)


async def meet(inviter: Daemon, newcomer: Daemon) -> None:
    await ask(newcomer, "peer.join", code=(await ask(inviter, "peer.invite"))["code"])


def all_online(*daemons: Daemon) -> bool:
    return all(
        one.net.mesh.online(other.node.identity.public) for one in daemons for other in daemons if one is not other
    )


async def test_who_declines_introductions_knows_only_whom_it_met(tmp_path: Path) -> None:
    bank, bureau = make(tmp_path / "bank", "bank"), make(tmp_path / "bureau", "bureau")
    careful = make(tmp_path / "telecom", "telecom", peers=PeerSettings(accept_introductions=False))
    async with running(bank, bureau, careful):
        await meet(bank, bureau)
        await meet(bank, careful)
        await until(lambda: len(bureau.net.book.all()) == 2)
        await until(lambda: all_online(bank, careful))
        assert [peer.name for peer in careful.net.book.all()] == ["bank"]
        kinds = [(e["kind"], e["body"]["how"]) for e in bureau.node.audit.shown() if e["kind"] == "peer-pinned"]
        assert kinds == [("peer-pinned", "joined"), ("peer-pinned", "introduced by bank")]


async def test_a_node_that_moved_is_found_again_through_the_others(tmp_path: Path) -> None:
    bank, bureau = make(tmp_path / "bank", "bank"), make(tmp_path / "bureau", "bureau")
    async with running(bank):
        async with running(bureau):
            await meet(bank, bureau)
            await until(lambda: all_online(bank, bureau))
        moved = make(tmp_path / "bureau", "bureau")
        moved.node.store.set_meta("port", bytes(4))  # as if another program had taken it
        async with running(moved):
            await until(lambda: all_online(bank, moved))
            peer = bank.net.book.get(moved.node.identity.public)
            assert peer is not None
            await until(lambda: bank.net.book.all()[0].record.addresses == moved.net.own.addresses)


async def test_a_home_back_from_a_backup_speaks_with_a_higher_number(tmp_path: Path) -> None:
    bank, bureau = make(tmp_path / "bank", "bank"), make(tmp_path / "bureau", "bureau")
    async with running(bank):
        async with running(bureau):
            await meet(bank, bureau)
            await until(lambda: all_online(bank, bureau))
        shutil.copytree(tmp_path / "bureau", tmp_path / "backup")
        later = make(tmp_path / "bureau", "bureau", listen=ListenSettings(advertise=("127.0.0.1:9",)))
        later.node.store.set_meta("record-sequence", (int(time.time()) + 1000).to_bytes(8, "big"))
        async with running(later):
            await until(lambda: bank.net.book.all()[0].record.addresses == ("127.0.0.1:9",))
        restored = make(tmp_path / "backup", "bureau")
        async with running(restored):
            await until(lambda: bank.net.book.all()[0].record.addresses == restored.net.own.addresses)
            assert bank.net.book.warnings == []


async def test_forged_records_are_the_passers_fault_and_contradictions_the_signers(tmp_path: Path) -> None:
    bank, bureau = make(tmp_path / "bank", "bank"), make(tmp_path / "bureau", "bureau")
    stranger = create_identity(tmp_path)
    record = stranger.record("stranger", ("127.0.0.1:9",), 4)
    with pytest.raises(SecurityError, match="does not verify"):
        bank.net.gossip.learn((replace(record, name="bank2").encode(),), "bureau")
    with pytest.raises(PeerMisbehaved, match="by hand"):
        bank.net.gossip.learn((PeerRecord.by_hand(b"\1" * 32, b"\2" * 32, "y", "127.0.0.1:9").encode(),), "bureau")
    assert bank.net.book.all() == []
    async with running(bank, bureau):
        await meet(bank, bureau)
        await until(lambda: all_online(bank, bureau))
        two = stranger.record("stranger", ("127.0.0.1:10",), 4)
        await bureau.net.mesh.send(bank.node.identity.public, Records((record.encode(), two.encode())))
        await until(lambda: len(bank.net.book.warnings) == 1)
        assert "signed two different records" in bank.net.book.warnings[0]
        assert all_online(bank, bureau)
        status = await ask(bank, "node.status")
        assert any("two different records" in warning["text"] for warning in status["warnings"])


async def test_peers_of_the_configuration(tmp_path: Path) -> None:
    bureau = make(tmp_path / "bureau", "bureau")
    bank_home = tmp_path / "bank"
    bank_home.mkdir()
    key = create_identity(bank_home).key_text
    async with running(bureau):
        entries = (
            PeerEntry("bank", key, "127.0.0.1:1"),  # one list for all members: one's own entry is passed over
            PeerEntry("bureau", bureau.node.identity.key_text, "127.0.0.1:9"),
        )
        wrong = make(bank_home, "bank", peer=entries)
        assert [(p.name, p.how) for p in wrong.net.book.all()] == [("bureau", "config")]
        wrong.node.store.close()
        right = make(bank_home, "bank", peer=(entries[0], replace(entries[1], address=bureau.net.own.addresses[0])))
        async with running(right):
            await ask(bureau, "peer.add", name="bank", key=key, address=right.net.own.addresses[0])
            await until(lambda: all_online(right, bureau))
            removed = await ask(right, "peer.remove", peer="bureau")
            assert "hansa.toml" in removed["note"]


async def test_a_node_on_every_interface_says_that_it_needs_an_address(tmp_path: Path) -> None:
    bank = make(tmp_path / "bank", "bank", listen=ListenSettings(host="0.0.0.0"))
    async with running(bank):
        assert bank.net.own.addresses == ()
        status = await ask(bank, "node.status")
        assert "tells peers no address" in status["warnings"][0]["text"]
        with pytest.raises(UsageError, match="does not say where newcomers reach it"):
            await ask(bank, "peer.invite")
    told = make(tmp_path / "told", "told", listen=ListenSettings(host="0.0.0.0", advertise=("bank.example:7400",)))
    assert told.net.own.addresses == ("bank.example:7400",)
    told.node.store.close()


# --- doctor ------------------------------------------------------------------------------------------------------


async def closed_port() -> int:
    async with _listener() as listener:
        return int(listener.socket.getsockname()[1])


@asynccontextmanager
async def _listener() -> AsyncIterator[trio.SocketListener]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        yield listener


async def leg_of(bank: Daemon, address: str) -> dict[str, Any]:
    await ask(bank, "peer.add", name="bureau", key=f"{'ab' * 32}.{'cd' * 32}", address=address)
    (leg,) = (await ask(bank, "node.doctor"))["legs"]
    assert (leg["from"], leg["to"], leg["ok"]) == ("bank", "bureau", False)
    return dict(leg)


async def test_doctor_tells_a_refused_connection_and_an_unknown_name(tmp_path: Path) -> None:
    bank = make(tmp_path / "bank", "bank")
    async with running(bank):
        port = await closed_port()
        leg = await leg_of(bank, f"127.0.0.1:{port}")
        assert "refused" in leg["detail"]
        assert f"listens at 127.0.0.1:{port}" in leg["remedy"]
    other = make(tmp_path / "other", "other")
    async with running(other):
        await ask(other, "peer.add", name="x", key=f"{'ab' * 32}.{'cd' * 32}", address="no.such.host.invalid:7400")
        (leg,) = (await ask(other, "node.doctor"))["legs"]
        assert "no.such.host.invalid" in leg["detail"]
        assert "not known" in leg["detail"] or "resolution" in leg["detail"]


async def test_doctor_tells_another_program_at_the_address(tmp_path: Path) -> None:
    async def web(stream: trio.SocketStream) -> None:
        await stream.receive_some(1000)
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    bank = make(tmp_path / "bank", "bank")
    async with running(bank), _listener() as listener, trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, web, [listener])
        leg = await leg_of(bank, f"127.0.0.1:{listener.socket.getsockname()[1]}")
        assert "not a hansa preamble" in leg["detail"]
        assert "another program listens at" in leg["remedy"]
        nursery.cancel_scope.cancel()


async def test_doctor_tells_one_sided_pins(tmp_path: Path) -> None:
    bank, bureau = make(tmp_path / "bank", "bank"), make(tmp_path / "bureau", "bureau")
    async with running(bank, bureau):
        key, address = bureau.node.identity.key_text, bureau.net.own.addresses[0]
        await ask(bank, "peer.add", name="bureau", key=key, address=address)
        (leg,) = (await ask(bank, "node.doctor"))["legs"]
        assert not leg["ok"]
        assert "check at bureau that this node is pinned there" in leg["remedy"]


async def test_doctor_tells_clocks_apart_and_what_the_others_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, bureau = make(tmp_path / "bank", "bank"), make(tmp_path / "bureau", "bureau")
    telecom = make(tmp_path / "telecom", "telecom", peers=PeerSettings(accept_introductions=False))
    async with running(bank, bureau, telecom):
        await meet(bank, bureau)
        await meet(bank, telecom)
        await until(lambda: all_online(bank, bureau) and all_online(bank, telecom))
        legs = {(leg["from"], leg["to"]): leg for leg in (await ask(bank, "node.doctor"))["legs"]}
        assert legs["bank", "bureau"]["ok"]
        assert legs["telecom", "bureau"]["detail"] == "not pinned there"
        assert not legs["bureau", "telecom"]["ok"]
        link = bank.net.mesh.link(bureau.node.identity.public)
        assert link is not None
        link.skew_s = 3600.0
        legs = {(leg["from"], leg["to"]): leg for leg in (await ask(bank, "node.doctor"))["legs"]}
        assert "clock is +3600 s off" in legs["bank", "bureau"]["detail"]
        assert "NTP" in legs["bank", "bureau"]["remedy"]
        status = await ask(bank, "node.status")
        assert any("clock of bureau" in warning["text"] for warning in status["warnings"])


async def test_doctor_does_not_wait_for_a_peer_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_module, "PROBE", replace(PROBE, deadline_s=0.1))

    async def mute(sender: bytes, probe: object) -> None: ...

    bank, bureau, telecom = (make(tmp_path / name, name) for name in ("bank", "bureau", "telecom"))
    async with running(bank, bureau, telecom):
        await meet(bank, bureau)
        await meet(bank, telecom)
        await until(lambda: all_online(bank, bureau, telecom))
        bureau.net.mesh.handle(doctor_module.Probe, mute)
        legs = {(leg["from"], leg["to"]): leg for leg in (await ask(bank, "node.doctor"))["legs"]}
        assert legs["bureau", "telecom"]["detail"] == "bureau did not say"
        assert legs["telecom", "bureau"]["ok"]
