"""The admin methods audit.*, and the heads of audit logs that peers keep for each other."""

from __future__ import annotations

from typing import Any

import trio

from hansa.node.admin.server import Handler
from hansa.node.admin.views import Json
from hansa.node.audit import Audit, HeadCheck
from hansa.node.errors import UsageError
from hansa.node.net.mesh import Mesh
from hansa.node.net.peers import Peer, PeerBook
from hansa.node.net.requests import HEADS
from hansa.protocols.errors import PeerError, SecurityError
from hansa.protocols.wire.chain import AuditHead
from hansa.protocols.wire.messages import Heads, HeadsRequest


class AuditMethods:
    """Answers about the audit log of one node, whose heads the peers in ``book`` keep."""

    def __init__(self, audit: Audit, mesh: Mesh, book: PeerBook) -> None:
        self._audit, self._mesh, self._book = audit, mesh, book
        mesh.handle(AuditHead, self._head_told)
        mesh.handle(HeadsRequest, self._heads_asked)

    def methods(self) -> dict[str, Handler]:
        """Name to handler."""
        return {"audit.show": self.show, "audit.verify": self.verify}

    async def show(self, since: int = 0, limit: int = 1000) -> list[Json]:
        """Entries above ``since``; bytes in hex."""
        if not isinstance(since, int) or not isinstance(limit, int):
            raise UsageError("'since' and 'limit' must be whole numbers", remedy="hansa audit show --since 10")
        entries = self._audit.shown(since, max(0, min(limit, 100_000)))
        for entry in entries:
            entry["body"] = _shown(entry["body"])
        return entries

    async def verify(self) -> Json:
        """Recompute the chain and ask every online peer for the heads it holds of us."""
        try:
            count = await self._audit.verify_chain()
        except SecurityError as error:
            return {"ok": False, "entries": None, "heads_checked": [], "unreachable": [], "problem": error.message}
        checks: list[HeadCheck] = []
        unreachable: list[str] = []
        async with trio.open_nursery() as nursery:
            for peer in self._book.all():
                nursery.start_soon(self._check_with, peer, checks, unreachable)
        problem = next((check.problem for check in checks if check.problem is not None), None)
        return {
            "ok": problem is None,
            "entries": count,
            "heads_checked": [{"peer": c.peer, "count": c.count, "ok": c.problem is None} for c in checks],
            "unreachable": sorted(unreachable),
            "problem": problem,
        }

    async def _check_with(self, peer: Peer, checks: list[HeadCheck], unreachable: list[str]) -> None:
        try:
            held = await self._mesh.request(peer.identity, HEADS)
        except PeerError:
            unreachable.append(peer.name)
        else:
            checks.append(self._audit.check_heads_untrusted(peer.name, held.heads))

    async def _head_told(self, sender: bytes, head: AuditHead) -> None:
        self._audit.keep_head_untrusted(sender, head)

    async def _heads_asked(self, sender: bytes, message: HeadsRequest) -> None:
        await self._mesh.send(sender, Heads(message.request, self._audit.heads_of(sender)))


def _shown(value: Any) -> Any:
    """A value as JSON has it: bytes in hex."""
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {key: _shown(inner) for key, inner in value.items()}
        case list():
            return [_shown(inner) for inner in value]
        case _:
            return value
