"""What this node makes of its peers' hardware: verdicts on what each is, kept up to date, and on what jobs ask of them.

A peer in hardware is asked when its connection stands, and again every ``reattest_s``; so is whoever has proven itself
before, and whoever's hardware a running job relies on, whatever it now says of itself. Who listens (``on_judged``) hears each
time. For a job it is asked anew, for its role there; that verdict is the job's alone.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import trio

from hansa.config.errors import HansaError
from hansa.node.net.mesh import Mesh
from hansa.node.net.token_bucket import TokenBucket
from hansa.node.tee.evidence.judge import Judge, Judged
from hansa.node.tee.evidence.prover import Prover
from hansa.node.tee.keys.job_keys import JobKeys
from hansa.node.tee.peers.epochs import SeenEpochs
from hansa.node.tee.peers.requester import AttestationAnswer, AttestationRequester
from hansa.node.tee.peers.responder import AttestationResponder
from hansa.protocols.errors import PeerError, PeerLost, PeerMisbehaved, SecurityError
from hansa.protocols.wire.attestation.statements.binding import Role, report_data
from hansa.protocols.wire.attestation.statements.proof import Proof
from hansa.protocols.wire.attestation.verdict import ReasonCode
from hansa.protocols.wire.consent.contract import Code, Contract
from hansa.protocols.wire.messages import Sealed

log = logging.getLogger(__name__)

TRIES = 3
"""Connections in a row on which one question is asked, where each is replaced before the proof is judged."""
AGAIN_S = (1.0, 5.0, 15.0)
"""When a peer that gave no answer is asked again; after these tries in a row it counts as one that proves nothing."""
LOOKS_AT_ONCE, LOOKS_PER_S = 16.0, 0.2
"""At one peer: each may cost an entry of the audit log, and a peer may connect as often as it likes."""
CANNOT_JUDGE = "this node could not judge its proof"
"""What others read where the fault is here; what it is stands in the log."""

OnJudged = Callable[[bytes, Judged], Awaitable[None]]


class AuditLog(Protocol):
    """Where verdicts go."""

    def append(self, kind: str, body: dict[str, object]) -> None:
        """Write one entry."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What was last made of a peer as it is, when (unix seconds), and on which channel: its handshake hash."""

    judged: Judged
    at: float
    channel: bytes


