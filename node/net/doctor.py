"""Which leg of the mesh fails, and why: our own connections, and those between our peers as they see them."""

from __future__ import annotations

from typing import Any

import trio

from hansa.config.errors import HansaError
from hansa.node.net.connection import ChannelClosed
from hansa.node.net.mesh import Mesh
from hansa.node.net.peers import Peer, PeerBook
from hansa.node.net.requests import PROBE
from hansa.protocols.errors import PeerError, PeerMisbehaved, PeerTimeout, SecurityError
from hansa.protocols.wire.channel.preamble import PreambleRefused
from hansa.protocols.wire.messages import Probe, ProbeResult

MAX_SKEW_S = 60.0

Leg = dict[str, Any]


class Doctor:
    """Examines the mesh of the node called ``own_name``."""

    def __init__(self, mesh: Mesh, book: PeerBook, own_name: str) -> None:
        self._mesh, self._book, self._own_name = mesh, book, own_name
        mesh.handle(Probe, self._probed)

    async def examine(self) -> dict[str, Any]:
        """Every leg: from, to, ok, latency_ms, detail, remedy."""
        legs: list[Leg] = []
        peers = self._book.all()
        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(self._own_leg, peer, legs)
                for other in peers:
                    if other.identity != peer.identity and self._mesh.online(peer.identity):
                        nursery.start_soon(self._foreign_leg, peer, other, legs)
        return {"legs": sorted(legs, key=lambda leg: (leg["from"] != self._own_name, leg["from"], leg["to"]))}

    async def _own_leg(self, peer: Peer, legs: list[Leg]) -> None:
        ok, latency_ms, detail, remedy = await self._try(peer)
        legs.append(
            {"from": self._own_name, "to": peer.name, "ok": ok, "latency_ms": latency_ms, "detail": detail}
            | {"remedy": remedy}
        )

    async def _try(self, peer: Peer) -> tuple[bool, float | None, str, str]:
        link = self._mesh.link(peer.identity)
        if link is not None and self._mesh.online(peer.identity):
            latency = link.conn.latency_s
            if abs(link.skew_s) > MAX_SKEW_S:
                text = f"connected, but its clock is {link.skew_s:+.0f} s off ours"
                return False, _ms(latency), text, f"set the clocks of {self._own_name} and {peer.name} (NTP)"
            return True, _ms(latency), f"connected, {link.conn.suite}", ""
        try:
            conn, address = await self._mesh.try_dial(peer)
            await conn.close("examined")
        except HansaError as error:
            return False, None, error.message, _remedy(error, peer)
        return True, None, f"reachable at {address}; the connection is being set up", ""

    async def _foreign_leg(self, peer: Peer, target: Peer, legs: list[Leg]) -> None:
        leg: Leg = {"from": peer.name, "to": target.name, "ok": False, "latency_ms": None}
        try:
            result = await self._mesh.request(peer.identity, PROBE, target.identity)
            leg |= {"ok": result.ok, "detail": result.detail, "latency_ms": result.latency_us / 1000 or None}
        except PeerError:
            leg["detail"] = f"{peer.name} did not say"
        legs.append(leg | {"remedy": "" if leg["ok"] else f"run `hansa doctor` at {peer.name}"})

    async def _probed(self, sender: bytes, probe: Probe) -> None:
        peer = self._book.get(probe.target)
        link = self._mesh.link(probe.target)
        if peer is None:
            result = ProbeResult(probe.request, probe.target, False, 0, "not pinned there")
        elif link is not None and self._mesh.online(probe.target):
            result = ProbeResult(probe.request, probe.target, True, int((link.conn.latency_s or 0) * 1e6), "connected")
        else:
            error = self._mesh.last_error.get(probe.target)
            detail = error.message[:400] if error is not None else "not connected"
            result = ProbeResult(probe.request, probe.target, False, 0, detail)
        await self._mesh.send(sender, result)


def _remedy(error: HansaError, peer: Peer) -> str:
    match error:
        case PreambleRefused() | PeerTimeout():
            return error.remedy
        case SecurityError():
            return f"compare fingerprints: `hansa peer list` here, `hansa status` at {peer.name}; then pin it anew"
        case ChannelClosed():
            return "nothing, unless it happens again"
        case PeerMisbehaved():
            return f"another program listens at {', '.join(peer.record.addresses)}: correct the address of {peer.name}"
        case _ if "handshake" in error.message:
            return f"check at {peer.name} that this node is pinned there with its present key (`hansa peer list`)"
        case _:
            return f"check that {peer.name}'s node runs and listens at {', '.join(peer.record.addresses)}"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
