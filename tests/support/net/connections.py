"""Two nodes that meet over loopback, and a network between them that alters, cuts or trickles."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio
from trio.socket import SocketType

from hansa.config.errors import HansaError
from hansa.node.net.connection import Connection, HandshakeParams, Purpose, accept, dial, read_preamble
from hansa.protocols.wire.channel.preamble import SUITES
from hansa.protocols.wire.noise import KeyPair

A, B, MALLORY = KeyPair.generate(), KeyPair.generate(), KeyPair.generate()
HERE = HandshakeParams("KK", A.secret, SUITES, B.public, b"job", b"from a")
THERE = HandshakeParams("KK", B.secret, SUITES, A.public, b"job", b"from b")
LARGE = 100 * 1000 * 1000
CLOGGING = 64 << 20

Outcome = Connection | HansaError
Wire = Callable[[SocketType, SocketType], Awaitable[None]]


def tcp_pair() -> tuple[SocketType, SocketType]:
    """Two ends of one loopback connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    for sock in (near, far):
        sock.setblocking(False)
    return trio.socket.from_stdlib_socket(near), trio.socket.from_stdlib_socket(far)


@asynccontextmanager
async def listening(serve: Callable[[SocketType], Awaitable[None]]) -> AsyncIterator[int]:
    """A port whose first connection ``serve`` gets."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]

    async def serve_one() -> None:
        await serve((await listener.accept()).socket)

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(serve_one)
        yield int(listener.socket.getsockname()[1])
        nursery.cancel_scope.cancel()


async def never_answer(sock: SocketType) -> None:
    with sock:
        await trio.sleep_forever()


async def hang_up(*outcomes: Outcome) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Connection):
            await outcome.close()


async def meet(
    here: HandshakeParams = HERE, there: HandshakeParams = THERE, wire: Wire | None = None
) -> tuple[Outcome, Outcome]:
    """Dial and accept; each side's connection, or its error. ``wire`` sits between them as the network."""
    outcomes: dict[str, Outcome] = {}
    done = {"dialed": trio.Event(), "accepted": trio.Event()}

    async def responder(sock: SocketType) -> None:
        try:
            outcomes["accepted"] = await accept(sock, await read_preamble(sock), params=there)
        except HansaError as error:
            sock.close()
            outcomes["accepted"] = error
        done["accepted"].set()

    async with trio.open_nursery() as nursery:

        async def serve(sock: SocketType) -> None:
            if wire is None:
                await responder(sock)
                return
            near, far = tcp_pair()
            nursery.start_soon(responder, far)
            await wire(sock, near)

        async with listening(serve) as port:
            try:
                outcomes["dialed"] = await dial("127.0.0.1", port, purpose=Purpose.WORKER, token=b"token", params=here)
            except HansaError as error:
                outcomes["dialed"] = error
            await done["accepted"].wait()
        nursery.cancel_scope.cancel()
    return outcomes["dialed"], outcomes["accepted"]


@asynccontextmanager
async def connected(
    here: HandshakeParams = HERE, there: HandshakeParams = THERE
) -> AsyncIterator[tuple[Connection, Connection]]:
    dialed, accepted = await meet(here, there)
    assert isinstance(dialed, Connection)
    assert isinstance(accepted, Connection)
    try:
        yield dialed, accepted
    finally:
        await dialed.close()
        await accepted.close()


def network(
    *,
    alter: Callable[[int, int], int] | None = None,
    cut_after: int | None = None,
    step: int = 65536,
) -> Wire:
    """A relay: ``alter(position, byte)`` changes what the initiator says, ``cut_after`` ends it, ``step`` trickles."""

    async def forward(
        source: SocketType, sink: SocketType, change: Callable[[int, int], int] | None, limit: int | None
    ) -> None:
        at = 0
        try:
            while limit is None or at < limit:
                data = await source.recv(step if limit is None else min(step, limit - at))
                if not data:
                    break
                if change is not None:
                    data = bytes(change(at + index, byte) for index, byte in enumerate(data))
                at += len(data)
                while data:
                    data = data[await sink.send(data) :]
        except (OSError, trio.ClosedResourceError):
            pass  # an end has closed: so does the other, below
        sink.close()
        source.close()

    async def wire(near: SocketType, far: SocketType) -> None:
        with near, far:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(forward, near, far, alter, cut_after)
                nursery.start_soon(forward, far, near, None, None)

    return wire
