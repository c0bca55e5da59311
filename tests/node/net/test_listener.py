"""The port under strangers: slow ones, many ones, rude ones; peers still get through."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio

from hansa.config.errors import ConfigError
from hansa.node.net import listener as listener_module
from hansa.node.net.connection import ChannelClosed, Purpose
from hansa.node.net.listener import REFUSALS_FORGOTTEN_S, RETRY_S, Listener, next_stream
from hansa.protocols.errors import PeerLost
from hansa.protocols.wire.channel.preamble import Preamble

SUITES = ("AESGCM_SHA256",)


class Port:
    """A listener whose CONTROL connections are noted and answered with one byte."""

    def __init__(self) -> None:
        self.served: list[bytes] = []
        self.listener = Listener({Purpose.CONTROL: self.serve})

    async def serve(self, sock: Any, preamble: Preamble) -> None:
        self.served.append(preamble.token)
        match preamble.token:
            case b"bug":
                raise ZeroDivisionError
            case b"lost":
                raise PeerLost("gone", remedy="dial again")
            case b"closed":
                raise ChannelClosed("bye", remedy="nothing", reason="bye")
        await sock.send(b"!")

    async def dial(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.listener.port)

    async def greeted(self, token: bytes, purpose: Purpose = Purpose.CONTROL) -> bytes:
        """What a connection with this token gets before it ends."""
        async with await self.dial() as stream:
            await stream.send_all(Preamble.build(purpose, token, SUITES).raw)
            return await all_of(stream)


async def all_of(stream: trio.SocketStream) -> bytes:
    got = b""
    with trio.fail_after(10), suppress(trio.BrokenResourceError):  # a reset ends it as well as an end
        while piece := await stream.receive_some(100):
            got += piece
    return got


@asynccontextmanager
async def open_port() -> AsyncIterator[Port]:
    port = Port()
    async with trio.open_nursery() as nursery:
        await nursery.start(port.listener.run, "127.0.0.1", 0)
        yield port
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.01)


async def test_purposes_and_routes_get_their_sockets() -> None:
    async with open_port() as port:
        routed = []

        async def route(sock: Any, preamble: Preamble) -> None:
            routed.append(preamble.raw)
            await sock.send(b"w")

        port.listener.worker_routes[b"job"] = route
        assert await port.greeted(b"peer") == b"!"
        assert await port.greeted(b"job", Purpose.WORKER) == b"w"
        assert routed == [Preamble.build(Purpose.WORKER, b"job", SUITES).raw]
        assert port.listener.refused == 0
        assert await port.greeted(b"other", Purpose.WORKER) == b""
        assert await port.greeted(b"x", Purpose.MEET) == b""
        assert port.listener.refused == 2
        assert port.served == [b"peer"]


async def test_what_a_server_raises_ends_that_connection_only() -> None:
    async with open_port() as port:
        for token in (b"bug", b"lost", b"closed"):
            assert await port.greeted(token) == b""
        assert port.listener.refused == 1  # the one that was lost; a bug here and a goodbye are no refusals
        assert await port.greeted(b"peer") == b"!"


async def test_a_preamble_byte_by_byte_is_read_and_not_one_more() -> None:
    async with open_port() as port, await port.dial() as stream:
        for byte in Preamble.build(Purpose.CONTROL, b"slow", SUITES).raw:
            await stream.send_all(bytes([byte]))
        assert await all_of(stream) == b"!"


async def test_a_silent_stranger_is_dropped_after_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hansa.node.net.connection.PREAMBLE_DEADLINE_S", 0.1)
    async with open_port() as port, await port.dial() as stream:
        await stream.send_all(b"HNSA")
        assert await all_of(stream) == b""
        assert port.listener.refused == 1


async def test_where_there_are_too_many_the_slowest_goes_and_peers_get_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "MAX_STRANGERS", 4)
    async with open_port() as port:
        silent = [await port.dial() for _ in range(20)]
        await until(lambda: port.listener.refused >= 16)
        assert len(port.listener._strangers) == 4
        assert await port.greeted(b"peer") == b"!"
        for stream in silent:
            await stream.aclose()
        await until(lambda: not port.listener._strangers)


async def test_a_port_scan_leaves_the_port_open() -> None:
    async with open_port() as port:
        for _ in range(200):
            await (await port.dial()).aclose()
        await until(lambda: port.listener.refused == 200)
        assert await port.greeted(b"peer") == b"!"


async def test_refusals_are_forgotten_after_an_hour(autojump_clock: trio.testing.MockClock) -> None:
    listener = Listener({})
    listener._refusals.extend([trio.current_time()] * 3)
    await trio.sleep(REFUSALS_FORGOTTEN_S / 2)
    listener._refusals.append(trio.current_time())
    assert listener.refused == 4
    await trio.sleep(REFUSALS_FORGOTTEN_S / 2 + 1)
    assert listener.refused == 1


async def test_a_taken_port_is_named() -> None:
    async with open_port() as port:
        number = port.listener.port
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{number}: another program uses it"):
            await Listener({}).run("127.0.0.1", number)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "a" * 80])
async def test_an_address_that_is_not_ours_is_named(host: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot listen on {host}:0: "):
        await Listener({}).run(host, 0)


class Exhausted:
    """A listener that has no descriptor to spare, three times, and then fails for good."""

    def __init__(self) -> None:
        self.errors = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EBADF]

    async def accept(self) -> trio.SocketStream:
        raise OSError(self.errors.pop(0), "no")


async def test_out_of_descriptors_means_wait_not_end(autojump_clock: trio.testing.MockClock) -> None:
    exhausted = Exhausted()
    with pytest.raises(OSError, match="no") as caught:
        await next_stream(exhausted)  # type: ignore[arg-type]
    assert caught.value.errno == errno.EBADF
    assert trio.current_time() == pytest.approx(3 * RETRY_S)
