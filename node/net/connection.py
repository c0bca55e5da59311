"""One TCP socket, one encrypted connection to an authenticated peer: the trio shell around the wire machines.

A connection carries whole messages, as bytes: between two daemons (``control_link``) or between two workers of a job. This
module alone turns the operating system's errors into ours. Reads go straight into the receiver's buffer, and writes come
straight out of the sender's.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from socket import IPPROTO_TCP, TCP_NODELAY

import trio
from trio.socket import SocketType

from hansa.config.errors import HansaError
from hansa.protocols.errors import PeerError, PeerLost, PeerTimeout
from hansa.protocols.wire.channel.channel import (
    MessageReceived,
    PeerClosed,
    PingReceived,
    PongReceived,
    Receiver,
    Sender,
)
from hansa.protocols.wire.channel.handshaking import Established, HandshakeParams, Handshaking
from hansa.protocols.wire.channel.preamble import Preamble, Purpose
from hansa.protocols.wire.limits import (
    CLOSE_DEADLINE_S,
    HANDSHAKE_DEADLINE_S,
    KEEP_ALIVE_INTERVAL_S,
    LAST_WORDS_S,
    PREAMBLE_DEADLINE_S,
    SILENCE_DEADLINE_S,
)
from hansa.protocols.wire.noise.cipher import Bytes

__all__ = ["ChannelClosed", "Connection", "HandshakeParams", "Purpose", "accept", "dial", "read_preamble"]


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
    except (OSError, UnicodeError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise PeerLost(
            f"the connection was lost {what}: {_cause_of(error)}",
            remedy="see which leg fails with `hansa doctor`",
        ) from error
    except trio.TooSlowError as error:
        raise PeerTimeout(f"the peer was silent {what}", remedy="see which leg fails with `hansa doctor`") from error


def _cause_of(error: BaseException) -> str:
    """The system's own words; trio keeps them behind "all attempts to connect failed"."""
    inner = error.__cause__
    if isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    if not getattr(error, "strerror", None) and isinstance(inner, OSError) and inner.errno:
        return os.strerror(inner.errno)
    return str(getattr(error, "strerror", None) or error)


async def dial(
    host: str,
    port: int,
    *,
    purpose: Purpose,
    token: bytes,
    params: HandshakeParams,
    deadline_s: float = HANDSHAKE_DEADLINE_S,
) -> Connection:
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
    """Read the preamble of a connection just accepted: bounded in bytes and in time, and not one byte more.

    Raises ``PeerLost``, ``PeerTimeout``, ``PeerMisbehaved``, or ``PreambleRefused`` (another version). The
    socket stays open: closing it, and whether to answer, is the listener's part.
    """
    data = b""
    with _map_exceptions("before it said what it wants"), trio.fail_after(PREAMBLE_DEADLINE_S):
        while (preamble := Preamble.parse_untrusted(data)) is None:
            # byte by byte: what follows belongs to the handshake, perhaps in another process
            piece = await sock.recv(1)
            if not piece:
                raise PeerLost("the connection ended inside the preamble", remedy="dial again")
            data += piece
    return preamble


async def accept(
    sock: SocketType, preamble: Preamble, *, params: HandshakeParams, deadline_s: float = HANDSHAKE_DEADLINE_S
) -> Connection:
    """Run the handshake as the responder on a socket whose preamble has been read; closes it on failure."""
    try:
        with _map_exceptions("during the handshake"), trio.fail_after(deadline_s):
            return await _handshake(sock, Handshaking.respond(params, preamble))
    except BaseException:
        sock.close()
        raise


async def _handshake(sock: SocketType, machine: Handshaking) -> Connection:
    sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    while True:
        await _send_all(sock, memoryview(machine.data_to_send()))
        if machine.established is not None:
            return Connection(sock, machine.established)
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


