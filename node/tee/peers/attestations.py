"""Verdicts on the hardware of peers: what each peer is, reviewed again and again, and what it proves for a job.

A peer is reviewed when a connection to it stands, and every ``reattest_s`` from then on. This concerns peers that say they have
hardware, peers that have proven themselves before, and peers whose hardware a running job relies on. The verdict becomes the
peer's *standing*, and the listeners of ``on_judged`` are told. For a job a peer is asked anew, for its role there; that
verdict belongs to the job and changes no standing.
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
from hansa.node.tee.keys.model_keys import ModelKeys
from hansa.node.tee.peers.epochs import SeenEpochs
from hansa.node.tee.peers.requester import AttestationAnswer, AttestationRequester
from hansa.node.tee.peers.responder import AttestationResponder
from hansa.protocols.errors import PeerError, PeerLost, PeerMisbehaved, SecurityError
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements.binding import Role, report_data
from hansa.protocols.wire.attestation.statements.proof import Proof
from hansa.protocols.wire.attestation.verdict import ReasonCode
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.messages import Sealed

log = logging.getLogger(__name__)

CONNECTIONS_TRIED = 3
"""How often one proof is asked for where its connection is replaced before the proof is judged."""
RETRY_AFTER_S = (1.0, 5.0, 15.0)
"""The pauses before a peer that gave no answer is asked again. One failure more, and it counts as one that proves nothing."""
REVIEWS_AT_ONCE, REVIEWS_PER_S = 16.0, 0.2
"""Reviews of one peer. Each may cost an entry of the audit log, and a peer may connect as often as it likes."""
CANNOT_JUDGE = "this node could not judge its proof"
"""The reason in a verdict where the fault is this node's; its log says more."""

OnJudged = Callable[[bytes, Judged], Awaitable[None]]


class AuditLog(Protocol):
    """Where verdicts are written down."""

    def append(self, kind: str, body: dict[str, object]) -> None:
        """Append one entry."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The last verdict on what a peer is, when it was made (unix seconds), and the handshake hash of its connection."""

    judged: Judged
    at: float
    channel: bytes


@dataclass(frozen=True, slots=True)
class _JudgedProof:
    """The verdict on a proof, and what came with it.

    ``token`` is the epoch token that the peer sent, ``asked_with`` the tokens that it was asked with, ``channel`` the handshake
    hash of the connection.
    """

    judged: Judged
    token: bytes
    asked_with: bytes
    channel: bytes


