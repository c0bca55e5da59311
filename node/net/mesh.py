"""One control link to every pinned peer, kept up; the rest of the daemon sends and receives messages here.

The node with the lower identity dials. The other one dials too when nobody has come within three seconds. Where both
succeed, the link that the lower identity dialed stays. A peer's bad bytes end its own link and touch nothing else.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import trio
from trio.socket import SocketType

from hansa.config.errors import HansaError
from hansa.node.identity import Identity
from hansa.node.net.connection import Connection, HandshakeParams, Purpose, accept
from hansa.node.net.control_link import ControlLink
from hansa.node.net.dialler import Backoff, dial_any
from hansa.node.net.peers import Peer, PeerBook
from hansa.node.net.requests import Exchange, R, Reply, Requests
from hansa.protocols.errors import PeerError, PeerLost, PeerMisbehaved, SecurityError
from hansa.protocols.wire.channel.preamble import Preamble
from hansa.protocols.wire.limits import KEEP_ALIVE_INTERVAL_S
from hansa.protocols.wire.messages import Hello, Message
from hansa.protocols.wire.signing import tagged_hash

logger = logging.getLogger(__name__)

M = TypeVar("M")
P = ParamSpec("P")
Handler = Callable[[bytes, Any], Awaitable[None]]

HIGHER_WAITS_S = 3.0
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
STABLE_S = 10.0
"""A connection that lasted this long is dialed again at once when it ends."""
MAX_BEGINNING = 4
"""Connections in one peer's name that have not said Hello yet: its token is no secret, so strangers can begin some."""