class Connection:
    """An open encrypted connection to an authenticated peer.

    One task receives; any number may send. ``keep_alive`` must run beside, and somebody must be receiving, for the
    peers to notice each other's life. The first failure ends the connection: it closes the socket, wakes whoever
    waits, and every later call raises the same error.
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
        self._ping: tuple[int, float] | None = None
        self._pong_due: int | None = None
        self._wake = trio.Event()
        self._watched = False
        self._patience = trio.CancelScope()
        self._waited = 0.0
        self._unsendable: HansaError | None = None
        self._ended: HansaError | None = None
        self._over = trio.Event()
        self._closed_here = False

    def limit_messages(self, most: int) -> None:
        """Refuse messages above ``most`` bytes as soon as the peer announces one, before any of it is kept."""
        self._receiver.max_message = most

    async def send(self, *parts: Bytes) -> None:
        """Send one message, the concatenation of ``parts``.

        A cancellation in the middle ends the connection: never half a message and then another. Raises ``PeerLost``
        or what ended the connection before; ``ProtocolError``, harmlessly, for a message that is too long.
        """
        async with self._sending:
            self._refuse_unsendable()
            await self._write(self._sender.message(*parts))

    async def receive(self) -> memoryview:
        """The next whole message; may be cancelled without harm.

        Raises ``PeerLost``, ``PeerTimeout``, ``PeerMisbehaved``, ``SecurityError``, or ``ChannelClosed`` after the
        peer's goodbye.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        self._refuse_ended()
        waited = False
        try:
            while True:
                event = self._receiver.next_event()
                match event:
                    case None:
                        await self._fill()
                        waited = True
                    case MessageReceived(data):
                        if not waited:  # a peer's stream of messages must not keep other tasks from running
                            await trio.lowlevel.cancel_shielded_checkpoint()
                        return data
                    case PingReceived(token):
                        self._pong_due = token
                        self._wake.set()
                    case PongReceived(token):
                        if self._ping is not None and self._ping[0] == token:
                            self.latency_s = trio.current_time() - self._ping[1]
                            self._ping = None
                    case PeerClosed(reason):
                        raise ChannelClosed(
                            f"the peer closed the connection: {reason}",
                            remedy="nothing, unless it was not expected",
                            reason=reason,
                        )
        except HansaError as error:
            self._end(error)
            raise

    async def keep_alive(self) -> None:
        """Answer pings, send ours, and have ``receive`` notice a peer that is silent for 20 s.

        Only the time that ``receive`` spends waiting counts as silence: a party too busy to read cannot tell. Raises
        what ended the connection (``PeerTimeout`` for silence); returns once it has been closed here.
        """
        self._watched = True
        self._patience.deadline = trio.current_time() + SILENCE_DEADLINE_S
        next_ping = trio.current_time()
        try:
            while self._ended is None:
                self._wake = trio.Event()
                if self._pong_due is not None:
                    token, self._pong_due = self._pong_due, None
                    await self._send_control(self._sender.pong, token)
                if trio.current_time() >= next_ping:
                    await self._send_control(self._sender.ping, int.from_bytes(os.urandom(8), "big"), timed=True)
                    next_ping = trio.current_time() + KEEP_ALIVE_INTERVAL_S
                with trio.move_on_at(next_ping):
                    await self._wake.wait()
        except HansaError as error:
            with trio.move_on_after(LAST_WORDS_S):  # the receiving task may find the peer's own words
                await self._over.wait()
            self._end(error)
        finally:
            self._watched = False
        if not self._closed_here:
            self._refuse_ended()

    async def close(self, reason: str = "done") -> None:
        """Say goodbye and close the socket; idempotent, never raises, bounded in time."""
        if self._ended is None:
            with trio.move_on_after(CLOSE_DEADLINE_S, shield=True):
                async with self._sending:
                    if self._ended is None and self._unsendable is None:
                        # a peer that is gone already cannot be told
                        with suppress(OSError, trio.ClosedResourceError):
                            await _send_all(self._sock, self._sender.close(reason))
        if self._ended is None:
            self._closed_here = True
            self._end(PeerLost(f"the connection was closed here: {reason}", remedy="open a new connection"))

    async def _send_control(self, make: Callable[[int], memoryview], token: int, *, timed: bool = False) -> None:
        async with self._sending:
            self._refuse_unsendable()
            if timed:
                self._ping = (token, trio.current_time())
            await self._write((make(token),))

    async def _write(self, pieces: Iterable[memoryview]) -> None:
        """Put all pieces on the wire, or make sure that nothing can follow them."""
        try:
            with _map_exceptions("while sending"):
                for piece in pieces:
                    await _send_all(self._sock, piece)
                    self.bytes_sent += len(piece)
        except PeerLost as error:
            self._refuse_ended()
            self._unsendable = error  # only for sending: what the peer said before it left can still be received
            raise
        except BaseException:
            self._end(PeerLost("the connection was closed: a message was cut short here", remedy="connect again"))
            raise

    async def _fill(self) -> None:
        began = trio.current_time()
        left = SILENCE_DEADLINE_S - self._waited if self._watched else math.inf
        with trio.CancelScope(deadline=began + left) as self._patience:
            try:
                with _map_exceptions("while receiving"):
                    count = await self._sock.recv_into(self._receiver.get_buffer())
            except PeerLost:
                self._refuse_ended()
                raise
            except trio.Cancelled:
                self._waited += trio.current_time() - began  # a caller that polls must not hide silence
                raise
        if self._patience.cancelled_caught:
            raise PeerTimeout(
                f"the peer has been silent for {SILENCE_DEADLINE_S:.0f} s",
                remedy="see which leg fails with `hansa doctor`",
            )
        if count == 0:
            raise PeerLost("the connection ended without a goodbye", remedy="see `hansa doctor`")
        self._waited = 0.0
        self._receiver.buffer_updated(count)
        self.bytes_received += count
        self.last_heard = trio.current_time()

    def _end(self, error: HansaError) -> None:
        self._ended = self._ended or error
        self._sock.close()
        self._wake.set()
        self._over.set()

    def _refuse_ended(self) -> None:
        if self._ended is not None:  # a copy: one exception must not travel through several tasks
            raise type(self._ended)(self._ended.message, remedy=self._ended.remedy, **self._ended.fields)

    def _refuse_unsendable(self) -> None:
        self._refuse_ended()
        if self._unsendable is not None:
            raise PeerLost(self._unsendable.message, remedy=self._unsendable.remedy)
