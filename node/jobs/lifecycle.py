"""The life of one job at this node: a machine without await, clock or storage, and the only writer of a job's state.

    turn         proposed   committed    running      interrupted  failed       refused    expired    cancelled  done
    committed    committed  -            -            -            -            -          -          -          -
    started      -          running      -            -            -            -          -          -          -
    resumed      -          -            -            running      -            -          -          -          -
    interrupted  -          -            interrupted  interrupted  interrupted  -          -          -          -
    failed       -          -            failed       failed       failed       -          -          -          -
    peer-up      -          -            -            interrupted  -            -          -          -          -
    gave-up      -          -            -            failed       -            -          -          -          -
    done         -          -            done         done         done         done       done       done       -
    refused      refused    refused      refused      refused      refused      refused    refused    refused    -
    expired      expired    expired      expired      expired      expired      expired    expired    expired    -
    cancelled    cancelled  cancelled    cancelled    cancelled    cancelled    cancelled  cancelled  cancelled  -
    restored     -          interrupted  interrupted  -            -            -          -          -          -

A turn that the table does not have is ignored. A final state gives way only to what outranks it, so that parties that
were apart converge: a failure to a better verdict, any but done to the end of the parties' consent, and all to
everybody's result.

Every turn writes the record down before anything follows from it (but correlations made ahead are published first: what
is in the store already, stays). In a final state the attempt that runs is stopped; once none runs, what the job left is
tidied away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from hansa.node.jobs import failure
from hansa.node.jobs.record import JobRecord, JobState
from hansa.node.worker.verdict import FailureVerdict
from hansa.protocols.wire.consent.consent import Committed, ConsentState, Ended
from hansa.protocols.wire.consent.resume import Agreed

MAX_ATTEMPTS = 10


class Turn(StrEnum):
    """What an event means for the state: a row of the table."""

    COMMITTED = "committed"
    STARTED = "started"
    RESUMED = "resumed"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    PEER_UP = "peer-up"
    GAVE_UP = "gave-up"
    DONE = "done"
    REFUSED = "refused"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    RESTORED = "restored"


S = JobState
_TRIED = (S.RUNNING, S.INTERRUPTED, S.FAILED)
_CLOSED = (S.REFUSED, S.EXPIRED, S.CANCELLED)
_NOT_DONE = (S.PROPOSED, S.COMMITTED, *_TRIED, *_CLOSED)
TRANSITIONS: Mapping[Turn, Mapping[JobState, JobState]] = {
    Turn.COMMITTED: {S.PROPOSED: S.COMMITTED},
    Turn.STARTED: {S.COMMITTED: S.RUNNING},
    Turn.RESUMED: {S.INTERRUPTED: S.RUNNING},
    Turn.INTERRUPTED: dict.fromkeys(_TRIED, S.INTERRUPTED),
    Turn.FAILED: dict.fromkeys(_TRIED, S.FAILED),
    Turn.PEER_UP: {S.INTERRUPTED: S.INTERRUPTED},
    Turn.GAVE_UP: {S.INTERRUPTED: S.FAILED},
    Turn.DONE: dict.fromkeys((*_TRIED, *_CLOSED), S.DONE),
    Turn.REFUSED: dict.fromkeys(_NOT_DONE, S.REFUSED),
    Turn.EXPIRED: dict.fromkeys(_NOT_DONE, S.EXPIRED),
    Turn.CANCELLED: dict.fromkeys(_NOT_DONE, S.CANCELLED),
    Turn.RESTORED: dict.fromkeys((S.COMMITTED, S.RUNNING), S.INTERRUPTED),
}


# --- events: besides Committed and Ended of the consent machine, and Agreed of the resume machine -----------------------


@dataclass(frozen=True, slots=True)
class Begin:
    """The parties know that the job is committed: begin the first attempt."""


@dataclass(frozen=True, slots=True)
class CommonVerdict:
    """The parties' common verdict on the last attempt: the first, or one that was late."""

    verdict: FailureVerdict


