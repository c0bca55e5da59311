"""The admin method tee.status: what this node proves its code by, and what it makes of its peers' proofs."""

from __future__ import annotations

import time
from typing import Any

from hansa.config.errors import HansaError
from hansa.node.admin.server import Handler
from hansa.node.mesh import Mesh
from hansa.node.peers import PeerBook
from hansa.node.tee.attestations import Attestations, Standing

Json = dict[str, Any]


class TeeMethods:
    """Answers about trusted hardware at one node and at its peers."""

    def __init__(self, attestations: Attestations, mesh: Mesh, book: PeerBook) -> None:
        self._attestations, self._mesh, self._book = attestations, mesh, book

    def methods(self) -> dict[str, Handler]:
        """Name to handler."""
        return {"tee.status": self.status}

    async def status(self) -> Json:
        """This node's hardware and code (None: it has none), and its peers' in hardware with the last verdict on each."""
        return {
            "own": await self._own(),
            "peers": [view for peer in self._book.all() if (view := self.of(peer.identity))],
        }

    async def _own(self) -> Json | None:
        prover = self._attestations.prover
        if prover is None:
            return None
        try:
            code = await self._attestations.own_code()
        except HansaError as error:
            return {"backend": prover.backend, "platform": None, "code": None, "problem": error.message}
        found = (None, None) if code is None else (code.platform, code.measurement.hex())
        return {"backend": prover.backend, "platform": found[0], "code": found[1], "problem": None}

    def of(self, identity: bytes) -> Json | None:
        """What is known of a peer's hardware; None where it claims none."""
        link, peer = self._mesh.link(identity), self._book.get(identity)
        standing = self._attestations.standing.get(identity)
        claims = link.hello.hardware if link is not None else ""
        if peer is None or (not claims and standing is None):
            return None
        return {"peer": peer.name, "claims": claims or None, **_verdict(standing)}


def _verdict(standing: Standing | None) -> Json:
    if standing is None:
        return {"verdict": "not asked", "ago_s": None, "platform": None, "code": None, "reasons": []}
    told = standing.judged.as_dict()
    ago = round(time.time() - standing.at, 1)
    return {"verdict": told["verdict"], "ago_s": ago, "tcb_status": told["tcb_status"]} | {
        key: told[key] for key in ("platform", "code", "reasons")
    }
