"""Attestation between daemons: this node's proof to whoever asks, and what it makes of the proofs of others.

    verifier  --nonce, role-->  attested node            (one round on the control channel)
    verifier  <--evidence over (identity, this channel, nonce, role), collateral--

A peer in hardware is asked when its connection stands, and again every ``reattest_s``: whoever listens (``on_judged``)
hears each time. For a job it is asked anew, for its role there. A nonce is asked once and forgotten.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import trio

from hansa.config.errors import HansaError
from hansa.config.settings import Tee
from hansa.node.allowance import Allowance
from hansa.node.control_link import ControlLink
from hansa.node.errors import EvidenceError
from hansa.node.mesh import Mesh
from hansa.node.tee.epochs import SeenEpochs
from hansa.node.tee.job_keys import JobKeys
from hansa.node.tee.judge import Judge, Judged
from hansa.node.tee.prover import Prover, prover_from
from hansa.protocols.errors import PeerLost, PeerTimeout, SecurityError
from hansa.protocols.wire.attestation.binding import NONCE_BYTES, Role, report_data
from hansa.protocols.wire.attestation.proof import Proof
from hansa.protocols.wire.attestation.verdict import Code as Reason
from hansa.protocols.wire.contract import Code, Contract
from hansa.protocols.wire.limits import ATTESTATION_DEADLINE_S
from hansa.protocols.wire.messages import AttestReply, AttestRequest, Sealed

log = logging.getLogger(__name__)

ASKED_AT_ONCE, ASKED_PER_S = 32.0, 0.5
"""Proofs made for one peer: each costs a device's time."""
TRIES = 3

OnJudged = Callable[[bytes, Judged], Awaitable[None]]


class AuditLog(Protocol):
    """Where verdicts go."""

    def append(self, kind: str, body: dict[str, object]) -> None:
        """Write one entry."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What was last made of a peer, when (unix seconds), and on which channel: its handshake hash."""

    judged: Judged
    at: float
    channel: bytes