@dataclass(frozen=True, slots=True)
class _Shown:
    """What was made of a proof, the mark of sealed state that came with it and those known when it was asked for, and the channel
    that it is about."""

    judged: Judged
    mark: bytes
    asked: bytes
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
        self._mesh, self._audit, self._judge, self.name_of = mesh, audit, judge, name_of
        self.prover, self.job_keys, self._epochs = prover, job_keys, epochs
        self.standing: dict[bytes, Standing] = {}
        self.relied_on: Callable[[], Collection[bytes]] = tuple
        """Peers whose hardware a running job relies on."""
        self._reattest_s = reattest_s
        self._questions = AttestationRequester(mesh, name_of)
        self._answering = AttestationResponder(mesh, me=me, prover=prover, job_keys=job_keys)
        self._looking: dict[bytes, trio.Event] = {}
        self._paces: dict[bytes, TokenBucket] = {}
        self._unanswered = Counter[bytes]()
        self._listeners: list[OnJudged] = []
        self._nursery: trio.Nursery | None = None
        mesh.handle(Sealed, self._sealed)
        mesh.on_up(self._up)

    def on_judged(self, listener: OnJudged) -> None:
        """Tell of every verdict on a peer as it is, whatever its role."""
        self._listeners.append(listener)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer peers, and ask those in hardware again and again, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            await self._nursery.start(self._answering.serve)
            task_status.started()
            while True:
                await trio.sleep(self._reattest_s)
                for identity in {*self.standing, *self.relied_on()}:
                    await self._up(identity)

    async def ask(self, identity: bytes, role: Role, codes: Sequence[Code] | None = None) -> Judged:
        """Have a peer prove itself now, for a role; ``codes`` are those that a contract accepts.

        Only the verdict on the peer as it is (``Role.PEER``) becomes its standing. Raises as ``proven``.
        """
        shown = await self._shown(identity, role, codes)
        judged = shown.judged
        if judged.accepted and shown.mark:
            try:
                self._epochs.note(identity, shown.mark, asked=shown.asked)
            except SecurityError as error:
                judged = judged.but(ReasonCode.ROLLBACK, error.message)
        if role is Role.PEER:
            self._note(identity, judged, shown.channel)
        else:
            self._write_down(identity, role, judged)
        return judged

    async def proven(self, identity: bytes, role: Role, codes: Sequence[Code] | None = None) -> tuple[Judged, bytes]:
        """What a peer proves to run on the connection that stands now, whatever became of its sealed state, and the mark of that
        state's epoch; on record, as what follows rests on it.

        Raises ``SecurityError`` where it says that it has no hardware, ``PeerMisbehaved`` where what it sends is no proof,
        another ``PeerError`` where it gives no answer now, ``ConfigError`` where this node's own policy cannot be read.
        """
        shown = await self._shown(identity, role, codes)
        self._write_down(identity, role, shown.judged)
        return shown.judged, shown.mark

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

    def reason_to_refuse_key(self, contract: Contract) -> str | None:
        """See ``job_hardware.Hardware``."""
        return self.job_keys.reason_to_refuse(contract)

    async def own_code(self) -> Code | None:
        """See ``answering.Answering``."""
        return await self._answering.own_code()

    # --- inside --------------------------------------------------------------------------------------------------

    async def _shown(self, identity: bytes, role: Role, codes: Sequence[Code] | None) -> _Shown:
        """A proof judged while its connection stands: one that was replaced meanwhile, by whoever has the peer's key, is no proof
        of what is at the end of the new one."""
        for _ in range(TRIES):
            seen = self._epochs.seen(identity)
            try:
                answer = await self._questions.ask(identity, role, seen)
            except PeerLost:
                if self._mesh.link(identity) is None:
                    raise
                continue
            judged = await self._verdict(identity, role, codes, answer)
            if self._mesh.link(identity) is answer.link:
                return _Shown(judged, answer.reply.mark, seen, answer.link.conn.handshake_hash)
        raise PeerLost(f"the connection to {self.name_of(identity)} does not last", remedy="see `hansa doctor`")

    async def _verdict(
        self, identity: bytes, role: Role, codes: Sequence[Code] | None, answer: AttestationAnswer
    ) -> Judged:
        channel = answer.link.conn.handshake_hash
        wanted = report_data(identity=identity, handshake_hash=channel, nonce=answer.nonce, role=role)
        proof = Proof.decode_untrusted(answer.reply.proof)
        try:
            return await trio.to_thread.run_sync(self._judge.judge, proof, wanted, codes)
        except HansaError:
            raise
        except Exception:  # whatever a peer's bytes did to a parser is a refusal, and the daemon goes on
            log.exception("judging a proof of %s", self.name_of(identity))
            return Judged.without_proof(CANNOT_JUDGE)

    async def _sealed(self, sender: bytes, told: Sealed) -> None:
        """Of an enclave that has proven itself on this connection; an older epoch is found when it is next asked."""
        if told.mark and self.accepted(sender) is not None:
            with suppress(SecurityError):
                self._epochs.note(sender, told.mark)

    async def _up(self, identity: bytes) -> None:
        if self._nursery is not None and self._concerns(identity):
            self._nursery.start_soon(self._look, identity)

    def _concerns(self, identity: bytes) -> bool:
        """Whether a peer that is online is to prove itself: its own word does not let go who has, or should have."""
        link = self._mesh.link(identity)
        if link is None:
            return False
        known = identity in self.standing or identity in self.relied_on()
        return known or (link.hello.hardware != "" and self._judge.accepts_any)

    async def _look(self, identity: bytes) -> None:
        """Judge a peer as it is now, and tell. One look at a time a peer: whoever wants another has this one look once more."""
        if identity in self._looking:
            self._looking[identity].set()
            return
        try:
            wanted = True
            while wanted:
                self._looking[identity] = trio.Event()
                pace = self._paces.setdefault(identity, TokenBucket(LOOKS_AT_ONCE, LOOKS_PER_S))
                await trio.sleep(pace.take(1.0))
                judged = await self._as_it_is(identity)
                if judged is not None:
                    await self._tell(identity, judged)
                wanted = self._looking[identity].is_set()
        finally:
            del self._looking[identity]

    async def _tell(self, identity: bytes, judged: Judged) -> None:
        for listener in self._listeners:
            try:
                await listener(identity, judged)
            except Exception:  # one listener's fault must end neither the daemon nor the others' hearing
                log.exception("telling of a verdict")

    async def _as_it_is(self, identity: bytes) -> Judged | None:
        """A verdict, noted; None for a peer that went offline, which is asked when it is back.

        What cannot be judged is a refusal. What is not known is asked again, a few times in all.
        """
        while True:
            try:
                judged = await self.ask(identity, Role.PEER)
                del self._unanswered[identity]
                return judged
            except (SecurityError, PeerMisbehaved) as error:
                why = error.message
            except PeerError as error:
                why = error.message
                self._unanswered[identity] += 1
                tries = self._unanswered[identity]
                if tries <= len(AGAIN_S):
                    if self._mesh.link(identity) is None:
                        return None
                    await self._wait(identity, AGAIN_S[tries - 1])
                    continue
            except Exception:  # our own files, most likely: whatever it is, nothing was proven
                log.exception("judging the hardware of %s", self.name_of(identity))
                why = CANNOT_JUDGE
            del self._unanswered[identity]
            judged = Judged.without_proof(why)
            self._note(identity, judged, b"")
            return judged

    async def _wait(self, identity: bytes, seconds: float) -> None:
        """Until then, or until somebody wants a look: as when its connection is another."""
        self._looking[identity] = wanted = trio.Event()
        with trio.move_on_after(seconds):
            await wanted.wait()
        self._looking[identity] = trio.Event()

    def _channel(self, identity: bytes) -> bytes:
        link = self._mesh.link(identity)
        return b"" if link is None else link.conn.handshake_hash

    def _note(self, identity: bytes, judged: Judged, channel: bytes) -> None:
        """A peer's standing; in the audit log where it is new."""
        before = self.standing.get(identity)
        self.standing[identity] = Standing(judged, time.time(), channel)
        if before is None or before.judged.as_dict() != judged.as_dict():
            self._write_down(identity, Role.PEER, judged)

    def _write_down(self, identity: bytes, role: Role, judged: Judged) -> None:
        self._audit.append("attestation", {"peer": self.name_of(identity), "role": str(role), **judged.as_dict()})
