"""The verifier's side of attestation: ask a peer to prove what code it runs, on this connection, over a fresh nonce.

verifier  --nonce, role-->  attested node            (one round on the control connection)
verifier  <--evidence over (identity, this channel, nonce, role), collateral--
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import trio

from hansa.node.net.control_link import ControlLink
from hansa.node.net.mesh import Mesh
from hansa.node.net.requests import ATTESTATION
from hansa.node.tee.peers.responder import NO_HARDWARE
from hansa.protocols.errors import PeerError, PeerLost, PeerTimeout, SecurityError
from hansa.protocols.wire.attestation.statements.binding import NONCE_BYTES, Role
from hansa.protocols.wire.limits import ATTESTATION_DEADLINE_S
from hansa.protocols.wire.messages import AttestReply

REMEDY = "look at its log, and at [tee] in its hansa.toml"


@dataclass(frozen=True, slots=True)
class AttestationAnswer:
    """A reply that holds a proof, the nonce that the proof must cover, and the connection that carried both."""

    reply: AttestReply
    nonce: bytes
    link: ControlLink


class AttestationRequester:
    """Asks peers for proofs. ``name_of`` gives a peer's name, for errors."""

    def __init__(self, mesh: Mesh, name_of: Callable[[bytes], str]) -> None:
        self._mesh, self._name_of = mesh, name_of
        # a lock for requests of jobs and one for requests about the peer itself: jobs never keep a peer from proving what it is
        self._turns: dict[tuple[bytes, bool], trio.Lock] = {}

    async def ask(self, identity: bytes, role: Role, seen: bytes) -> AttestationAnswer:
        """A peer's proof for a role; ``seen`` are the epoch tokens that it has shown to this node.

        Raises ``SecurityError`` where the peer says that it has no hardware. Other errors tell nothing of its hardware:
        ``PeerLost`` (it is offline, or the connection ended), ``PeerTimeout`` (no proof within 30 s, of which the wait for
        earlier requests is a part), ``PeerError`` (it says that it cannot answer now).
        """
        name = self._name_of(identity)
        with trio.move_on_after(ATTESTATION_DEADLINE_S):
            async with self._turns.setdefault((identity, role is Role.PEER), trio.Lock()):
                answer = await self._request(identity, role, seen)
                problem = answer.reply.problem
                if problem == NO_HARDWARE:
                    raise SecurityError(f"{name} cannot prove its code: {problem}", remedy=REMEDY)
                if problem:
                    raise PeerError(f"{name} cannot prove its code now: {problem}", remedy=REMEDY)
                return answer
        raise PeerTimeout(f"{name} did not prove its code within {ATTESTATION_DEADLINE_S:g} s", remedy=REMEDY)

    async def _request(self, identity: bytes, role: Role, seen: bytes) -> AttestationAnswer:
        name, link, nonce = self._name_of(identity), self._mesh.link(identity), os.urandom(NONCE_BYTES)
        if link is None:
            raise PeerLost(f"{name} is offline", remedy="see which leg fails with `hansa doctor`")
        try:  # nothing is awaited since ``link`` was read, so the request goes out on it
            reply = await self._mesh.request(identity, ATTESTATION, nonce, role, seen)
        except PeerLost as error:
            raise PeerLost(
                f"the connection to {name} ended before it proved its code", remedy="see `hansa doctor`"
            ) from error
        return AttestationAnswer(reply, nonce, link)
