"""The link between two daemons: one connection, Hello both ways, then typed messages.

The queue to a peer is bounded, and so is the rate at which a peer is read. A handler's error is logged and ends nothing; a
peer's error ends this link only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

import trio

from hansa.config.errors import HansaError, hansa_error_in
from hansa.node.net.connection import Connection
from hansa.node.net.token_bucket import TokenBucket
from hansa.protocols.errors import PeerLost, PeerMisbehaved, PeerTimeout, ProtocolError
from hansa.protocols.wire import messages
from hansa.protocols.wire.limits import CONTROL_MAX_BYTES, HANDSHAKE_DEADLINE_S
from hansa.protocols.wire.messages import Hello, Message

logger = logging.getLogger(__name__)

OUTGOING_MESSAGES = 512
OUTGOING_BYTES = 16 << 20
"""What may wait for one peer; beyond either bound the peer is too slow, and its connection is dropped."""
BURST = 4096
RATE_PER_S = 512
"""Messages read at once, and a second in the long run; one of n bytes counts 1 + n/4096. A faster peer is read more slowly."""
_BYTES_PER_UNIT = 4096
_UNITS_PER_SECOND = 4 * RATE_PER_S
"""What a second of work for a peer counts: in the long run a peer takes at most a quarter of the daemon's time."""

Receive = Callable[[Message], Awaitable[None]]


class ControlLink:
    """One control link. ``by_lower``: the node with the lower identity dialed it; ``address``: where the peer is."""

    def __init__(self, conn: Connection, *, by_lower: bool, address: str) -> None:
        conn.limit_messages(CONTROL_MAX_BYTES)
        self.conn, self.by_lower, self.address = conn, by_lower, address
        self.hello = Hello("?", "?", 0, (), "")
        self.skew_s = 0.0
        self.scope = trio.CancelScope()
        self.down = trio.Event()
        self.end: HansaError | None = None
        self._send, self._receive = trio.open_memory_channel[bytes](OUTGOING_MESSAGES)
        self._waiting_bytes = 0
        self._allowance = TokenBucket(BURST, RATE_PER_S)

    async def greet(self, own: Hello) -> None:
        """Exchange Hellos, once, before ``run``. Raises ``PeerTimeout`` or ``PeerMisbehaved``."""
        with trio.move_on_after(HANDSHAKE_DEADLINE_S):
            await self.conn.send(messages.encode(own))
            first = messages.decode_untrusted(await self.conn.receive())
            if not isinstance(first, Hello):
                raise PeerMisbehaved("a peer did not say Hello first", remedy="update both nodes to the same version")
            self.hello, self.skew_s = first, first.clock - time.time()
            return
        raise PeerTimeout("a peer connected and said nothing", remedy="see which leg fails with `hansa doctor`")

    def post(self, message: Message) -> None:
        """Queue a message; order is kept. A peer too slow for its queue is dropped."""
        data = messages.encode(message)
        if len(data) > CONTROL_MAX_BYTES:
            raise ProtocolError(
                f"a {type(message).__name__} of {len(data)} bytes is more than a peer reads",
                remedy="report this as a bug",
            )
        if self._waiting_bytes + len(data) > OUTGOING_BYTES:
            self._drop()
            return
        try:
            self._send.send_nowait(data)
        except trio.WouldBlock:
            self._drop()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it is going down: on_down follows
        else:
            self._waiting_bytes += len(data)

    async def run(self, receive: Receive) -> None:
        """Serve until the connection ends, by an error or by ``scope``; the reason is in ``end``."""
        try:
            with self.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self.conn.keep_alive)
                    await self._read(receive)
        except* HansaError as group:
            self.end = self.end or hansa_error_in(group)
        finally:
            self._send.close()
            with trio.CancelScope(shield=True):
                await self.conn.close(self.end.message if isinstance(self.end, PeerMisbehaved) else "the link ends")

    def stale(self, after_s: float) -> bool:
        """Whether nothing has been heard for that long."""
        return trio.current_time() - self.conn.last_heard > after_s

    def _drop(self) -> None:
        self.end = PeerLost("the peer takes messages too slowly", remedy="see its load, and `hansa doctor`")
        self.scope.cancel()

    async def _write(self) -> None:
        async for data in self._receive:
            await self.conn.send(data)
            self._waiting_bytes -= len(data)

    async def _read(self, receive: Receive) -> None:
        while True:
            data = await self.conn.receive()
            await trio.sleep(self._allowance.take(1 + len(data) / _BYTES_PER_UNIT))
            began = trio.current_time()
            message = messages.decode_untrusted(data)
            if isinstance(message, Hello):
                raise PeerMisbehaved("a peer said Hello twice", remedy="update both nodes to the same version")
            await self._heard(message, receive)
            self._allowance.take((trio.current_time() - began) * _UNITS_PER_SECOND)

    async def _heard(self, message: Message, receive: Receive) -> None:
        try:
            await receive(message)
        except PeerMisbehaved:
            raise
        except HansaError as error:
            logger.warning("a %s from a peer was refused: %s", type(message).__name__, error.message)
        except Exception:
            logger.exception("handling a %s from a peer failed", type(message).__name__)
