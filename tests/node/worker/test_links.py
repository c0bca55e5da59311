import socket
from contextlib import asynccontextmanager

import pytest
import trio
from nacl.bindings import crypto_scalarmult_base

from hansa.node.net.connection import read_preamble
from hansa.node.worker import links as worker_links
from hansa.node.worker.links import LinkTerms, PeerTerms, open_links, route_token
from hansa.protocols.errors import HansaError, PeerTimeout, SecurityError
from hansa.protocols.mpc.concurrency import gather

JOB = b"j" * 32
SUITES = ("AESGCM_SHA256",)
NAMES = ("bank", "bureau", "telecom")
SECRETS = [bytes([i + 1]) * 32 for i in range(3)]
IDENTITIES = [bytes([0x10 * (i + 1)]) * 32 for i in range(3)]


class Node:
    """A listener that hands what arrives to one worker, as a daemon does."""

    def __init__(self, rank, certificate=b"certificate", attempt=0):
        self.rank, self.certificate, self.attempt = rank, certificate, attempt
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.send, self.arrivals = trio.open_memory_channel(16)
        self.accepted = 0

    async def listen(self):
        self.listener.setblocking(False)
        with trio.socket.from_stdlib_socket(self.listener) as listener:
            while True:
                sock, _ = await listener.accept()
                self.accepted += 1
                try:
                    await self.send.send((sock, await read_preamble(sock)))
                except HansaError:
                    sock.close()

    def links(self, nodes, unreachable=()):
        here = LinkTerms(
            self.rank, IDENTITIES[self.rank], JOB, self.attempt, SECRETS[self.rank], self.certificate, SUITES
        )
        peers = [
            PeerTerms(
                node.rank,
                NAMES[node.rank],
                IDENTITIES[node.rank],
                crypto_scalarmult_base(SECRETS[node.rank]),
                () if node.rank in unreachable else (node.address,),
                route_token(JOB, self.attempt, IDENTITIES[self.rank], IDENTITIES[node.rank]),
            )
            for node in nodes
            if node is not self
        ]
        return open_links(here, peers, self.arrivals)


@asynccontextmanager
async def network(*nodes):
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.listen)
        yield nursery
        nursery.cancel_scope.cancel()


async def close_all(links):
    for each in links:
        for conn in each.values():
            await conn.close()


async def speak(links):
    """Every pair can speak over its one link."""
    for rank, mine in enumerate(links):
        for other, conn in mine.items():
            await conn.send(bytes([rank, other]))
    for rank, mine in enumerate(links):
        for other, conn in mine.items():
            assert bytes(await conn.receive()) == bytes([other, rank])


async def test_three_workers_meet():
    nodes = [Node(rank) for rank in range(3)]
    async with network(*nodes):
        with trio.fail_after(20):
            links = await gather(*(node.links(nodes) for node in nodes))
            await speak(links)
        await close_all(links)


async def test_the_higher_side_dials_when_the_lower_cannot(monkeypatch):
    monkeypatch.setattr(worker_links, "SECOND_DIALER_S", 0.05)
    nodes = [Node(0), Node(1)]
    async with network(*nodes):
        with trio.fail_after(20):
            links = await gather(nodes[0].links(nodes, unreachable={1}), nodes[1].links(nodes))
            await speak(links)
        await close_all(links)


async def test_both_dialing_at_once_still_ends_on_one_link(monkeypatch):
    monkeypatch.setattr(worker_links, "SECOND_DIALER_S", 0.0)
    for _ in range(10):
        nodes = [Node(0), Node(1)]
        async with network(*nodes):
            with trio.fail_after(20):
                links = await gather(*(node.links(nodes) for node in nodes))
                await speak(links)
            assert links[0][1].handshake_hash == links[1][0].handshake_hash
            await close_all(links)


async def test_another_certificate_is_refused_by_name():
    nodes = [Node(0), Node(1, certificate=b"another")]
    async with network(*nodes):
        with pytest.raises(SecurityError, match="another certificate") as caught, trio.fail_after(20):
            await gather(*(node.links(nodes) for node in nodes))
    assert caught.value.fields["peer"] in {0, 1}


async def test_another_attempt_or_key_never_links(monkeypatch):
    monkeypatch.setattr(worker_links, "LINK_DEADLINE_S", 1.0)
    nodes = [Node(0), Node(1, attempt=1)]
    async with network(*nodes):
        with pytest.raises(PeerTimeout, match="no connection to the worker of"):
            await gather(*(node.links(nodes) for node in nodes))


async def test_garbage_at_the_port_does_not_disturb():
    nodes = [Node(0), Node(1)]
    async with network(*nodes):
        with socket.create_connection(nodes[0].listener.getsockname()) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with trio.fail_after(20):
                links = await gather(*(node.links(nodes) for node in nodes))
                await speak(links)
        await close_all(links)


def test_a_route_token_is_the_pairs_own():
    a, b, c = IDENTITIES
    assert route_token(JOB, 0, a, b) == route_token(JOB, 0, b, a)
    others = {route_token(JOB, 0, a, c), route_token(JOB, 1, a, b), route_token(b"k" * 32, 0, a, b)}
    assert route_token(JOB, 0, a, b) not in others
    assert len(others) == 3
