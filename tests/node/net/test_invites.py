"""Invitations over real sockets: once, in time, by whoever holds the code and nobody else."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from hansa.config.settings import SUITES
from hansa.node.errors import UsageError
from hansa.node.identity import Identity
from hansa.node.net import invites as invites_module
from hansa.node.net.connection import HandshakeParams, Purpose, dial
from hansa.node.net.invites import MAX_OPEN, MAX_TTL_S, Invites
from hansa.node.net.listener import Listener
from hansa.node.net.peers import Peer, PeerBook
from hansa.node.store import Store
from hansa.protocols.errors import ConsentError, PeerError, PeerTimeout, SecurityError
from hansa.protocols.wire.invitation import Invitation
from hansa.protocols.wire.limits import CONTROL_MAX_BYTES
from hansa.protocols.wire.record import PeerRecord


class Node:
    """The parts of a node that meet."""

    def __init__(self, home: Path, name: str, addresses: tuple[str, ...] | None = None) -> None:
        home.mkdir()
        self.identity = Identity.from_secrets(os.urandom(32), os.urandom(32), os.urandom(32))
        self.name, self._addresses = name, addresses
        self.store = Store(home)
        self.book = PeerBook(self.store, self.identity.public, name)
        self.told: list[Peer] = []
        self.learnt: list[tuple[int, str]] = []
        self.invites = Invites(
            self.store,
            self.identity,
            self.book,
            suites=SUITES,
            record=self.record,
            pinned=self.told.append,
            learn=lambda records, introducer: self.learnt.append((len(records), introducer)),
        )
        self.listener = Listener({Purpose.MEET: self.invites.accept})

    def record(self) -> PeerRecord:
        addresses = (f"127.0.0.1:{self.listener.port}",) if self._addresses is None else self._addresses
        return self.identity.record(self.name, addresses, 1)

    async def dial(self, invitation: Invitation, to: Node, payload: bytes | None = None) -> object:
        """The newcomer's handshake by hand."""
        params = HandshakeParams(
            "XXpsk0",
            self.identity.static.secret,
            SUITES,
            payload=self.record().encode() if payload is None else payload,
            psk=invitation.psk,
        )
        conn = await dial("127.0.0.1", to.listener.port, purpose=Purpose.MEET, token=invitation.token, params=params)
        try:
            with trio.fail_after(5):
                return await conn.receive()
        finally:
            await conn.close()


@asynccontextmanager
async def nodes(tmp_path: Path, *names: str) -> AsyncIterator[list[Node]]:
    made = [Node(tmp_path / str(number), name) for number, name in enumerate(names)]
    async with trio.open_nursery() as nursery:
        for node in made:
            await nursery.start(node.listener.run, "127.0.0.1", 0)
        yield made
        nursery.cancel_scope.cancel()
    for node in made:
        node.store.close()


async def test_both_pin_each_other_and_the_newcomer_hears_of_the_others(tmp_path: Path) -> None:
    async with nodes(tmp_path, "bank", "bureau", "telecom") as (bank, bureau, telecom):
        for newcomer in (bureau, telecom):
            peer = await newcomer.invites.join(bank.invites.create(60).code())
            assert (peer.name, peer.how) == ("bank", "joined")
        assert [(p.name, p.how) for p in bank.told] == [("bureau", "invited"), ("telecom", "invited")]
        assert (bureau.learnt, telecom.learnt) == ([(0, "bank")], [(1, "bank")])


async def test_a_code_works_once_also_for_two_at_the_same_time(tmp_path: Path) -> None:
    async with nodes(tmp_path, "bank", "bureau", "telecom") as (bank, bureau, telecom):
        code = bank.invites.create(60).code()
        outcomes = []

        async def join(node: Node) -> None:
            try:
                outcomes.append((await node.invites.join(code)).name)
            except ConsentError as error:
                outcomes.append(error.message)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(join, bureau)
            nursery.start_soon(join, telecom)
        assert len(bank.book.all()) == 1
        assert outcomes.count("bank") == 1
        assert [o for o in outcomes if "accept the code" in o or "used already" in o]


async def test_a_code_expires_at_the_inviter_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with nodes(tmp_path, "bank", "bureau") as (bank, bureau):
        invitation = bank.invites.create(60)
        bank.store.write("UPDATE invites SET expires = ?", int(time.time()))
        with pytest.raises(ConsentError, match="did not accept the code"):
            await bureau.invites.join(invitation.code())
        with pytest.raises(ConsentError, match="has expired"):
            await bureau.invites.join(replace(invitation, expires=1).code())
        assert bank.listener.refused == 1
        assert bank.book.all() == bureau.book.all() == []


async def test_the_token_without_the_secret_opens_nothing_and_burns_nothing(tmp_path: Path) -> None:
    async with nodes(tmp_path, "bank", "bureau", "telecom") as (bank, bureau, thief):
        invitation = bank.invites.create(60)

        class Seen(Invitation):
            token = invitation.token

        guess = Seen(invitation.identity, invitation.static_key, "x:1", invitation.expires, os.urandom(16))
        with pytest.raises((PeerError, SecurityError)):
            await thief.dial(guess, bank)
        assert bank.book.all() == []
        assert (await bureau.invites.join(invitation.code())).name == "bank"


