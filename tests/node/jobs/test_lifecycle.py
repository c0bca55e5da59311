"""The life of a job, driven by every order of offers, ends, attempts, losses, cancels and restarts."""

import ast
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import hansa.node
from hansa.node.contracts.build import openings_of
from hansa.node.jobs import lifecycle
from hansa.node.jobs.lifecycle import (
    MAX_ATTEMPTS,
    TRANSITIONS,
    AllDone,
    AppendAudit,
    AttemptOver,
    Begin,
    CommonVerdict,
    Lifecycle,
    OfferResume,
    PeerUp,
    Publish,
    Restored,
    Save,
    ShareHead,
    StartAttempt,
    StopAttempt,
    Tell,
    Tick,
    Tidy,
    Turn,
)
from hansa.node.jobs.record import JobRecord, JobState
from hansa.node.worker.verdict import FailureVerdict, Priority
from hansa.protocols.wire.consent.certificate import Certificate
from hansa.protocols.wire.consent.consent import Committed, ConsentState, Ended
from hansa.protocols.wire.consent.contract import VERSION, Contract
from hansa.protocols.wire.consent.resume import Agreed
from hansa.protocols.wire.consent.terms import Align, Limits, Outputs, Party

ME, OTHER = b"a" * 32, b"b" * 32
CREATED, EXPIRES = 1_800_000_000, 1_800_003_600


def contract():
    parties = (
        Party(ME, "bank", "clients", bytes(32), ("age", "income"), "default"),
        Party(OTHER, "bureau", "clients", bytes(32), ("debt",), None),
    )
    outputs = Outputs("label-owner", "owner", "all")
    params = {"epochs": 2, "batch_size": 64, "learning_rate": 0.5, "l2": 0.0}
    return Contract(
        version=VERSION,
        kind="train",
        name="credit",
        purpose="predict default",
        parties=parties,
        align=Align("trim"),
        algorithm="lr",
        params=params,
        test_fraction=0.2,
        seed=bytes(16),
        frac_bits=18,
        engine="additive",
        outputs=outputs,
        model=None,
        openings=openings_of("train", "lr", outputs, parties, params, engine="additive"),
        limits=Limits(1000),
        created=CREATED,
        expires=EXPIRES,
        nonce=bytes(16),
    )


CONTRACT = contract()


def certificate(attempt):
    return Certificate(CONTRACT.job_id, attempt, ())


def verdict(priority, culprit=OTHER, step="train"):
    error = {"code": "job-failed", "message": f"{priority.name} in '{step}'", "remedy": "wait", "fields": {}}
    return FailureVerdict(priority, culprit, step, error)


VERDICTS = st.builds(verdict, st.sampled_from(Priority), st.sampled_from([ME, OTHER]), st.sampled_from("xyz"))
OUTCOMES = st.one_of(
    VERDICTS.map(CommonVerdict), VERDICTS.map(CommonVerdict), VERDICTS.map(CommonVerdict), st.just(AllDone())
)
ENDS = st.sampled_from([ConsentState.REFUSED, ConsentState.CANCELLED, ConsentState.EXPIRED, ConsentState.CONFLICT]).map(
    lambda state: Ended(state, "why", OTHER)
)


def lives(state=JobState.PROPOSED, **fields):
    record = JobRecord(CONTRACT.encode(), ME, CREATED, state=state, **fields)
    return Lifecycle(record, ME)


def kinds(effects):
    return [type(effect) for effect in effects]


# --- the table -----------------------------------------------------------------------------------------------------------


def test_the_docstring_draws_the_table():
    lines = [line.split() for line in lifecycle.__doc__.splitlines() if line.startswith("    ")]
    states = [JobState(name) for name in lines[0][1:]]
    drawn = {
        Turn(name): {state: JobState(cell) for state, cell in zip(states, cells, strict=True) if cell != "-"}
        for name, *cells in lines[1:]
    }
    assert set(states) == set(JobState)
    assert drawn == TRANSITIONS


def test_nothing_else_writes_what_the_lifecycle_keeps():
    """Neither the state, nor what goes with it: in the whole node, nobody else assigns these fields of a record."""
    kept, here = {"state", "attempt", "verdict", "error", "finished", "certificate"}, Path(hansa.node.__file__).parent
    writers = {
        path.relative_to(here).as_posix()
        for path in here.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in kept
        if not (isinstance(node.value, ast.Name) and node.value.id == "self")
    }
    assert writers == {"jobs/lifecycle.py"}