class Attestations:
    """One node's attestation, as verifier and as prover.

    ``me`` is this node's identity, ``prover`` None where it has no hardware; ``name_of`` gives a peer's name for the audit log.
    """

    def __init__(
        self,
        mesh: Mesh,
        audit: AuditLog,
        *,
        me: bytes,
        prover: Prover | None,
        model_keys: ModelKeys,
        epochs: SeenEpochs,
        judge: Judge,
        name_of: Callable[[bytes], str],
        reattest_s: float,
    ) -> None:
        self._mesh, self._audit, self._judge, self.name_of = mesh, audit, judge, name_of
        self.prover, self.model_keys, self._epochs = prover, model_keys, epochs
        self.standing: dict[bytes, Standing] = {}
        self.hardware_in_use: Callable[[], Collection[bytes]] = tuple
        """Peers whose hardware a running job relies on."""
        self._reattest_s = reattest_s
        self._requester = AttestationRequester(mesh, name_of)
        self._responder = AttestationResponder(mesh, me=me, prover=prover, model_keys=model_keys)
        self._reviews: dict[bytes, trio.Event] = {}
        """Peers under review; the event is set when the review must be repeated."""
        self._review_buckets: dict[bytes, TokenBucket] = {}
        self._unanswered = Counter[bytes]()
        self._listeners: list[OnJudged] = []
        self._nursery: trio.Nursery | None = None
        mesh.handle(Sealed, self._note_epoch)
        mesh.on_up(self._start_review)

    def on_judged(self, listener: OnJudged) -> None:
        """Have ``listener(identity, judged)`` called with the verdict of every review."""
        self._listeners.append(listener)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer the requests of peers, and review peers, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            await self._nursery.start(self._responder.serve)
            task_status.started()
            while True:
                await trio.sleep(self._reattest_s)
                for identity in {*self.standing, *self.hardware_in_use()}:
                    await self._start_review(identity)

    async def ask(self, identity: bytes, role: Role, codes: Sequence[Code] | None = None) -> Judged:
        """The verdict on what a peer proves now for a role; ``codes`` are those that a contract accepts.

        A peer whose sealed state was rolled back is refused. Only a verdict for ``Role.PEER`` becomes the peer's standing. Raises
        as ``proven``.
        """
        proof = await self._judge_proof(identity, role, codes)
        judged = proof.judged
        if judged.accepted and proof.token:
            try:
                self._epochs.note(identity, proof.token, asked_with=proof.asked_with)
            except SecurityError as error:
                judged = judged.but(ReasonCode.ROLLBACK, error.message)
        if role is Role.PEER:
            self._set_standing(identity, judged, proof.channel)
        else:
            self._record(identity, role, judged)
        return judged

    async def proven(self, identity: bytes, role: Role, codes: Sequence[Code] | None = None) -> tuple[Judged, bytes]:
        """The verdict on the code that a peer proves now, and its epoch token; a rollback of its sealed state is not looked at.

        The verdict stands in the audit log, since what follows rests on it. Raises ``SecurityError`` where the peer says that it
        has no hardware, ``PeerMisbehaved`` where what it sends is no proof, another ``PeerError`` where it gives no answer now,
        ``ConfigError`` where this node's own policy cannot be read.
        """
        proof = await self._judge_proof(identity, role, codes)
        self._record(identity, role, proof.judged)
        return proof.judged, proof.token

    def accepted(self, identity: bytes) -> Judged | None:
        """The verdict that accepts a peer on the connection that stands now; None where there is none.

        The same identity on a new connection may run other code. So a standing counts on its own connection only.
        """
        standing = self.standing.get(identity)
        if standing is None or not standing.judged.accepted or standing.channel != self._channel(identity):
            return None
        return standing.judged

    def enclaves(self) -> list[bytes]:
        """See ``contracts.hardware.Hardware``."""
        return [identity for identity in self.standing if self.accepted(identity) and self._epochs.tokens_of(identity)]

    def model_key(self, contract: Contract) -> bytes:
        """See ``contracts.hardware.Hardware``."""
        return self.model_keys.of(contract)

    def reason_to_refuse_key(self, contract: Contract) -> str | None:
        """See ``contracts.hardware.Hardware``."""
        return self.model_keys.reason_to_refuse(contract)

    async def own_code(self) -> Code | None:
        """See ``AttestationResponder.own_code``."""
        return await self._responder.own_code()

    # --- inside --------------------------------------------------------------------------------------------------

    async def _judge_proof(self, identity: bytes, role: Role, codes: Sequence[Code] | None) -> _JudgedProof:
        """Ask a peer for a proof and judge it while the connection still stands.

        A proof covers its connection. If another one has taken its place, whoever is at the other end of that has proven nothing.
        """
        for _ in range(CONNECTIONS_TRIED):
            seen = self._epochs.tokens_of(identity)
            try:
                answer = await self._requester.ask(identity, role, seen)
            except PeerLost:
                if self._mesh.link(identity) is None:
                    raise
                continue
            judged = await self._verdict(identity, role, codes, answer)
            if self._mesh.link(identity) is answer.link:
                return _JudgedProof(judged, answer.reply.mark, seen, answer.link.conn.handshake_hash)
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
        except Exception:  # whatever a peer's bytes do to a parser, the peer is refused and the daemon goes on
            log.exception("judging a proof of %s", self.name_of(identity))
            return Judged.without_proof(CANNOT_JUDGE)

    async def _note_epoch(self, sender: bytes, sealed: Sealed) -> None:
        """Remember the new epoch of an enclave that is accepted on this connection.

        An epoch that is too old is not judged here: the next proof brings it again.
        """
        if sealed.mark and self.accepted(sender) is not None:
            with suppress(SecurityError):
                self._epochs.note(sender, sealed.mark)

    # --- reviews -------------------------------------------------------------------------------------------------

    async def _start_review(self, identity: bytes) -> None:
        if self._nursery is not None and self._must_prove_itself(identity):
            self._nursery.start_soon(self._review, identity)

    def _must_prove_itself(self, identity: bytes) -> bool:
        """Whether a peer is online and to be reviewed; one that has a standing is, also where it now denies having hardware."""
        link = self._mesh.link(identity)
        if link is None:
            return False
        known = identity in self.standing or identity in self.hardware_in_use()
        return known or (link.hello.hardware != "" and self._judge.accepts_any)

    async def _review(self, identity: bytes) -> None:
        """Judge what a peer is, and tell the listeners. A peer has one review at a time; asked for another, it is repeated."""
        if identity in self._reviews:
            self._reviews[identity].set()
            return
        try:
            repeat = True
            while repeat:
                self._reviews[identity] = trio.Event()
                bucket = self._review_buckets.setdefault(identity, TokenBucket(REVIEWS_AT_ONCE, REVIEWS_PER_S))
                await trio.sleep(bucket.take(1.0))
                judged = await self._current_verdict(identity)
                if judged is not None:
                    await self._notify(identity, judged)
                repeat = self._reviews[identity].is_set()
        finally:
            del self._reviews[identity]

    async def _notify(self, identity: bytes, judged: Judged) -> None:
        for listener in self._listeners:
            try:
                await listener(identity, judged)
            except Exception:  # one listener's error must end neither the daemon nor the calls to the others
                log.exception("telling of a verdict")

    async def _current_verdict(self, identity: bytes) -> Judged | None:
        """The verdict on what a peer is, which becomes its standing; None where it has gone offline, and is reviewed when back.

        An answer that is no proof is refused. A peer that gives no answer is asked again after ``RETRY_AFTER_S``, then refused.
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
                if tries <= len(RETRY_AFTER_S):
                    if self._mesh.link(identity) is None:
                        return None
                    await self._pause(identity, RETRY_AFTER_S[tries - 1])
                    continue
            except Exception:  # whatever went wrong here (a file that cannot be written), nothing was proven
                log.exception("judging the hardware of %s", self.name_of(identity))
                why = CANNOT_JUDGE
            del self._unanswered[identity]
            judged = Judged.without_proof(why)
            self._set_standing(identity, judged, b"")
            return judged

    async def _pause(self, identity: bytes, seconds: float) -> None:
        """Sleep, or less where another review is asked for meanwhile, as when the peer has a new connection."""
        self._reviews[identity] = repeat = trio.Event()
        with trio.move_on_after(seconds):
            await repeat.wait()
        self._reviews[identity] = trio.Event()

    def _channel(self, identity: bytes) -> bytes:
        link = self._mesh.link(identity)
        return b"" if link is None else link.conn.handshake_hash

    def _set_standing(self, identity: bytes, judged: Judged, channel: bytes) -> None:
        """Set a peer's standing, and record the verdict where it differs from the one before."""
        before = self.standing.get(identity)
        self.standing[identity] = Standing(judged, time.time(), channel)
        if before is None or before.judged.as_dict() != judged.as_dict():
            self._record(identity, Role.PEER, judged)

    def _record(self, identity: bytes, role: Role, judged: Judged) -> None:
        self._audit.append("attestation", {"peer": self.name_of(identity), "role": str(role), **judged.as_dict()})