async def test_another_node_at_the_address_is_found_out(tmp_path: Path) -> None:
    async with nodes(tmp_path, "bank", "bureau", "impostor") as (bank, bureau, impostor):
        invitation = bank.invites.create(60)
        impostor.store.write(
            "INSERT INTO invites VALUES (?, ?, ?)", invitation.token, invitation.secret, invitation.expires
        )
        moved = replace(invitation, address=f"127.0.0.1:{impostor.listener.port}")
        with pytest.raises((SecurityError, ConsentError), match=r"another node answered|did not accept"):
            await bureau.invites.join(moved.code())
        assert bureau.book.all() == []


async def test_a_record_that_is_not_the_newcomers_is_refused(tmp_path: Path) -> None:
    async with nodes(tmp_path, "bank", "bureau", "telecom") as (bank, bureau, telecom):
        for payload in (telecom.record().encode(), b"", b"\xc1", bank.record().encode()):
            with pytest.raises(PeerError):
                await bureau.dial(bank.invites.create(60), bank, payload)
        assert bank.book.all() == []
        assert (await bureau.invites.join(bank.invites.create(60).code())).name == "bank"


async def test_one_name_at_two_nodes_is_told_to_the_newcomer(tmp_path: Path) -> None:
    async with nodes(tmp_path, "bank", "bank") as (bank, other):
        with pytest.raises(ConsentError, match="the inviter declined: two nodes would have the name 'bank'"):
            await other.invites.join(bank.invites.create(60).code())
        assert bank.book.all() == other.book.all() == []


async def test_a_node_cannot_join_itself(tmp_path: Path) -> None:
    async with nodes(tmp_path, "bank") as (bank,):
        with pytest.raises(ConsentError, match="the node's own key"):
            await bank.invites.join(bank.invites.create(60).code())


async def test_an_inviter_that_falls_silent_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(self: Invites, conn: object, token: bytes) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(Invites, "_meet", silent)
    monkeypatch.setattr(invites_module, "MEETING_S", 0.1)
    async with nodes(tmp_path, "bank", "bureau") as (bank, bureau):
        with pytest.raises(PeerTimeout, match="the inviter fell silent"):
            await bureau.invites.join(bank.invites.create(60).code())
        assert bureau.book.all() == []


async def test_meetings_at_once_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invites_module, "MAX_MEETINGS", 1)
    node = Node(tmp_path / "bank", "bank")
    node.invites._meetings.acquire_on_behalf_of_nowait("somebody")
    async with trio.open_nursery() as nursery:
        await nursery.start(node.listener.run, "127.0.0.1", 0)
        newcomer = Node(tmp_path / "bureau", "bureau", addresses=("127.0.0.1:1",))
        invitation = node.invites.create(60)
        with pytest.raises(ConsentError, match="did not accept the code"):
            await newcomer.invites.join(invitation.code())
        node.invites._meetings.release_on_behalf_of("somebody")
        assert (await newcomer.invites.join(invitation.code())).name == "bank"
        nursery.cancel_scope.cancel()
    node.store.close()
    newcomer.store.close()


async def test_bounds_of_what_is_open(tmp_path: Path) -> None:
    async with nodes(tmp_path, "bank") as (bank,):
        for ttl in (0, -1, MAX_TTL_S + 1):
            with pytest.raises(UsageError, match="from 1 second to 7 days"):
                bank.invites.create(ttl)
        for _ in range(MAX_OPEN):
            bank.invites.create(MAX_TTL_S)
        with pytest.raises(UsageError, match="64 invitations are open already"):
            bank.invites.create(60)
        bank.store.write("UPDATE invites SET expires = 1")
        assert bank.invites.create(60).address == bank.record().addresses[0]


async def test_a_node_without_an_address_cannot_invite(tmp_path: Path) -> None:
    node = Node(tmp_path / "bank", "bank", addresses=())
    with pytest.raises(UsageError, match=r"(?s)does not say where.*listen\.advertise"):
        node.invites.create(60)
    node.store.close()


async def test_a_newcomer_cannot_make_the_inviter_hold_a_long_message(tmp_path: Path) -> None:
    async with nodes(tmp_path, "bank", "bureau") as (bank, bureau):
        invitation = bank.invites.create(60)
        params = HandshakeParams(
            "XXpsk0",
            bureau.identity.static.secret,
            SUITES,
            payload=bureau.record().encode(),
            psk=invitation.psk,
        )
        conn = await dial("127.0.0.1", bank.listener.port, purpose=Purpose.MEET, token=invitation.token, params=params)
        await conn.receive()  # the introductions
        with trio.fail_after(5), pytest.raises(PeerError):
            await conn.send(bytes(CONTROL_MAX_BYTES * 16))
        await conn.close()
        assert bank.listener.refused == 1  # as what no honest newcomer sends
