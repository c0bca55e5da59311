"""The encrypted connection keeps trio's rules for streams, as trio's own check sees them."""

from __future__ import annotations

import trio
from trio.testing import check_two_way_stream

from hansa.node.net.connection import ChannelClosed, Connection, HandshakeParams, Purpose, accept, dial, read_preamble
from hansa.protocols.errors import PeerLost
from hansa.protocols.wire.channel.preamble import SUITES
from hansa.protocols.wire.noise import KeyPair

A, B = KeyPair.generate(), KeyPair.generate()


class ConnStream(trio.abc.Stream):
    """A connection as a byte stream: one message a call."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self._left = b""
        self._closed = self._sending = self._receiving = False

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this end has been closed")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._sending:
            raise trio.BusyResourceError("another task sends")
        self._sending = True
        try:
            await trio.lowlevel.checkpoint()
            self._check_open()
            await self.conn.send(data)
        except PeerLost as error:
            self._check_open()
            raise trio.BrokenResourceError(error.message) from error
        finally:
            self._sending = False

    async def wait_send_all_might_not_block(self) -> None:
        if self._sending:
            raise trio.BusyResourceError("another task sends")
        await trio.lowlevel.checkpoint()
        self._check_open()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if max_bytes is not None and not isinstance(max_bytes, int):
            raise TypeError("max_bytes must be an integer")
        if max_bytes is not None and max_bytes < 1:
            raise ValueError("max_bytes must be positive")
        if self._receiving:
            raise trio.BusyResourceError("another task receives")
        self._receiving = True
        try:
            await trio.lowlevel.checkpoint()
            self._check_open()
            while not self._left:
                self._left = bytes(await self.conn.receive())
        except ChannelClosed:
            return b""
        except PeerLost as error:
            self._check_open()
            raise trio.BrokenResourceError(error.message) from error
        finally:
            self._receiving = False
        some, self._left = self._left[:max_bytes], self._left[max_bytes:] if max_bytes else b""
        return some

    async def aclose(self) -> None:
        self._closed = True
        await self.conn.close()
        await trio.lowlevel.checkpoint()


async def make_streams() -> tuple[ConnStream, ConnStream]:
    ends: dict[str, Connection] = {}
    here = HandshakeParams("KK", A.secret, SUITES, B.public)
    there = HandshakeParams("KK", B.secret, SUITES, A.public)
    async with (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] as listener, trio.open_nursery() as nursery:

        async def respond() -> None:
            sock = (await listener.accept()).socket
            ends["accepted"] = await accept(sock, await read_preamble(sock), params=there)

        nursery.start_soon(respond)
        port = listener.socket.getsockname()[1]
        dialed = await dial("127.0.0.1", port, purpose=Purpose.WORKER, token=b"", params=here)
    return ConnStream(dialed), ConnStream(ends["accepted"])


async def make_clogged_streams() -> tuple[ConnStream, ConnStream]:
    """Both ends have said as much as fits into the network without anybody reading."""
    ends = await make_streams()
    for end in ends:
        sock = end.conn._sock
        record = bytes(next(end.conn._sender.message(bytes(60_000))))
        while True:
            with trio.move_on_after(0.05) as scope:
                while record:
                    record = record[await sock.send(record) :]
            if scope.cancelled_caught:
                break
            record = bytes(next(end.conn._sender.message(bytes(60_000))))
    return ends


async def test_trio_s_stream_rules() -> None:
    await check_two_way_stream(make_streams, None)


async def test_a_clogged_connection_blocks_and_can_be_closed() -> None:
    ends = await make_clogged_streams()
    with trio.move_on_after(0.1) as scope:
        await ends[0].send_all(b"does not fit")
    assert scope.cancelled_caught
    for end in ends:
        await trio.aclose_forcefully(end)