# --- single turns --------------------------------------------------------------------------------------------------------


def test_a_start_is_written_down_first():
    life = lives(JobState.COMMITTED)
    assert life.handle(Begin(), CREATED) == [Save(), Publish("state", {"text": "running"}), StartAttempt(0)]


def test_an_end_stops_the_attempt_and_tidies_once_it_is_over():
    life = lives(JobState.COMMITTED)
    life.handle(Begin(), CREATED)
    ended = Ended(ConsentState.CANCELLED, "no", OTHER)
    assert kinds(life.handle(ended, CREATED)) == [Save, Publish, StopAttempt]
    assert life.record.error["message"] == "bureau cancelled the job: no"
    assert life.handle(AttemptOver(None), CREATED) == [Tidy()]
    assert life.handle(Begin(), CREATED) == []


def test_a_common_verdict_that_may_be_resumed_offers_at_once():
    life = lives(JobState.COMMITTED)
    life.handle(Begin(), CREATED)
    effects = life.handle(AttemptOver(CommonVerdict(verdict(Priority.NODE_LOST))), CREATED)
    assert kinds(effects) == [Save, AppendAudit, Publish, Publish, OfferResume]
    assert effects[1].kind == "job-interrupted"
    assert life.handle(Agreed(certificate(0), -1), CREATED) == []
    assert kinds(life.handle(Agreed(certificate(3), 2), CREATED)) == [Save, Publish, StartAttempt]
    assert (life.record.attempt, life.record.resume_epoch) == (3, 2)


def test_a_late_verdict_is_told_on_and_only_a_lower_one_counts():
    life = lives(JobState.COMMITTED)
    life.handle(Begin(), CREATED)
    effects = life.handle(AttemptOver(CommonVerdict(verdict(Priority.RELAYED))), CREATED)
    assert kinds(effects) == [Save, AppendAudit, Publish, Publish, Tidy]
    lower = verdict(Priority.WORKER_LOST)
    assert kinds(life.handle(CommonVerdict(lower), CREATED)) == [Save, AppendAudit, Publish, Publish, Tell, OfferResume]
    assert life.record.state is JobState.INTERRUPTED
    assert life.handle(CommonVerdict(lower), CREATED) == []
    assert kinds(life.handle(CommonVerdict(verdict(Priority.OWN)), CREATED)) == [
        Save,
        AppendAudit,
        Publish,
        Publish,
        Tell,
        Tidy,
    ]


@pytest.mark.parametrize(
    ("attempt", "event", "now", "why"),
    [
        (MAX_ATTEMPTS - 1, PeerUp(), CREATED, "; 10 attempts were interrupted"),
        (0, Tick(), EXPIRES, "; its contract expired before all parties were back"),
    ],
)
def test_a_job_that_is_given_up_keeps_to_that(attempt, event, now, why):
    lost = verdict(Priority.NODE_LOST)
    life = lives(JobState.INTERRUPTED, attempt=attempt, verdict=lost, error=lost.error)
    assert kinds(life.handle(event, now)) == [Save, AppendAudit, Publish, Tidy]
    assert life.record.error["message"].endswith(why)
    assert life.handle(CommonVerdict(verdict(Priority.OWN)), now) == []


def test_results_of_all_outrank_a_cancel():
    life = lives(JobState.CANCELLED, result={"rows": 7})
    effects = life.handle(AllDone(), CREATED)
    assert kinds(effects) == [Save, AppendAudit, Publish, ShareHead, Tidy]
    assert effects[1] == AppendAudit("job-done", {"job": life.record.short, "attempt": 0, "rows": 7})
    assert life.handle(Ended(ConsentState.CANCELLED, "no", OTHER), CREATED) == []


def test_what_was_running_at_a_restart_has_lost_this_node():
    life = lives(JobState.RUNNING, step="train")
    assert life.handle(Restored(), CREATED) == [Save()]
    assert life.record.error["message"] == "the node of bank went away in step 'train'"
    assert lives(JobState.CANCELLED).handle(Restored(), CREATED) == [Tidy()]


# --- every order ---------------------------------------------------------------------------------------------------------


