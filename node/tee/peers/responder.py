"""The prover's side of attestation: answer requests with evidence over the asker's nonce and this connection.

The device makes one piece of evidence at a time. A peer has at most one request at the device, so peers take turns there. A
few more of its requests wait in line; the rest are refused. Peers read one of three texts where there is no proof; the cause
stands in this node's log.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import suppress

import trio

from hansa.node.net.control_link import ControlLink
from hansa.node.net.mesh import Mesh
from hansa.node.net.token_bucket import TokenBucket
from hansa.node.tee.evidence.prover import Prover
from hansa.node.tee.keys.model_keys import ModelKeys
from hansa.protocols.errors import PeerLost
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements.binding import Role, report_data
from hansa.protocols.wire.messages import AttestReply, AttestRequest

log = logging.getLogger(__name__)

ASKED_AT_ONCE, ASKED_PER_S = 32.0, 0.5
"""Proofs for one peer. Proofs for jobs and proofs of what the node itself is are counted apart, so that jobs use up no others."""
OWN_CODE_LASTS_S = 10.0
MOST_WAITING = 4
"""Requests of one peer that wait for the device."""
NO_HARDWARE = "it runs in no trusted hardware"
TOO_OFTEN = "it was asked too often; wait a while"
NO_EVIDENCE = "its hardware gives no evidence"


class AttestationResponder:
    """Answers ``AttestRequest``. ``me`` is this node's identity, ``prover`` None where it has no hardware."""

    def __init__(self, mesh: Mesh, *, me: bytes, prover: Prover | None, model_keys: ModelKeys) -> None:
        self._mesh, self._me, self._prover, self._model_keys = mesh, me, prover, model_keys
        self._buckets: dict[tuple[bytes, bool], TokenBucket] = {}
        self._turns: dict[bytes, trio.Lock] = {}
        self._waiting = Counter[bytes]()
        self._device = trio.CapacityLimiter(1)
        self._own: tuple[Code, float] | None = None
        self._own_turn = trio.Lock()
        self._nursery: trio.Nursery | None = None
        mesh.handle(AttestRequest, self._asked)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer requests until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    async def own_code(self) -> Code | None:
        """The code that this node runs, by its own evidence; None without hardware. Raises ``EvidenceError``.

        The evidence may be ``OWN_CODE_LASTS_S`` old, so that asking for this often does not keep peers from the device.
        """
        prover = self._prover
        if prover is None:
            return None
        async with self._own_turn:
            if self._own is None or trio.current_time() - self._own[1] > OWN_CODE_LASTS_S:
                code = Code(*await trio.to_thread.run_sync(prover.own_code, limiter=self._device))
                self._own = code, trio.current_time()
            return self._own[0]

    async def _asked(self, sender: bytes, asked: AttestRequest) -> None:
        link = self._mesh.link(sender)
        if self._nursery is None or link is None:
            return
        of_jobs = asked.role != Role.PEER
        bucket = self._buckets.setdefault((sender, of_jobs), TokenBucket(ASKED_AT_ONCE, ASKED_PER_S))
        if self._prover is None:
            await self._mesh.send(sender, AttestReply(asked.request, b"", NO_HARDWARE, b""))
        elif self._waiting[sender] >= MOST_WAITING or not bucket.take_if_there():
            await self._mesh.send(sender, AttestReply(asked.request, b"", TOO_OFTEN, b""))
        else:
            self._model_keys.compare(asked.mark)  # tokens that are later than the vault's prove that it was rolled back
            self._waiting[sender] += 1
            self._nursery.start_soon(self._answer, self._prover, sender, asked, link)

    async def _answer(self, prover: Prover, sender: bytes, asked: AttestRequest, link: ControlLink) -> None:
        try:
            async with self._turns.setdefault(sender, trio.Lock()):
                if self._mesh.link(sender) is not link:
                    return  # evidence covers its connection, and this one is gone
                reply = await self._reply(prover, asked, link.conn.handshake_hash)
            with suppress(PeerLost):  # the peer asks again when it is back
                await self._mesh.send(sender, reply)
        finally:
            self._waiting[sender] -= 1

    async def _reply(self, prover: Prover, asked: AttestRequest, handshake_hash: bytes) -> AttestReply:
        data = report_data(identity=self._me, handshake_hash=handshake_hash, nonce=asked.nonce, role=Role(asked.role))
        try:
            proof = await trio.to_thread.run_sync(prover.prove, data, limiter=self._device)
            return AttestReply(asked.request, proof.encode(), "", self._model_keys.epoch_token())
        except Exception as error:  # whatever a device or a file of collateral raises, the daemon goes on
            log.warning("no evidence for a peer: %s", error)
            return AttestReply(asked.request, b"", NO_EVIDENCE, b"")