class Attestations:
    """``me`` is this node's identity, ``prover`` None where it has no hardware; ``name_of`` is for the audit log."""

    def __init__(
        self,
        mesh: Mesh,
        audit: AuditLog,
        *,
        me: bytes,
        prover: Prover | None,
        job_keys: JobKeys,
        epochs: SeenEpochs,
        judge: Judge,
        name_of: Callable[[bytes], str],
        reattest_s: float,
    ) -> None:
        self._mesh, self._audit, self._me, self._judge, self.name_of = mesh, audit, me, judge, name_of
        self.prover, self.job_keys, self._epochs = prover, job_keys, epochs
        self.standing: dict[bytes, Standing] = {}
        self._reattest_s = reattest_s
        self._allowances: dict[bytes, Allowance] = {}
        self._waiting: dict[tuple[bytes, int], Callable[[AttestReply], None]] = {}
        self._request = 0
        self._listeners: list[OnJudged] = []
        self._nursery: trio.Nursery | None = None
        mesh.handle(AttestRequest, self._asked)
        mesh.handle(AttestReply, self._told)
        mesh.handle(Sealed, self._sealed)
        mesh.on_up(self._up)

    def on_judged(self, listener: OnJudged) -> None:
        """Tell of every verdict on a peer as it is, whatever its role."""
        self._listeners.append(listener)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ask the peers in hardware again and again, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            while True:
                await trio.sleep(self._reattest_s)
                for identity in list(self.standing):
                    if self._in_hardware(identity):
                        self._nursery.start_soon(self._look, identity)

    async def ask(self, identity: bytes, role: Role, codes: Sequence[Code] | None = None) -> Judged:
        """Have a peer prove itself now, for a role; ``codes`` are those that a contract accepts.

        Raises as ``proven``.
        """
        judged, mark = await self.proven(identity, role, codes)
        if judged.accepted and mark:
            try:
                self._epochs.note(identity, mark)
            except SecurityError as error:
                judged = Judged.without_proof(error.message, Reason.ROLLBACK)
        self._note(identity, role, judged)
        return judged

    async def proven(self, identity: bytes, role: Role, codes: Sequence[Code] | None = None) -> tuple[Judged, bytes]:
        """What a peer proves to run now, whatever became of its sealed state, and the mark of that state's epoch.

        Raises ``PeerLost`` or ``PeerTimeout`` where it does not answer, ``EvidenceError`` where it has no evidence.
        """
        for _ in range(TRIES):
            link = self._link(identity)
            nonce = os.urandom(NONCE_BYTES)
            reply = await self._exchange(identity, nonce, role)
            if self._mesh.link(identity) is link:
                break  # evidence for a connection that was replaced meanwhile answers nothing
        else:
            raise PeerLost(f"the connection to {self.name_of(identity)} does not last", remedy="see `hansa doctor`")
        if reply.problem:
            raise EvidenceError(
                f"{self.name_of(identity)} cannot prove its code: {reply.problem}",
                remedy="look at its log, and at [tee] in its hansa.toml",
                device=self.name_of(identity),
            )
        wanted = report_data(identity=identity, handshake_hash=link.conn.handshake_hash, nonce=nonce, role=role)
        proof = Proof.decode_untrusted(reply.proof)
        return await trio.to_thread.run_sync(self._judge.judge, proof, wanted, codes), reply.mark

    def accepted(self, identity: bytes) -> Judged | None:
        """What a peer has proven on the connection that stands now; None where that is nothing, or refused.

        A node that comes back under the same identity need not be the same code: until it has proven itself anew, it is nobody.
        """
        standing = self.standing.get(identity)
        if standing is None or not standing.judged.accepted or standing.channel != self._channel(identity):
            return None
        return standing.judged

    def enclaves(self) -> list[bytes]:
        """See ``job_hardware.Hardware``."""
        return [identity for identity in self.standing if self.accepted(identity) and self._epochs.seen(identity)]

    def job_key(self, contract: Contract) -> bytes:
        """See ``job_hardware.Hardware``."""
        return self.job_keys.of(contract)

    def key_objection(self, contract: Contract) -> str | None:
        """See ``job_hardware.Hardware``."""
        return self.job_keys.objection(contract)

    async def own_code(self) -> Code | None:
        """What this node itself runs, by its own evidence; None without hardware. Raises ``EvidenceError``."""
        prover = self.prover
        return None if prover is None else Code(*await trio.to_thread.run_sync(prover.own_code))

    # --- as the verifier -----------------------------------------------------------------------------------------

    async def _exchange(self, identity: bytes, nonce: bytes, role: Role) -> AttestReply:
        self._request += 1
        request = self._request
        told: list[AttestReply] = []
        done = trio.Event()

        def take(reply: AttestReply) -> None:
            told.append(reply)
            done.set()

        self._waiting[identity, request] = take
        try:
            await self._mesh.send(identity, AttestRequest(request, nonce, role, self._epochs.seen(identity)))
            with trio.move_on_after(ATTESTATION_DEADLINE_S):
                await done.wait()
        finally:
            del self._waiting[identity, request]
        if not told:
            raise PeerTimeout(
                f"{self.name_of(identity)} did not prove its code within {ATTESTATION_DEADLINE_S:g} s",
                remedy="look at its log, and at [tee] in its hansa.toml",
            )
        return told[0]

    async def _told(self, sender: bytes, reply: AttestReply) -> None:
        waiting = self._waiting.get((sender, reply.request))
        if waiting is not None:
            waiting(reply)

    async def _sealed(self, sender: bytes, told: Sealed) -> None:
        """Of an enclave that has proven itself on this connection or before; an older epoch is found when it is next asked."""
        if told.mark and self.accepted(sender) is not None:
            with suppress(SecurityError):
                self._epochs.note(sender, told.mark)

    async def _up(self, identity: bytes) -> None:
        if self._nursery is not None and self._in_hardware(identity):
            self._nursery.start_soon(self._look, identity)

    async def _look(self, identity: bytes) -> None:
        """A peer as it is now: what cannot be judged is a refusal too."""
        try:
            judged = await self.ask(identity, Role.PEER)
        except PeerLost:
            return  # its connection is gone: it is asked when it is back
        except HansaError as error:
            judged = Judged.without_proof(error.message)
            self._note(identity, Role.PEER, judged)
        except Exception:  # whatever a peer sent, the daemon goes on
            log.exception("judging a peer's hardware")
            return
        for listener in self._listeners:
            try:
                await listener(identity, judged)
            except Exception:  # one listener's fault must end neither the daemon nor the others' hearing
                log.exception("telling of a verdict")

    def _in_hardware(self, identity: bytes) -> bool:
        link = self._mesh.link(identity)
        return link is not None and link.hello.hardware != "" and self._judge.accepts_any

    def _channel(self, identity: bytes) -> bytes:
        link = self._mesh.link(identity)
        return b"" if link is None else link.conn.handshake_hash

    def _link(self, identity: bytes) -> ControlLink:
        link = self._mesh.link(identity)
        if link is None:
            raise PeerLost(f"{self.name_of(identity)} is offline", remedy="see which leg fails with `hansa doctor`")
        return link

    def _note(self, identity: bytes, role: Role, judged: Judged) -> None:
        """On record: every verdict for a job, and of the regular ones what is new."""
        before = self.standing.get(identity)
        self.standing[identity] = Standing(judged, time.time(), self._channel(identity))
        if role is not Role.PEER or before is None or before.judged.as_dict() != judged.as_dict():
            self._audit.append("attestation", {"peer": self.name_of(identity), "role": str(role), **judged.as_dict()})

    # --- as the attested node ------------------------------------------------------------------------------------

    async def _asked(self, sender: bytes, asked: AttestRequest) -> None:
        allowance = self._allowances.setdefault(sender, Allowance(ASKED_AT_ONCE, ASKED_PER_S))
        link = self._mesh.link(sender)
        if self._nursery is None or link is None:
            return
        if self.prover is None:
            await self._mesh.send(sender, AttestReply(asked.request, b"", "it runs in no trusted hardware", b""))
        elif not allowance.take_if_there():
            await self._mesh.send(sender, AttestReply(asked.request, b"", "it was asked too often; wait a while", b""))
        else:
            self.job_keys.seen(asked.mark)
            self._nursery.start_soon(self._answer, sender, asked, link.conn.handshake_hash)

    async def _answer(self, sender: bytes, asked: AttestRequest, handshake_hash: bytes) -> None:
        prover = self.prover
        if prover is None:
            return
        data = report_data(identity=self._me, handshake_hash=handshake_hash, nonce=asked.nonce, role=Role(asked.role))
        try:
            proof = await trio.to_thread.run_sync(prover.prove, data)
            reply = AttestReply(asked.request, proof.encode(), "", self.job_keys.mark())
        except Exception as error:  # a device, or a file of collateral: whatever it is, the daemon goes on
            log.warning("no evidence for a peer: %s", error)
            reply = AttestReply(asked.request, b"", "its hardware gives no evidence", b"")
        with suppress(PeerLost):  # it asks again when it is back
            await self._mesh.send(sender, reply)


def prover_of(home: Path, tee: Tee, version: str) -> Prover | None:
    """What proves this node's code, by its settings; None where nothing does."""
    return prover_from(worker_settings(home, tee, version))


def judge_of(home: Path, tee: Tee, endorsed: Callable[[], Collection[Code]]) -> Judge:
    """What judges the proofs of others, by the settings; ``endorsed``: the codes that enough members voted for."""
    return Judge(home / tee.policy, tee.accept, endorsed)


def worker_settings(home: Path, tee: Tee, version: str) -> dict[str, Any]:
    """The same for a worker, which reads no settings: plain data for ``prover_from`` and ``judge_from``."""
    return {
        "backend": tee.backend,
        "collateral": [str(home / path) for path in tee.collateral],
        "code": tee.simulated_code or f"hansa {version}",
        "policy": str(home / tee.policy),
        "accept": tee.accept,
    }