class AnyLife(RuleBasedStateMachine):
    """Performs the effects as a node would; ``saved`` is what its store has, and all that a restart finds."""

    def __init__(self):
        super().__init__()
        self.life = lives()
        self.saved = self.life.record.encode()
        self.now = CREATED
        self.running = self.stopped = self.tidied = False
        self.attempts = []
        self.steps = self.patience = 0

    def hear(self, event):
        before = self.life.record.state
        self.steps += 1
        for effect in self.life.handle(event, self.now):
            match effect:
                case Save():
                    self.saved = self.life.record.encode()
                case StartAttempt(attempt):
                    self.start(attempt, before)
                case StopAttempt():
                    assert self.running
                    self.stopped = True
                case Tidy():
                    assert not self.running
                    assert self.life.record.state.final
                    self.tidied = True
                case OfferResume():
                    assert self.life.record.state is JobState.INTERRUPTED
                case AppendAudit() | Publish() | Tell() | ShareHead():
                    pass
        self.check_what_it_leaves(before, event)

    def start(self, attempt, before):
        stored = JobRecord.decode(self.saved)
        assert (stored.state, stored.attempt) == (JobState.RUNNING, attempt)
        assert not self.running
        assert attempt == 0 if before is JobState.COMMITTED else before is JobState.INTERRUPTED
        assert all(attempt > other for other in self.attempts)
        self.attempts.append(attempt)
        self.running, self.stopped, self.tidied = True, False, False

    def check_what_it_leaves(self, before, event):
        """A final state gives way only to what outranks it."""
        after = self.life.record.state
        if not before.final or after is before:
            return
        self.tidied = self.tidied and after.final
        outcome = event.outcome if isinstance(event, AttemptOver) else event
        assert before is not JobState.DONE
        assert isinstance(outcome, AllDone | Ended) or before is JobState.FAILED
        assert after.final or (isinstance(outcome, CommonVerdict) and after is JobState.INTERRUPTED)

    @initialize(begun=st.booleans(), patience=st.integers(0, 30))
    def begin(self, begun, patience):
        """Most jobs begin; they end by consent, or with everybody's result, after some steps at the earliest."""
        self.patience = patience
        if begun:
            self.hear(Committed(certificate(0)))
            self.hear(Begin())

    @rule(event=st.sampled_from([Committed(certificate(0)), Begin(), PeerUp(), Tick()]))
    def anything(self, event):
        self.hear(event)

    @precondition(lambda self: self.steps >= self.patience)
    @rule(end=ENDS)
    def consent_ends(self, end):
        self.hear(end)

    @rule(further=st.sampled_from([1, 1, 1, 2, 4, 0, -1]), checkpoint=st.integers(-1, 5))
    def agree(self, further, checkpoint):
        self.hear(Agreed(certificate(self.life.record.attempt + further), checkpoint))

    @precondition(lambda self: self.stopped)
    @rule(outcome=st.one_of(st.none(), OUTCOMES))
    def stopped_attempt_ends(self, outcome):
        self.attempt_ends(outcome)

    @precondition(lambda self: self.running)
    @rule(outcome=OUTCOMES)
    def attempt_ends(self, outcome):
        self.running = self.stopped = False
        self.hear(AttemptOver(outcome))

    @precondition(lambda self: self.life.record.state is not JobState.RUNNING)
    @rule(late=OUTCOMES)
    def late_outcome(self, late):
        """What a peer says; while the attempt runs, it is told instead."""
        if isinstance(late, CommonVerdict) or self.steps >= self.patience:
            self.hear(late)

    @rule(seconds=st.sampled_from([1, 60, 900]))
    def time_passes(self, seconds):
        self.now += seconds
        self.hear(Tick())

    @rule()
    def kill_and_restart(self):
        self.life = Lifecycle(JobRecord.decode(self.saved), ME)
        self.running = self.stopped = self.tidied = False
        self.hear(Restored())

    @invariant()
    def what_is_known_is_written_down(self):
        assert self.life.record.encode() == self.saved

    @invariant()
    def an_attempt_runs_in_its_state_only(self):
        state = self.life.record.state
        assert self.running == self.life.attempt_runs
        assert self.running or state is not JobState.RUNNING
        assert not self.running or self.stopped or state is JobState.RUNNING

    @invariant()
    def what_is_over_is_tidied(self):
        assert self.tidied == (self.life.record.state.final and not self.running)


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