@dataclass(frozen=True, slots=True)
class AllDone:
    """Every party has its result of the last attempt, of the same rows."""


@dataclass(frozen=True, slots=True)
class AttemptOver:
    """The attempt that ran here has ended; with no outcome if it was stopped."""

    outcome: CommonVerdict | AllDone | None


@dataclass(frozen=True, slots=True)
class PeerUp:
    """A party's node is back."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Restored:
    """The daemon has restarted: an attempt that was running here has lost this node."""


Event = Committed | Ended | Agreed | Begin | CommonVerdict | AllDone | AttemptOver | PeerUp | Tick | Restored


# --- effects ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Save:
    """Write the record down."""


@dataclass(frozen=True, slots=True)
class AppendAudit:
    """An entry for the audit log."""

    kind: str
    body: dict[str, str | int | list[str]]


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell this node's watchers."""

    kind: str
    facts: dict[str, str]


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Run this attempt, which the record describes."""

    attempt: int


@dataclass(frozen=True, slots=True)
class StopAttempt:
    """Stop the attempt that runs; AttemptOver follows."""


@dataclass(frozen=True, slots=True)
class Tidy:
    """Nothing will be resumed any more: drop offers, checkpoints and what was half made."""


@dataclass(frozen=True, slots=True)
class OfferResume:
    """Offer the parties another attempt, if all are there; Agreed may follow."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Send the verdict to the other parties."""

    verdict: FailureVerdict


@dataclass(frozen=True, slots=True)
class ShareHead:
    """Give the other parties the head of our audit log."""


Effect = Save | AppendAudit | Publish | StartAttempt | StopAttempt | Tidy | OfferResume | Tell | ShareHead