class Mesh:
    """The control links of the node ``identity`` to all peers of ``book``."""

    def __init__(
        self, identity: Identity, book: PeerBook, *, suites: tuple[str, ...], hello: Callable[[], Hello]
    ) -> None:
        self._identity, self._book, self._suites, self._hello = identity, book, suites, hello
        self._links: dict[bytes, ControlLink] = {}
        self._beginning: Counter[bytes] = Counter()
        self._handlers: dict[type[Any], Handler] = {}
        self._requests = Requests()
        self._up: list[Callable[[bytes], Awaitable[None]]] = []
        self._down: list[Callable[[bytes], Awaitable[None]]] = []
        self._keepers: dict[bytes, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None
        self.last_error: dict[bytes, HansaError] = {}

    # --- for the rest of the daemon ------------------------------------------------------------------------------

    def handle(self, kind: type[M], handler: Callable[[bytes, M], Awaitable[None]]) -> None:
        """Have ``handler(identity, message)`` called with every message of this type, one at a time for each peer.

        It must return soon: the peer's next message waits for it. What it raises is logged; ``PeerMisbehaved`` ends the link.
        Replies have no handler, ``request`` returns them.
        """
        self._handlers[kind] = handler

    def on_up(self, callback: Callable[[bytes], Awaitable[None]]) -> None:
        """Have ``callback(identity)`` called when a link to a peer stands, also one that replaces another.

        Messages may have been lost with the link before: resynchronise here.
        """
        self._up.append(callback)

    def on_down(self, callback: Callable[[bytes], Awaitable[None]]) -> None:
        """Have ``callback(identity)`` called when a peer has gone offline."""
        self._down.append(callback)

    def online(self, identity: bytes) -> bool:
        """Whether the peer's daemon is connected and has said Hello."""
        return identity in self._links

    def link(self, identity: bytes) -> ControlLink | None:
        """The live link to a peer; None while it is offline."""
        return self._links.get(identity)

    async def send(self, identity: bytes, message: Message) -> None:
        """Queue a message to a peer; ``PeerLost`` if it is offline. Order is kept."""
        self._standing(identity).post(message)

    async def request(self, identity: bytes, exchange: Exchange[P, R], *fields: P.args, **named: P.kwargs) -> R:
        """The peer's reply to a request of these fields, over the connection that stands at the call.

        Raises ``PeerLost`` if the peer is offline, and as ``Requests.ask``.
        """
        link = self._standing(identity)
        return await self._requests.ask(link, self._book.name_of(identity), exchange, *fields, **named)

    async def broadcast(self, identities: Iterable[bytes], message: Message) -> None:
        """Queue a message to those that are online. Who sends must tell the others when they are back (``on_up``)."""
        for identity in identities:
            link = self._links.get(identity)
            if link is not None:
                link.post(message)

    def watch_peer(self, identity: bytes) -> None:
        """Start keeping a link to a peer just pinned."""
        if self._nursery is not None and identity not in self._keepers:
            scope = trio.CancelScope()
            self._keepers[identity] = scope
            self._nursery.start_soon(self._keep, identity, scope)

    def drop_peer(self, identity: bytes) -> None:
        """Stop that, and end the link: the peer was removed."""
        scope = self._keepers.pop(identity, None)
        if scope is not None:
            scope.cancel()
        link = self._links.get(identity)
        if link is not None:
            link.scope.cancel()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep a link to every peer of the book until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                for peer in self._book.all():
                    self.watch_peer(peer.identity)
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None  # links that the listener serves may end after this

    # --- links ---------------------------------------------------------------------------------------------------

    async def accept(self, sock: SocketType, preamble: Preamble) -> None:
        """Serve a connection that somebody dialed. Raises ``PeerLost``, and closes it, unless a pinned peer did."""
        peer = next((p for p in self._book.all() if preamble.token == self._token(p, dialed_by_us=False)), None)
        if peer is None or self._beginning[peer.identity] >= MAX_BEGINNING:
            sock.close()
            raise PeerLost("a control connection from nobody pinned here", remedy="nothing: it was closed")
        with self._begins(peer.identity):
            conn = await accept(sock, preamble, params=self._params(peer))
            link = await self._greeted(peer.identity, conn, dialed=False, address=_address_of(sock))
        await self._serve(peer.identity, link)

    async def try_dial(self, peer: Peer) -> tuple[Connection, str]:
        """One attempt at each address of a peer; raises the last error."""
        try:
            return await dial_any(
                peer.name,
                peer.record.addresses,
                purpose=Purpose.CONTROL,
                token=self._token(peer, dialed_by_us=True),
                params=self._params(peer),
            )
        except (PeerError, SecurityError) as error:
            self.last_error[peer.identity] = error
            raise

    async def _keep(self, identity: bytes, scope: trio.CancelScope) -> None:
        with scope:
            backoff = Backoff(BACKOFF_S)
            wait_for_them = identity < self._identity.public
            while (peer := self._book.get(identity)) is not None:
                link = self._links.get(identity)
                if link is not None:
                    await link.down.wait()
                    backoff.reset()
                    wait_for_them = identity < self._identity.public
                elif wait_for_them:
                    await trio.sleep(HIGHER_WAITS_S)
                    wait_for_them = False
                else:
                    if await self._dial_and_serve(peer):
                        backoff.reset()
                    await backoff.pause()
        if self._keepers.get(identity) is scope:
            del self._keepers[identity]

    async def _dial_and_serve(self, peer: Peer) -> bool:
        """Dial a peer once and serve the link to its end; whether it stood for longer than ``STABLE_S``."""
        try:
            conn, address = await self.try_dial(peer)
            link = await self._greeted(peer.identity, conn, dialed=True, address=address)
        except (PeerError, SecurityError) as error:
            self.last_error[peer.identity] = error
            return False
        began = trio.current_time()
        await self._serve(peer.identity, link)
        return trio.current_time() - began > STABLE_S

    async def _greeted(self, identity: bytes, conn: Connection, *, dialed: bool, address: str) -> ControlLink:
        link = ControlLink(conn, by_lower=dialed == (self._identity.public < identity), address=address)
        try:
            await link.greet(self._hello())
        except BaseException as error:
            with trio.CancelScope(shield=True):
                await conn.close(error.message if isinstance(error, PeerMisbehaved) else "no Hello")
            raise
        return link

    async def _serve(self, identity: bytes, link: ControlLink) -> None:
        # only here, after its Hello, does a link replace another: nobody ends one by beginning a second
        standing = self._links.get(identity)
        keep = standing is not None and standing.by_lower and not link.by_lower
        if standing is not None and keep and not standing.stale(2 * KEEP_ALIVE_INTERVAL_S):
            await link.conn.close("a connection stands already")
            return
        if self._book.get(identity) is None:
            await link.conn.close("not pinned any more")
            return
        self._links[identity] = link
        if standing is not None:
            self._requests.lost(standing)
            standing.scope.cancel()
        self.last_error.pop(identity, None)
        self._book.seen(identity)
        self._start_telling(self._up, identity)
        try:
            await link.run(lambda message: self._dispatch(identity, link, message))
        finally:
            self._requests.lost(link)
            if self._links.get(identity) is link:
                del self._links[identity]
                self._book.seen(identity)
                if link.end is not None:
                    logger.info("a control connection ended: %s", link.end.message)
                    self.last_error[identity] = link.end
                self._start_telling(self._down, identity)
            link.down.set()

    async def _dispatch(self, identity: bytes, link: ControlLink, message: Message) -> None:
        """A message that has no handler, as in a node without that service, is dropped."""
        if isinstance(message, Reply):
            self._requests.answered(link, message)
            return
        handler = self._handlers.get(type(message))
        if handler is not None:
            await handler(identity, message)

    def _standing(self, identity: bytes) -> ControlLink:
        """The live link to a peer; ``PeerLost`` where there is none."""
        link = self._links.get(identity)
        if link is not None:
            return link
        peer = self._book.get(identity)
        raise PeerLost(
            f"{peer.name if peer else 'the peer'} is offline",
            remedy="see which leg fails with `hansa doctor`",
            peer=peer.name if peer else None,
        )

    @contextmanager
    def _begins(self, identity: bytes) -> Iterator[None]:
        self._beginning[identity] += 1
        try:
            yield
        finally:
            self._beginning[identity] -= 1

    def _start_telling(self, callbacks: list[Callable[[bytes], Awaitable[None]]], identity: bytes) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(self._tell, callbacks, identity)

    async def _tell(self, callbacks: list[Callable[[bytes], Awaitable[None]]], identity: bytes) -> None:
        for callback in callbacks:
            try:
                await callback(identity)
            except HansaError as error:
                logger.warning("after a peer came or went: %s", error.message)
            except Exception:
                logger.exception("after a peer came or went")

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
