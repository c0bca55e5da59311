"""The admin methods about the node itself: node.*, peer.*, audit.* (jobs, data and models have their own modules)."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import trio

from hansa.node.admin.answers import PeerView
from hansa.node.admin.server import Handler, text_param
from hansa.node.audit import HeadCheck
from hansa.node.errors import UsageError
from hansa.node.net.doctor import MAX_SKEW_S
from hansa.node.net.peers import Peer
from hansa.node.net.requests import HEADS
from hansa.node.software import software_version
from hansa.protocols.errors import PeerError, SecurityError
from hansa.protocols.wire.messages import Heads, HeadsRequest
from hansa.protocols.wire.record import PeerRecord, split_address, valid_name

if TYPE_CHECKING:
    from hansa.node.daemon import Daemon

MANY_REFUSED = 100
Json = dict[str, Any]


class NodeMethods:
    """Answers for one daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        daemon.mesh.handle(HeadsRequest, self._heads_asked)

    def methods(self) -> dict[str, Handler]:
        """Name to handler."""
        return {
            "node.status": self.status,
            "node.doctor": self._daemon.doctor.examine,
            "node.stop": self.stop,
            "peer.invite": self.invite,
            "peer.join": self.join,
            "peer.add": self.add,
            "peer.list": self.peers,
            "peer.remove": self.remove,
            "audit.show": self.audit_show,
            "audit.verify": self.audit_verify,
        }

    # --- node ----------------------------------------------------------------------------------------------------

    async def status(self) -> Json:
        """The node at a glance."""
        daemon = self._daemon
        return {
            "name": daemon.settings.node.name,
            "fingerprint": daemon.identity.fingerprint,
            "identity": daemon.identity.public.hex(),
            "key": daemon.identity.key_text,
            "version": software_version(),
            "pid": os.getpid(),
            "uptime_s": round(time.time() - daemon.started, 1),
            "listen": f"{daemon.settings.listen.host}:{daemon.listener.port}",
            "addresses": list(daemon.addresses),
            "rss_mb": _rss_mb(),
            "peers": await self.peers(),
            "candidates": self._candidates(),
            "jobs": [],
            "approvals": [],
            "datasets": 0,
            **daemon.status_of_jobs(),
            "warnings": [*self._warnings(), *self._daemon.hardware.warnings()],
        }

    async def stop(self) -> Json:
        """End the daemon."""
        self._daemon.stop()
        return {"stopping": True}

    def _candidates(self) -> list[Json]:
        discovery = self._daemon.discovery
        found = discovery.candidates.values() if discovery is not None else ()
        return [{"instance": c.instance, "address": c.address} for c in found]

    def _warnings(self) -> list[Json]:
        daemon = self._daemon
        warnings = [
            {"text": text, "remedy": "rename one: node.name in its hansa.toml, or `hansa peer remove` the stranger"}
            for text in daemon.book.warnings
        ]
        for peer in daemon.book.all():
            link = daemon.mesh.link(peer.identity)
            error = daemon.mesh.last_error.get(peer.identity)
            if link is None:
                why = f": {error.message}" if error is not None else ""
                warnings.append({"text": f"{peer.name} is offline{why}", "remedy": "hansa doctor"})
            elif abs(link.skew_s) > MAX_SKEW_S:
                text = f"the clock of {peer.name} is {link.skew_s:+.0f} s off ours"
                warnings.append({"text": text, "remedy": "set both clocks (NTP): contracts expire by the clock"})
        counted = {daemon.settings.node.name, *(peer.name for peer in daemon.book.all() if not peer.introduced)}
        for name in sorted(set(daemon.settings.tee.voters) - counted):
            text = f"votes of '{name}' do not count (tee.voters): no peer was pinned here under that name"
            warnings.append({"text": text, "remedy": "hansa peer invite, or correct tee.voters in hansa.toml"})
        if not daemon.addresses:
            text = "this node listens on every interface and tells peers no address: none can dial it"
            warnings.append({"text": text, "remedy": 'set listen.advertise = ["host:port"] in hansa.toml, restart'})
        if daemon.discovery is not None and daemon.discovery.problem:
            warnings.append({"text": daemon.discovery.problem, "remedy": "see the log, or turn discovery.zeroconf off"})
        if daemon.listener.refused > MANY_REFUSED:
            text = f"{daemon.listener.refused} connections from strangers were refused within an hour"
            warnings.append({"text": text, "remedy": "limit the port to your peers in the firewall"})
        return warnings

    # --- peers ---------------------------------------------------------------------------------------------------

    async def invite(self, ttl_s: int = 3600) -> Json:
        """A one-time code."""
        if not isinstance(ttl_s, int):
            raise UsageError("'ttl_s' must be a whole number of seconds", remedy="hansa peer invite --ttl 1h")
        invitation = self._daemon.invites.create(ttl_s)
        self._daemon.audit.append("invitation", {"token": invitation.token.hex(), "expires": invitation.expires})
        return {"code": invitation.code(), "expires": invitation.expires, "expires_s": ttl_s}

    async def join(self, code: str) -> Json:
        """Use a code."""
        peer = await self._daemon.invites.join(text_param("code", code))
        return {"peer": self._peer(peer)}

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
        peer = self._daemon.book.pin(PeerRecord.by_hand(identity, static, name, address), "added")
        self._daemon.pinned(peer)
        return {"peer": self._peer(peer)}

    async def peers(self) -> list[PeerView]:
        """All pinned peers."""
        return [self._peer(peer) for peer in self._daemon.book.all()]

    async def remove(self, peer: str) -> Json:
        """Unpin one."""
        found = self._daemon.book.find(text_param("peer", peer))
        self._daemon.book.remove(found.identity)
        self._daemon.mesh.drop_peer(found.identity)
        self._daemon.audit.append("peer-removed", {"peer": found.name, "identity": found.identity})
        configured = any(entry.key.lower().startswith(found.identity.hex()) for entry in self._daemon.settings.peer)
        note = "it stands in hansa.toml, and comes back at the next start unless its [[peer]] is deleted there"
        return {"removed": found.name, "note": note if configured else None}

    def _peer(self, peer: Peer) -> PeerView:
        link = self._daemon.mesh.link(peer.identity)
        online = self._daemon.mesh.online(peer.identity)
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
            "hardware": self._daemon.hardware.of(peer.identity),
        }

    # --- audit ---------------------------------------------------------------------------------------------------

    async def audit_show(self, since: int = 0, limit: int = 1000) -> list[Json]:
        """Entries above ``since``; bytes in hex."""
        if not isinstance(since, int) or not isinstance(limit, int):
            raise UsageError("'since' and 'limit' must be whole numbers", remedy="hansa audit show --since 10")
        entries = self._daemon.audit.shown(since, max(0, min(limit, 100_000)))
        for entry in entries:
            entry["body"] = _shown(entry["body"])
        return entries

    async def audit_verify(self) -> Json:
        """Recompute the chain and ask every online peer for the heads it holds of us."""
        audit = self._daemon.audit
        try:
            count = await audit.verify_chain()
        except SecurityError as error:
            return {"ok": False, "entries": None, "heads_checked": [], "unreachable": [], "problem": error.message}
        checks: list[HeadCheck] = []
        unreachable: list[str] = []
        async with trio.open_nursery() as nursery:
            for peer in self._daemon.book.all():
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
            held = await self._daemon.mesh.request(peer.identity, HEADS)
        except PeerError:
            unreachable.append(peer.name)
        else:
            checks.append(self._daemon.audit.check_heads_untrusted(peer.name, held.heads))

    async def _heads_asked(self, sender: bytes, message: HeadsRequest) -> None:
        await self._daemon.mesh.send(sender, Heads(message.request, self._daemon.audit.heads_of(sender)))


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


def _rss_mb() -> float | None:
    try:
        with open("/proc/self/statm") as file:
            return round(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
    except OSError:
        return None
