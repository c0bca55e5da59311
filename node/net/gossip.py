"""Introductions: members tell each other whom they have pinned, so that one introduction reaches the league.

The trust rule: a record counts only when its own subject signed it, and pins a new member only when a peer that this
node has pinned passes it on, and ``peers.accept_introductions`` is true.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from hansa.node.net.mesh import Mesh
from hansa.node.net.peers import Peer, PeerBook
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.wire.limits import MAX_RECORDS
from hansa.protocols.wire.messages import Records
from hansa.protocols.wire.record import PeerRecord

logger = logging.getLogger(__name__)

SPREAD_EVERY_S = 0.5
"""What others' records change is passed on at most this often: no member can make the league talk without end."""


class Gossip:
    """Spreads peer records over the mesh.

    ``own`` is this node's present record; ``pinned`` is told of each member that an introduction pinned;
    ``outnumbered`` of a sequence number under which others hold another record of this node.
    """

    def __init__(
        self,
        mesh: Mesh,
        book: PeerBook,
        *,
        own: Callable[[], PeerRecord],
        accept_introductions: bool,
        pinned: Callable[[Peer], None],
        outnumbered: Callable[[int], None],
    ) -> None:
        self._mesh, self._book, self._own, self._accept = mesh, book, own, accept_introductions
        self._pinned, self._outnumbered = pinned, outnumbered
        self._changed = trio.Event()
        mesh.on_up(self.greet)
        mesh.handle(Records, self._received)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Pass on what changes, until cancelled."""
        task_status.started()
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            await self._mesh.broadcast([peer.identity for peer in self._book.all()], self._known())
            await trio.sleep(SPREAD_EVERY_S)

    async def greet(self, identity: bytes) -> None:
        """Tell a peer all we have pinned, and our own record."""
        if self._mesh.online(identity):
            await self._mesh.send(identity, self._known())

    def spread(self) -> None:
        """Something changed: everybody is told soon."""
        self._changed.set()

    def learn(self, records: tuple[bytes, ...], introducer: str) -> None:
        """Take in what a pinned peer passed on; raises ``PeerMisbehaved`` or ``SecurityError`` for forged records."""
        for record in [PeerRecord.decode_untrusted(raw) for raw in records]:
            if record.identity == self._own().identity:
                self._look_at_own(record)
                continue
            new = self._book.get(record.identity) is None
            try:
                peer = self._book.learn(record, introducer, accept_new=self._accept)
            except PeerMisbehaved as error:  # its signer's fault, not the introducer's
                logger.warning("%s", error.message)
                self._book.contradicted(record.identity, error.message)
                continue
            if peer is not None:
                self.spread()
                if new:
                    self._pinned(peer)

    def _look_at_own(self, record: PeerRecord) -> None:
        """After a home came back from a backup, others hold a newer record of this node: ours must be newer still."""
        own = self._own()
        if record.sequence >= own.sequence and record.encode() != own.encode():
            logger.warning("another record of this node is in use: is its key in use on a second machine?")
            self._outnumbered(record.sequence)
            self.spread()

    def _known(self) -> Records:
        signed = [peer.record.encode() for peer in self._book.all() if peer.record.sequence]
        return Records((self._own().encode(), *signed[: MAX_RECORDS - 1]))

    async def _received(self, sender: bytes, message: Records) -> None:
        introducer = self._book.get(sender)
        if introducer is not None:
            self.learn(message.records, introducer.name)
