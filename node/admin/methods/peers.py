"""The admin methods peer.*: whom this node has pinned, and how others come in."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable, Sequence

from hansa.config.settings import PeerEntry
from hansa.node.admin.answers import PeerView
from hansa.node.admin.server import Handler, text_param
from hansa.node.admin.views import Json
from hansa.node.audit import Audit
from hansa.node.errors import UsageError
from hansa.node.net.doctor import MAX_SKEW_S
from hansa.node.net.invites import Invites
from hansa.node.net.mesh import Mesh
from hansa.node.net.peers import Peer, PeerBook
from hansa.protocols.wire.record import PeerRecord, split_address, valid_name


class PeerMethods:
    """Answers about the peers of one node.

    ``pinned`` is told of whom an operator pins, ``hardware`` says what is known of a peer's, ``configured`` are the peers of
    the settings.
    """

    def __init__(
        self,
        book: PeerBook,
        mesh: Mesh,
        invites: Invites,
        audit: Audit,
        *,
        pinned: Callable[[Peer], None],
        hardware: Callable[[bytes], Json | None],
        configured: Sequence[PeerEntry],
    ) -> None:
        self._book, self._mesh, self._invites, self._audit = book, mesh, invites, audit
        self._pinned, self._hardware, self._configured = pinned, hardware, configured

    def methods(self) -> dict[str, Handler]:
        """Name to handler."""
        return {
            "peer.invite": self.invite,
            "peer.join": self.join,
            "peer.add": self.add,
            "peer.list": self.list,
            "peer.remove": self.remove,
        }

    def warnings(self) -> builtins.list[Json]:
        """What `hansa status` warns of: shared names, and peers that are offline or whose clock is off."""
        warnings = [
            {"text": text, "remedy": "rename one: node.name in its hansa.toml, or `hansa peer remove` the stranger"}
            for text in self._book.warnings
        ]
        for peer in self._book.all():
            link = self._mesh.link(peer.identity)
            error = self._mesh.last_error.get(peer.identity)
            if link is None:
                why = f": {error.message}" if error is not None else ""
                warnings.append({"text": f"{peer.name} is offline{why}", "remedy": "hansa doctor"})
            elif abs(link.skew_s) > MAX_SKEW_S:
                text = f"the clock of {peer.name} is {link.skew_s:+.0f} s off ours"
                warnings.append({"text": text, "remedy": "set both clocks (NTP): contracts expire by the clock"})
        return warnings

    async def invite(self, ttl_s: int = 3600) -> Json:
        """A one-time code."""
        if not isinstance(ttl_s, int):
            raise UsageError("'ttl_s' must be a whole number of seconds", remedy="hansa peer invite --ttl 1h")
        invitation = self._invites.create(ttl_s)
        self._audit.append("invitation", {"token": invitation.token.hex(), "expires": invitation.expires})
        return {"code": invitation.code(), "expires": invitation.expires, "expires_s": ttl_s}

    async def join(self, code: str) -> Json:
        """Use a code."""
        peer = await self._invites.join(text_param("code", code))
        return {"peer": self._view(peer)}

    async def add(self, name: str, key: str, address: str) -> Json:
        """Pin a peer whose keys the operator typed."""
        try:
            identity, static = (bytes.fromhex(part) for part in text_param("key", key).split("."))
        except ValueError:
            identity = static = b""
        if len(identity) != 32 or len(static) != 32:
            raise UsageError(
                "the key must be two hex numbers of 64 digits with a dot between",
                remedy="copy what `hansa status --key` prints at the other node",
            )
        if not valid_name(text_param("name", name)):
            raise UsageError(f"'{name}' cannot name a peer", remedy="use letters, digits, dots, dashes, underscores")
        try:
            split_address(text_param("address", address))
        except ValueError as error:
            raise UsageError(str(error), remedy="hansa peer add NAME --key KEY --address host:port") from error
        peer = self._book.pin(PeerRecord.by_hand(identity, static, name, address), "added")
        self._pinned(peer)
        return {"peer": self._view(peer)}

    async def list(self) -> list[PeerView]:
        """All pinned peers."""
        return [self._view(peer) for peer in self._book.all()]

    async def remove(self, peer: str) -> Json:
        """Unpin one."""
        found = self._book.find(text_param("peer", peer))
        self._book.remove(found.identity)
        self._mesh.drop_peer(found.identity)
        self._audit.append("peer-removed", {"peer": found.name, "identity": found.identity})
        configured = any(entry.key.lower().startswith(found.identity.hex()) for entry in self._configured)
        note = "it stands in hansa.toml, and comes back at the next start unless its [[peer]] is deleted there"
        return {"removed": found.name, "note": note if configured else None}

    def _view(self, peer: Peer) -> PeerView:
        link = self._mesh.link(peer.identity)
        online = self._mesh.online(peer.identity)
        latency = link.conn.latency_s if link is not None else None
        seen = time.time() if online else peer.last_seen
        return {
            "name": peer.name,
            "fingerprint": peer.fingerprint,
            "identity": peer.identity.hex(),
            "address": ", ".join(peer.record.addresses),
            "online": online,
            "last_seen_s": None if seen is None else round(time.time() - seen, 1),
            "latency_ms": None if latency is None else round(latency * 1000, 2),
            "version": link.hello.version if link is not None else None,
            "how": peer.how,
            "hardware": self._hardware(peer.identity),
        }
