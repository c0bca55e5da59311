"""Questions to peers: prove what code you run, on this very connection, in answer to this nonce.

    verifier  --nonce, role-->  attested node            (one round on the control channel)
    verifier  <--evidence over (identity, this channel, nonce, role), collateral--

A peer is asked one question at a time, and beside it one of what it is, whatever jobs want to know. A nonce is asked once and
forgotten; a question dies with the connection that it was asked on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from hansa.node.net.control_link import ControlLink
from hansa.node.net.mesh import Mesh
from hansa.node.tee.peers.responder import NO_HARDWARE
from hansa.protocols.errors import PeerError, PeerLost, PeerTimeout, SecurityError
from hansa.protocols.wire.attestation.statements.binding import NONCE_BYTES, Role
from hansa.protocols.wire.limits import ATTESTATION_DEADLINE_S
from hansa.protocols.wire.messages import AttestReply, AttestRequest

REMEDY = "look at its log, and at [tee] in its hansa.toml"


@dataclass(frozen=True, slots=True)
class AttestationAnswer:
    """A reply with a proof in it, the nonce it answers, and the connection that both travelled on."""

    reply: AttestReply
    nonce: bytes
    link: ControlLink


@dataclass(slots=True)
class _Open:
    link: ControlLink
    reply: AttestReply | None = None
    over: trio.Event = field(default_factory=trio.Event)


class AttestationRequester:
    """``name_of`` is for errors."""

    def __init__(self, mesh: Mesh, name_of: Callable[[bytes], str]) -> None:
        self._mesh, self._name_of = mesh, name_of
        self._open: dict[tuple[bytes, int], _Open] = {}
        self._turns: dict[tuple[bytes, bool], trio.Lock] = {}
        self._request = 0
        mesh.handle(AttestReply, self._told)
        mesh.on_up(self._changed)
        mesh.on_down(self._changed)

    async def put(self, identity: bytes, role: Role, mark: bytes) -> AttestationAnswer:
        """Have a peer prove itself for a role; ``mark`` is the latest it has shown of its sealed state.

        Raises ``SecurityError`` where it says that it has no hardware; ``PeerLost`` (offline, or lost meanwhile), ``PeerTimeout``
        (30 s), ``PeerError`` (it has no answer now) where nothing is known of it.
        """
        name = self._name_of(identity)
        with trio.move_on_after(ATTESTATION_DEADLINE_S):
            async with self._turns.setdefault((identity, role is Role.PEER), trio.Lock()):
                answer = await self._exchanged(identity, role, mark)
                problem = answer.reply.problem
                if problem == NO_HARDWARE:
                    raise SecurityError(f"{name} cannot prove its code: {problem}", remedy=REMEDY)
                if problem:
                    raise PeerError(f"{name} cannot prove its code now: {problem}", remedy=REMEDY)
                return answer
        raise PeerTimeout(f"{name} did not prove its code within {ATTESTATION_DEADLINE_S:g} s", remedy=REMEDY)

    async def _exchanged(self, identity: bytes, role: Role, mark: bytes) -> AttestationAnswer:
        name, link = self._name_of(identity), self._mesh.link(identity)
        if link is None:
            raise PeerLost(f"{name} is offline", remedy="see which leg fails with `hansa doctor`")
        self._request += 1
        request, nonce, opened = self._request, os.urandom(NONCE_BYTES), _Open(link)
        self._open[identity, request] = opened
        try:
            await self._mesh.send(identity, AttestRequest(request, nonce, role, mark))
            await opened.over.wait()
        finally:
            del self._open[identity, request]
        if opened.reply is None:
            raise PeerLost(f"the connection to {name} ended before it proved its code", remedy="see `hansa doctor`")
        return AttestationAnswer(opened.reply, nonce, link)

    async def _told(self, sender: bytes, reply: AttestReply) -> None:
        opened = self._open.get((sender, reply.request))
        if opened is not None and opened.link is self._mesh.link(sender):
            opened.reply = reply
            opened.over.set()

    async def _changed(self, identity: bytes) -> None:
        """Its connection is gone, or another took its place: what was asked on the one before stays without an answer."""
        for (peer, _), opened in self._open.items():
            if peer == identity and opened.link is not self._mesh.link(identity):
                opened.over.set()
