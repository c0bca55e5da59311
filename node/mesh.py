"""The mesh: one control connection to every pinned peer, kept up, and messages over it.

The lower identity dials; the other side dials too when nobody has come within three seconds. Where both succeed, the
connection dialed by the lower identity stays. A peer's bad bytes end its own connection and touch nothing else.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import trio
from trio.socket import SocketType

from hansa.config.errors import HansaError
from hansa.node.channel import Conn, HandshakeParams, Purpose, accept, dial
from hansa.node.identity import Identity
from hansa.node.peers import Peer, PeerBook
from hansa.protocols.errors import PeerError, PeerLost, PeerMisbehaved, SecurityError
from hansa.protocols.wire import messages
from hansa.protocols.wire.messages import Hello, Message
from hansa.protocols.wire.preamble import Preamble
from hansa.protocols.wire.record import split_address
from hansa.protocols.wire.signing import tagged_hash

logger = logging.getLogger(__name__)

M = TypeVar("M")
Handler = Callable[[bytes, Any], Awaitable[None]]

HIGHER_WAITS_S = 3.0
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
OUTGOING_MESSAGES = 512
"""Messages waiting for one peer; when they are full the peer is too slow, and its connection is dropped."""


@dataclass(slots=True)
class Link:
    """One live control connection."""

    conn: Conn
    by_lower: bool
    address: str
    outgoing: trio.MemorySendChannel[bytes]
    scope: trio.CancelScope
    hello: Hello | None = None
    skew_s: float = 0.0
    down: trio.Event = field(default_factory=trio.Event)


class Mesh:
    """Control connections of the node ``identity`` to all peers of ``book``."""

    def __init__(
        self, identity: Identity, book: PeerBook, *, suites: tuple[str, ...], hello: Callable[[], Hello]
    ) -> None:
        self._identity, self._book, self._suites, self._hello = identity, book, suites, hello
        self._links: dict[bytes, Link] = {}
        self._handlers: dict[type[Any], Handler] = {}
        self._up: list[Callable[[bytes], Awaitable[None]]] = []
        self._down: list[Callable[[bytes], Awaitable[None]]] = []
        self._keepers: dict[bytes, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None
        self.last_error: dict[bytes, HansaError] = {}

    # --- for the rest of the daemon ------------------------------------------------------------------------------

    def handle(self, kind: type[M], handler: Callable[[bytes, M], Awaitable[None]]) -> None:
        """``handler(identity, message)`` gets every message of this type; it must return soon."""
        self._handlers[kind] = handler

    def on_up(self, callback: Callable[[bytes], Awaitable[None]]) -> None:
        """Call when a peer has come online (after its Hello)."""
        self._up.append(callback)

    def on_down(self, callback: Callable[[bytes], Awaitable[None]]) -> None:
        """Call when a peer has gone offline."""
        self._down.append(callback)

    def online(self, identity: bytes) -> bool:
        """Whether the peer's daemon is connected and has said Hello."""
        link = self._links.get(identity)
        return link is not None and link.hello is not None

    def link(self, identity: bytes) -> Link | None:
        """The live connection to a peer, for status and doctor."""
        return self._links.get(identity)

    async def send(self, identity: bytes, message: Message) -> None:
        """Queue a message to a peer; ``PeerLost`` if it is offline. Order is kept."""
        link = self._links.get(identity)
        if link is None:
            peer = self._book.get(identity)
            raise PeerLost(
                f"{peer.name if peer else 'the peer'} is offline",
                remedy="see which leg fails with `hansa doctor`",
                peer=peer.name if peer else None,
            )
        try:
            link.outgoing.send_nowait(messages.encode(message))
        except trio.WouldBlock:
            logger.warning("a peer takes messages too slowly: its connection is dropped")
            link.scope.cancel()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # going down: on_down follows

    async def broadcast(self, identities: Iterable[bytes], message: Message) -> None:
        """Send to those that are online; the others hear it when they come back (the senders resynchronise)."""
        for identity in identities:
            if identity in self._links:
                await self.send(identity, message)

    def watch_peer(self, identity: bytes) -> None:
        """Start keeping a connection to a peer just pinned."""
        if self._nursery is not None and identity not in self._keepers:
            scope = trio.CancelScope()
            self._keepers[identity] = scope
            self._nursery.start_soon(self._keep, identity, scope)

    def drop_peer(self, identity: bytes) -> None:
        """Stop: the peer was removed."""
        scope = self._keepers.pop(identity, None)
        if scope is not None:
            scope.cancel()
        link = self._links.get(identity)
        if link is not None:
            link.scope.cancel()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep all connections up until cancelled."""
        async with trio.open_nursery() as self._nursery:
            for peer in self._book.all():
                self.watch_peer(peer.identity)
            task_status.started()
            await trio.sleep_forever()

    # --- connections ---------------------------------------------------------------------------------------------

    async def accept(self, sock: SocketType, preamble: Preamble) -> None:
        """Serve a connection that somebody dialed; closed quietly unless it comes from a pinned peer."""
        peer = next((p for p in self._book.all() if preamble.token == self._token(p, dialed_by_us=False)), None)
        if peer is None:
            sock.close()
            return
        conn = await accept(sock, preamble, params=self._params(peer))
        await self._serve(peer.identity, conn, dialed=False, address=_address_of(sock))

    async def try_dial(self, peer: Peer) -> tuple[Conn, str]:
        """One attempt at each address of a peer; raises the last error."""
        error: HansaError = PeerLost(
            f"{peer.name} has no address", remedy=f"tell it with `hansa peer add {peer.name} --key ... --address ...`"
        )
        for address in peer.record.addresses:
            host, port = split_address(address)
            try:
                conn = await dial(
                    host,
                    port,
                    purpose=Purpose.CONTROL,
                    token=self._token(peer, dialed_by_us=True),
                    params=self._params(peer),
                )
                return conn, address
            except (PeerError, SecurityError) as failed:
                error = failed
        raise error

    async def _keep(self, identity: bytes, scope: trio.CancelScope) -> None:
        with scope:
            attempt = 0
            while (peer := self._book.get(identity)) is not None:
                link = self._links.get(identity)
                if link is not None:
                    await link.down.wait()
                    attempt = 0
                    continue
                if identity < self._identity.public and attempt == 0:
                    await trio.sleep(HIGHER_WAITS_S)
                    attempt = 1
                    continue
                try:
                    conn, address = await self.try_dial(peer)
                except (PeerError, SecurityError) as error:
                    self.last_error[identity] = error
                else:
                    await self._serve(identity, conn, dialed=True, address=address)
                await trio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
                attempt += 1
        self._keepers.pop(identity, None)

    async def _serve(self, identity: bytes, conn: Conn, *, dialed: bool, address: str) -> None:
        by_lower = dialed == (self._identity.public < identity)
        standing = self._links.get(identity)
        if standing is not None and standing.by_lower and not by_lower:
            await conn.close("a connection stands already")
            return
        send, receive = trio.open_memory_channel[bytes](OUTGOING_MESSAGES)
        link = Link(conn, by_lower, address, send, trio.CancelScope())
        self._links[identity] = link
        if standing is not None:
            standing.scope.cancel()
        reason = "the node is stopping"
        try:
            with link.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, conn, receive)
                    nursery.start_soon(conn.keep_alive)
                    await conn.send(messages.encode(self._hello()))
                    await self._read(identity, link)
        except* (PeerError, SecurityError) as group:
            error = group.exceptions[0]
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            if isinstance(error, HansaError):
                self.last_error[identity] = error
                reason = "closed"
                logger.info("control connection ended: %s", error.message)
        finally:
            with trio.CancelScope(shield=True):
                await conn.close(reason)
            send.close()
            link.down.set()
            if self._links.get(identity) is link:
                del self._links[identity]
                if link.hello is not None:
                    await self._tell(self._down, identity)

    async def _write(self, conn: Conn, receive: trio.MemoryReceiveChannel[bytes]) -> None:
        async for data in receive:
            await conn.send(data)

    async def _read(self, identity: bytes, link: Link) -> None:
        while True:
            message = messages.decode_untrusted(await link.conn.receive())
            if isinstance(message, Hello):
                if link.hello is not None:
                    raise PeerMisbehaved("a peer said Hello twice", remedy="update both nodes to the same version")
                link.hello, link.skew_s = message, message.clock - time.time()
                self.last_error.pop(identity, None)
                self._book.seen(identity)
                if self._nursery is not None:
                    self._nursery.start_soon(self._tell, self._up, identity)
                continue
            if link.hello is None:
                raise PeerMisbehaved("a peer did not say Hello first", remedy="update both nodes to the same version")
            handler = self._handlers.get(type(message))
            if handler is None:
                continue
            try:
                await handler(identity, message)
            except PeerMisbehaved:
                raise
            except HansaError as error:
                logger.warning("a %s from a peer was refused: %s", type(message).__name__, error.message)

    async def _tell(self, callbacks: list[Callable[[bytes], Awaitable[None]]], identity: bytes) -> None:
        for callback in callbacks:
            try:
                await callback(identity)
            except HansaError as error:
                logger.warning("after a peer came or went: %s", error.message)

    def _params(self, peer: Peer) -> HandshakeParams:
        return HandshakeParams("KK", self._identity.static.secret, self._suites, remote_static=peer.record.static_key)

    def _token(self, peer: Peer, *, dialed_by_us: bool) -> bytes:
        ours, theirs = self._identity.static.public, peer.record.static_key
        pair = (ours, theirs) if dialed_by_us else (theirs, ours)
        return tagged_hash("hansa-control-token", *pair)[:16]


def _address_of(sock: SocketType) -> str:
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        return ""
    return f"{host}:{port}"
