"""Each address is dialled in turn, and a loop that finds nobody dials less and less often."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from hansa.config.errors import HansaError
from hansa.config.settings import SUITES
from hansa.node.identity import Identity
from hansa.node.net import dialler
from hansa.node.net.connection import HandshakeParams, Purpose
from hansa.node.net.dialler import Backoff, dial_any
from hansa.node.net.mesh import BACKOFF_S, HIGHER_WAITS_S, Mesh
from hansa.node.net.peers import PeerBook
from hansa.node.store import Store
from hansa.node.worker import links
from hansa.node.worker.links import LinkTerms, PeerTerms, Rendezvous
from hansa.protocols.errors import PeerLost, PeerMisbehaved, PeerTimeout, ProtocolError, SecurityError
from hansa.protocols.wire.messages import Hello

ADDRESSES = ("one:1", "two:2", "three:3")
PARAMS = HandshakeParams("KK", bytes(32), SUITES, remote_static=bytes(32))


class Dials:
    """Stands in for ``connection.dial``: what was dialled and when; ``errors`` by host, "connected" where there is none."""

    def __init__(self) -> None:
        self.made: list[tuple[str, int]] = []
        self.at: list[float] = []
        self.errors: dict[str, HansaError] = {}
        self.takes_s = 0.0

    async def __call__(self, host: str, port: int, **_: Any) -> str:
        self.made.append((host, port))
        self.at.append(trio.current_time())
        await trio.sleep(self.takes_s)
        if host in self.errors:
            raise self.errors[host]
        return "connected"


@pytest.fixture
def dials(monkeypatch: pytest.MonkeyPatch) -> Dials:
    made = Dials()
    monkeypatch.setattr(dialler, "dial", made)
    return made


async def dialled(*addresses: str) -> tuple[Any, str]:
    return await dial_any("bureau", addresses, purpose=Purpose.CONTROL, token=bytes(16), params=PARAMS)


@pytest.mark.parametrize(
    "error", [PeerLost("x", remedy="x"), PeerTimeout("x", remedy="x"), SecurityError("x", remedy="x")]
)
async def test_the_first_address_that_answers_is_taken(dials: Dials, error: HansaError) -> None:
    dials.errors["one"] = error
    assert await dialled(*ADDRESSES) == ("connected", "two:2")
    assert dials.made == [("one", 1), ("two", 2)]


async def test_where_none_answers_the_last_ones_error_is_raised(dials: Dials) -> None:
    for host in ("one", "two"):
        dials.errors[host] = PeerLost(f"{host} is down", remedy="start it")
    dials.errors["three"] = PeerMisbehaved("three is no node", remedy="correct the address")
    with pytest.raises(PeerMisbehaved, match="three is no node"):
        await dialled(*ADDRESSES)
    assert len(dials.made) == 3


async def test_a_peer_without_an_address_is_named(dials: Dials) -> None:
    with pytest.raises(PeerLost, match="bureau has no address"):
        await dialled()


async def test_our_own_error_is_not_the_addresss(dials: Dials) -> None:
    dials.errors["one"] = ProtocolError("a payload that is too long", remedy="report this")
    with pytest.raises(ProtocolError, match="too long"):
        await dialled(*ADDRESSES)
    assert len(dials.made) == 1


async def test_pauses_grow_up_to_the_last_and_begin_anew(autojump_clock: MockClock) -> None:
    backoff, began = Backoff((1, 2, 4)), trio.current_time()
    passed = []
    for number in range(7):
        if number == 5:
            backoff.reset()
        await backoff.pause()
        passed.append(trio.current_time() - began)
        began = trio.current_time()
    assert passed == [1, 2, 4, 4, 4, 1, 2]


async def test_the_mesh_dials_a_peer_that_is_down_less_and_less_often(
    autojump_clock: MockClock, tmp_path: Path, dials: Dials
) -> None:
    lower, higher = sorted(
        (Identity.from_secrets(bytes([n]) * 32, bytes([n + 8]) * 32, bytes(32)) for n in (1, 2)), key=lambda i: i.public
    )
    dials.errors["nowhere"] = PeerLost("it is down", remedy="start it")
    for me, peer, waits in ((lower, higher, 0.0), (higher, lower, HIGHER_WAITS_S)):
        home = tmp_path / str(waits)
        home.mkdir()
        store = Store(home)
        book = PeerBook(store, me.public, "bank")
        book.pin(peer.record("bureau", ("nowhere:1",), 1), "added")
        mesh = Mesh(me, book, suites=SUITES, hello=lambda: Hello("bank", "1", 0, (), ""))
        dials.at, began = [], trio.current_time()
        with trio.move_on_after(60):
            await mesh.run()
        store.close()
        gaps = [later - earlier for earlier, later in zip(dials.at, dials.at[1:], strict=False)]
        assert dials.at[0] - began == pytest.approx(waits)
        assert gaps == pytest.approx([*BACKOFF_S, *[BACKOFF_S[-1]] * (len(gaps) - len(BACKOFF_S))])
        assert mesh.last_error[peer.public].message == "it is down"


@pytest.mark.parametrize("first", [True, False])
async def test_a_worker_dials_until_its_deadline(autojump_clock: MockClock, dials: Dials, first: bool) -> None:
    dials.errors = {host: PeerLost(f"{host} is down", remedy="start it") for host in ("one", "two")}
    ours, theirs = (b"a" * 32, b"b" * 32) if first else (b"b" * 32, b"a" * 32)
    here = LinkTerms(0, ours, bytes(32), 0, bytes(32), b"certificate", SUITES)
    peer = PeerTerms(1, "bureau", theirs, b"\x09" + bytes(31), ("one:1", "two:2"), bytes(16))
    began = trio.current_time()
    with pytest.raises(
        PeerTimeout, match="no connection to the worker of bureau could be made within 60 s: two is down"
    ):
        await Rendezvous(here, peer).link()
    assert trio.current_time() - began == pytest.approx(links.LINK_DEADLINE_S)
    rounds = dials.at[::2]
    assert rounds[0] - began == pytest.approx(0 if first else links.SECOND_DIALER_S)
    gaps = [later - earlier for earlier, later in itertools.pairwise(rounds)]
    assert gaps[: len(links.BACKOFF_S)] == pytest.approx(links.BACKOFF_S)
    assert {round(gap, 6) for gap in gaps[len(links.BACKOFF_S) :]} == {links.BACKOFF_S[-1]}
