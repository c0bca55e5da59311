"""Introductions: members tell each other whom they have pinned, so that one introduction reaches the league.

The trust rule: a record counts only when its own subject signed it, and pins a new member only when a peer that this
node has pinned passes it on, and ``peers.accept_introductions`` is true.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from hansa.node.mesh import Mesh
from hansa.node.peers import Peer, PeerBook
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.wire.limits import MAX_RECORDS
from hansa.protocols.wire.messages import Records
from hansa.protocols.wire.record import PeerRecord

logger = logging.getLogger(__name__)


class Gossip:
    """Spreads peer records over the mesh; ``own`` is this node's present record."""

    def __init__(
        self, mesh: Mesh, book: PeerBook, *, own: Callable[[], PeerRecord], accept_introductions: bool
    ) -> None:
        self._mesh, self._book, self._own, self._accept = mesh, book, own, accept_introductions
        mesh.on_up(self.greet)
        mesh.handle(Records, self._received)

    async def greet(self, identity: bytes) -> None:
        """Tell a peer all we have pinned, and our own record."""
        if self._mesh.online(identity):
            await self._mesh.send(identity, self._known())

    async def spread(self) -> None:
        """Tell everybody, after something changed."""
        await self._mesh.broadcast([peer.identity for peer in self._book.all()], self._known())

    def pinned(self, peer: Peer) -> None:
        """A peer was pinned: connect to it."""
        self._mesh.watch_peer(peer.identity)

    def _known(self) -> Records:
        signed = [peer.record.encode() for peer in self._book.all() if peer.record.sequence]
        return Records((self._own().encode(), *signed[: MAX_RECORDS - 1]))

    async def _received(self, sender: bytes, message: Records) -> None:
        introducer = self._book.get(sender)
        changed = False
        for raw in message.records:
            record = PeerRecord.decode_untrusted(raw)
            try:
                peer = self._book.learn(record, introducer.name if introducer else "a peer", accept_new=self._accept)
            except PeerMisbehaved as error:
                logger.warning("%s", error.message)
                self._book.warnings[record.identity] = error.message
                continue
            if peer is not None:
                changed = True
                self.pinned(peer)
        if changed:
            await self.spread()