class Lifecycle:
    """The machine of one job; ``record`` holds what it remembers, ``me`` is this node's identity."""

    def __init__(self, record: JobRecord, me: bytes) -> None:
        self.record = record
        self.attempt_runs = False
        self._me = me
        self._tidied = False

    def handle(self, event: Event, now: int) -> list[Effect]:
        """What follows from the event, in this order; ``now`` in unix seconds."""
        effects = self._hear(event, now)
        if not self.record.state.final:
            self._tidied = False
        elif self.attempt_runs:
            effects.append(StopAttempt())
        elif not self._tidied:  # only once nothing runs: a worker would write into what is tidied
            self._tidied = True
            effects.append(Tidy())
        return effects

    def _hear(self, event: Event, now: int) -> list[Effect]:
        if isinstance(event, AttemptOver):
            self.attempt_runs = False
            return [] if event.outcome is None else self._hear(event.outcome, now)
        turn = self._turn(event, now)
        after = None if turn is None else TRANSITIONS[turn].get(self.record.state)
        if after is None:
            return []
        self.record.state = after
        return self._follow(event, now)

    def _turn(self, event: Event, now: int) -> Turn | None:
        """What the event means; None where it is of an attempt that is over, or says nothing new."""
        record, turn = self.record, None
        match event:
            case Ended(state):
                turn = Turn.REFUSED if state is ConsentState.CONFLICT else Turn(state.value)
            case Agreed(certificate) if certificate.attempt > record.attempt:
                turn = Turn.RESUMED
            case CommonVerdict(verdict) if self._outranks_the_known(verdict):
                turn = Turn(verdict.state)
            case PeerUp():
                turn = Turn.PEER_UP if record.attempt + 1 < MAX_ATTEMPTS else Turn.GAVE_UP
            case Tick() if now >= record.contract.expires:
                turn = Turn.GAVE_UP
            case Committed():
                turn = Turn.COMMITTED
            case Begin():
                turn = Turn.STARTED
            case AllDone():
                turn = Turn.DONE
            case Restored():
                turn = Turn.RESTORED
        return turn

    def _outranks_the_known(self, verdict: FailureVerdict) -> bool:
        """A job that was given up has another state than its verdict, and keeps it."""
        known = self.record.verdict
        return known is None or (known.state == self.record.state and verdict.order < known.order)

    def _follow(self, event: Event, now: int) -> list[Effect]:
        """Complete the record for the state that it has now."""
        effects: list[Effect] = []
        match event:
            case Committed(certificate):
                self.record.certificate = certificate.encode()
                effects = [Save(), _state("every party has signed")]
            case Begin():
                effects = self._started()
            case Agreed():
                effects = self._resumed(event)
            case CommonVerdict(verdict):
                effects = self._judged(verdict, now)
            case AllDone():
                effects = self._done(now)
            case Ended():
                effects = self._ended(event, now)
            case PeerUp() if self.record.state is JobState.INTERRUPTED:
                effects = [OfferResume()]
            case PeerUp():
                effects = self._gave_up(f"{MAX_ATTEMPTS} attempts were interrupted", now)
            case Tick():
                effects = self._gave_up("its contract expired before all parties were back", now)
            case Restored():
                effects = self._restored()
        return effects

    def _started(self) -> list[Effect]:
        record = self.record
        record.error = record.verdict = None
        record.done_by = {}
        record.step = "start"
        self.attempt_runs = True
        return [Save(), _state("running"), StartAttempt(record.attempt)]

    def _resumed(self, agreed: Agreed) -> list[Effect]:
        record = self.record
        record.attempt = agreed.certificate.attempt
        record.job_secret = record.offered_secret
        record.certificate = agreed.certificate.encode()
        record.resume_epoch = agreed.checkpoint
        return self._started()

    def _judged(self, verdict: FailureVerdict, now: int) -> list[Effect]:
        record = self.record
        late = record.verdict is not None
        record.verdict, record.error, record.finished = verdict, verdict.error, now
        reason = str(verdict.error["message"])
        effects: list[Effect] = [
            Save(),
            self._audit(f"job-{record.state.value}", attempt=record.attempt, reason=reason),
            Publish("error", {"step": verdict.step, "text": reason}),
            _state(record.state.value),
        ]
        if late:  # during the attempt, all were told; now some may hold a verdict that this one outranks
            effects.append(Tell(verdict))
        return effects + self._hear(PeerUp(), now)  # perhaps all are there

    def _done(self, now: int) -> list[Effect]:
        record = self.record
        record.error = record.verdict = None
        record.finished = now
        contract, attempt = record.contract, record.attempt
        effects: list[Effect] = [Save()]
        entry = {"dealer": "dealt", "enclave": "computed"}.get(record.role(self._me))
        if entry is not None:
            effects.append(self._audit(entry, attempt=attempt, to=[party.name for party in contract.parties]))
        rows = int((record.result or {}).get("rows", 0))
        return [*effects, self._audit("job-done", attempt=attempt, rows=rows), _state("done"), ShareHead()]

    def _ended(self, ended: Ended, now: int) -> list[Effect]:
        record = self.record
        record.awaits_operator = False
        record.finished = now
        culprit = record.name_of(ended.culprit) if ended.culprit is not None else ""
        record.error = failure.ended(ended.state.value, ended.reason, culprit, job=record.short)
        return [Save(), _state(record.state.value)]

    def _gave_up(self, why: str, now: int) -> list[Effect]:
        record = self.record
        error = dict(record.error or {})
        error["message"] = f"{error.get('message', 'the job was interrupted')}; {why}"
        error["remedy"] = "submit the job file anew with `hansa job submit FILE.toml`"
        record.error, record.finished = error, now
        return [Save(), self._audit("job-failed", reason=error["message"]), _state("failed")]

    def _restored(self) -> list[Effect]:
        record = self.record
        record.verdict = failure.node_lost(self._me, record.name_of(self._me), step=record.step, job=record.short)
        record.error = record.verdict.error
        return [Save()]

    def _audit(self, kind: str, **body: str | int | list[str]) -> AppendAudit:
        return AppendAudit(kind, {"job": self.record.short, **body})


def _state(text: str) -> Publish:
    return Publish("state", {"text": text})
