"""The trio shell around the wire machines: one TCP socket, one encrypted connection.

It alone turns the operating system's errors into ours. Reads go straight into the receiver's buffer and writes come
straight out of the sender's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import IPPROTO_TCP, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, TCP_NODELAY

import trio
from trio.socket import SocketType

from hansa.protocols.errors import PeerError, PeerLost, PeerTimeout, ProtocolError
from hansa.protocols.wire.channel import MessageReceived, PeerClosed, PingReceived, PongReceived, Receiver, Sender
from hansa.protocols.wire.handshaking import Established, HandshakeParams, Handshaking
from hansa.protocols.wire.limits import (
    HANDSHAKE_DEADLINE_S,
    KEEP_ALIVE_INTERVAL_S,
    PREAMBLE_DEADLINE_S,
    SILENCE_DEADLINE_S,
)
from hansa.protocols.wire.noise.cipher import Bytes
from hansa.protocols.wire.preamble import Preamble, Purpose

__all__ = ["ChannelClosed", "Conn", "HandshakeParams", "Purpose", "accept", "dial", "read_preamble"]

_SOCKET_BUFFER = 4 << 20


class ChannelClosed(PeerError):
    """The peer ended the connection on purpose (fields: reason)."""

    code = "channel-closed"

    @property
    def reason(self) -> str:
        """What the peer said."""
        return str(self.fields.get("reason", ""))


@contextmanager
def _map_exceptions(what: str) -> Iterator[None]:
    """The one place where foreign errors become ours."""
    try:
        yield
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise PeerLost(
            f"the connection was lost {what}: {getattr(error, 'strerror', None) or error}",
            remedy="see which leg fails with `hansa doctor`",
        ) from error
    except trio.TooSlowError as error:
        raise PeerTimeout(f"the peer was silent {what}", remedy="see which leg fails with `hansa doctor`") from error


async def dial(
    host: str,
    port: int,
    *,
    purpose: Purpose,
    token: bytes,
    params: HandshakeParams,
    deadline_s: float = HANDSHAKE_DEADLINE_S,
) -> Conn:
    """Connect to a node and run the handshake as its initiator.

    Raises ``PeerLost`` (refused, unreachable, closed), ``PeerTimeout``, ``PeerMisbehaved``, ``PreambleRefused`` or
    ``SecurityError`` (wrong key, altered bytes).
    """
    with _map_exceptions(f"while connecting to {host}:{port}"), trio.fail_after(deadline_s):
        stream = await trio.open_tcp_stream(host, port)
        sock = stream.socket
        try:
            return await _handshake(sock, Handshaking.initiate(params, purpose, token))
        except BaseException:
            sock.close()
            raise


async def read_preamble(sock: SocketType) -> Preamble:
    """Read the preamble of a connection just accepted: bounded in bytes and in time."""
    data = b""
    with _map_exceptions("before it said what it wants"), trio.fail_after(PREAMBLE_DEADLINE_S):
        while (preamble := Preamble.parse_untrusted(data)) is None:
            # a byte string longer than a preamble is refused by the parser; what follows belongs to the handshake
            piece = await sock.recv(1)
            if not piece:
                raise PeerLost("the connection ended inside the preamble", remedy="dial again")
            data += piece
    return preamble


async def accept(
    sock: SocketType, preamble: Preamble, *, params: HandshakeParams, deadline_s: float = HANDSHAKE_DEADLINE_S
) -> Conn:
    """Run the handshake as the responder on a socket whose preamble has been read; closes it on failure."""
    try:
        with _map_exceptions("during the handshake"), trio.fail_after(deadline_s):
            return await _handshake(sock, Handshaking.respond(params, preamble))
    except BaseException:
        sock.close()
        raise


async def _handshake(sock: SocketType, machine: Handshaking) -> Conn:
    sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    for option in (SO_SNDBUF, SO_RCVBUF):
        sock.setsockopt(SOL_SOCKET, option, _SOCKET_BUFFER)
    while True:
        await _send_all(sock, memoryview(machine.data_to_send()))
        if machine.established is not None:
            return Conn(sock, machine.established)
        if machine.failed:
            raise machine.refuse_message()
        data = await sock.recv(65536)
        if not data:
            raise PeerLost(
                "the peer ended the connection during the handshake",
                remedy="check that each node has pinned the other's present key (`hansa doctor`)",
            )
        machine.receive_data_untrusted(data)


async def _send_all(sock: SocketType, data: memoryview) -> None:
    while data:
        data = data[await sock.send(data) :]


class Conn:
    """An open encrypted connection to an authenticated peer.

    One task receives; any number may send. ``keep_alive`` must run beside, and somebody must be receiving, for the
    peers to notice each other's life.
    """

    def __init__(self, sock: SocketType, established: Established) -> None:
        self._sock = sock
        self.remote_static = established.remote_static
        self.remote_payload = established.remote_payload
        self.handshake_hash = established.handshake_hash
        self.suite = established.suite
        self.latency_s: float | None = None
        self.bytes_sent = 0
        self.bytes_received = 0
        self.last_heard = trio.current_time()
        self._sender = Sender(established.sending)
        self._receiver = Receiver(established.receiving, established.rest)
        self._sending = trio.Lock()
        self._pings: tuple[int, float] | None = None
        self._pong_due: int | None = None
        self._wake = trio.Event()
        self._ended: str | None = None

    async def send(self, *parts: Bytes) -> None:
        """Send one message, the concatenation of ``parts``.

        A cancellation in the middle leaves the connection dead, never half a message. Raises ``PeerLost``.
        """
        async with self._sending:
            self._refuse_ended()
            try:
                with _map_exceptions("while sending"):
                    for data in self._sender.message(*parts):
                        await self._write(data)
            except BaseException:
                self._end("sending was interrupted")
                raise

    async def receive(self) -> memoryview:
        """The next whole message.

        Raises ``PeerLost``, ``PeerMisbehaved``, ``SecurityError``, or ``ChannelClosed`` after the peer's goodbye.
        """
        self._refuse_ended()
        try:
            while True:
                event = self._receiver.next_event()
                match event:
                    case None:
                        await self._fill()
                    case MessageReceived(data):
                        return data
                    case PingReceived(token):
                        self._pong_due = token
                        self._wake.set()
                    case PongReceived(token):
                        if self._pings is not None and self._pings[0] == token:
                            self.latency_s = trio.current_time() - self._pings[1]
                            self._pings = None
                    case PeerClosed(reason):
                        raise ChannelClosed(
                            f"the peer closed the connection: {reason}",
                            remedy="nothing, unless it was not expected",
                            reason=reason,
                        )
        except (PeerError, ProtocolError) as error:
            self._end(error.message)
            raise

    async def keep_alive(self) -> None:
        """Answer pings, send ours, and raise ``PeerTimeout`` once the peer has been silent for 20 s."""
        next_ping = trio.current_time()
        while True:
            now = trio.current_time()
            if now - self.last_heard > SILENCE_DEADLINE_S:
                self._end("the peer was silent")
                raise PeerTimeout(
                    f"the peer has been silent for {SILENCE_DEADLINE_S:.0f} s", remedy="see `hansa doctor`"
                )
            if self._pong_due is not None:
                token, self._pong_due = self._pong_due, None
                await self._send_control(self._sender.pong, token)
            if now >= next_ping:
                token = int.from_bytes(os.urandom(8), "big")
                await self._send_control(self._sender.ping, token, note_time=True)
                next_ping = trio.current_time() + KEEP_ALIVE_INTERVAL_S
            self._wake = trio.Event()
            if self._pong_due is None:
                with trio.move_on_at(next_ping):
                    await self._wake.wait()

    async def close(self, reason: str = "done") -> None:
        """Say goodbye and close the socket; idempotent, never raises, bounded in time."""
        if self._ended is not None:
            self._sock.close()
            return
        with trio.move_on_after(1) as scope:
            scope.shield = True
            try:
                async with self._sending:
                    if self._ended is None:
                        await self._write(self._sender.close(reason))
            except (OSError, trio.BusyResourceError, trio.ClosedResourceError):
                pass  # the peer is gone already: there is nobody to tell
        self._end(reason)
        self._sock.close()

    async def _send_control(self, make: Callable[[int], memoryview], token: int, *, note_time: bool = False) -> None:
        async with self._sending:
            self._refuse_ended()
            if note_time:
                self._pings = (token, trio.current_time())
            try:
                with _map_exceptions("while sending a sign of life"):
                    await self._write(make(token))
            except BaseException:
                self._end("sending was interrupted")
                raise

    async def _fill(self) -> None:
        with _map_exceptions("while receiving"):
            count = await self._sock.recv_into(self._receiver.get_buffer())
        if count == 0:
            raise PeerLost("the connection ended without a goodbye", remedy="see `hansa doctor`")
        self._receiver.buffer_updated(count)
        self.bytes_received += count
        self.last_heard = trio.current_time()

    async def _write(self, data: memoryview) -> None:
        self.bytes_sent += len(data)
        await _send_all(self._sock, data)

    def _end(self, why: str) -> None:
        if self._ended is None:
            self._ended = why

    def _refuse_ended(self) -> None:
        if self._ended is not None:
            raise PeerLost(f"the connection has ended: {self._ended}", remedy="see `hansa doctor`")
