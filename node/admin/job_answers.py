"""The shapes of the daemon's answers about jobs, models and correlations; docs/cli.md says what the fields mean."""

# No annotations as text here: a `TypedDict` compiles each such text, at the start of every command.
from typing import Any, NotRequired, TypedDict


class JobSummary(TypedDict):
    """A job in a list; ``created`` in unix seconds, ``error`` the cause where it failed."""

    job: str
    name: str
    kind: str
    state: str
    proposer: str
    created: int
    parties: list[str]
    waiting_for: list[str]
    approval_needed: bool
    error: str | None


class Cost(TypedDict):
    """What a job is estimated to cost each party."""

    rounds: int
    bytes_per_party: int
    preprocessing_bytes: int
    memory_mb: float
    seconds: float
    notes: list[str]


class EngineChoice(TypedDict):
    """The engine of a job, and why it is that one."""

    name: str
    why: str


class JobPlan(TypedDict):
    """What a job file would mean: ``leakage`` in words, ``trust`` who could collude."""

    contract: dict[str, Any]
    leakage: list[str]
    trust: list[str]
    cost: Cost
    warnings: list[str]
    engine: EngineChoice


class Member(TypedDict):
    """A party of a job, its dealer or its enclave, with its consent and its latest progress."""

    rank: int
    name: str
    role: str
    fingerprint: str
    me: bool
    online: bool
    consent: str
    dataset: str | None
    columns: list[str]
    label: str | None
    categorical: list[str]
    weight: str | None
    step: str | None
    done: int | None
    total: int | None
    rounds: int | None
    bytes_sent: int | None
    elapsed_s: float | None


class JobEvent(TypedDict):
    """Something that happened in a job; ``kind`` is state, step, progress, opening, log or error."""

    time: float
    job: str
    party: str
    kind: str
    step: NotRequired[str]
    done: NotRequired[int]
    total: NotRequired[int]
    rounds: NotRequired[int]
    bytes_sent: NotRequired[int]
    elapsed_s: NotRequired[float]
    what: NotRequired[str]
    to: NotRequired[list[str]]
    elements: NotRequired[int]
    text: NotRequired[str]


class JobView(TypedDict):
    """Everything about a job. ``error`` is an error as data, ``result`` what this node has of a job that is done."""

    job: str
    id: str
    name: str
    kind: str
    state: str
    proposer: str
    created: int
    waiting_for: list[str]
    approval_needed: bool
    purpose: str
    expires: int
    finished: int | None
    attempt: int
    decision: str
    parties: list[Member]
    leakage: list[str]
    trust: list[str]
    contract: dict[str, Any]
    events: list[JobEvent]
    error: dict[str, Any] | None
    result: dict[str, Any] | None
    metrics: dict[str, float] | None
    model: str | None
    scores: str | None


class LogLine(TypedDict):
    """A line of a job's log; ``time`` is None where its worker wrote it."""

    time: float | None
    text: str


class ModelSummary(TypedDict):
    """A model in a list; ``created`` in unix seconds, ``enclave`` the peer that trained it in plain."""

    model: str
    name: str
    algorithm: str
    engine: str
    enclave: str | None
    insecure_simulated: bool
    created: int
    parties: list[str]
    rows: int
    test_rows: int
    metrics: dict[str, float] | None


class Coefficient(TypedDict):
    """A column of this node; its ``coefficient`` is None where it was not opened here."""

    name: str
    coefficient: float | None


class LabelView(TypedDict):
    """Whose column a model predicts."""

    party: str
    column: str | None


class ModelView(ModelSummary):
    """A model as this node sees it; ``scores`` is a file, ``released`` the open model where there is one."""

    purpose: str
    contract: dict[str, Any]
    columns: list[Coefficient]
    intercept: float | None
    intercept_holder: str | None
    importance: dict[str, Any]
    coefficients_are: str
    label: LabelView
    scores_to: list[str]
    weights_to: str
    scores: str | None
    costs: dict[str, Any]
    released: dict[str, Any] | None


class ScoresFile(TypedDict):
    """The file of the scores that a job opened to this node."""

    job: str
    path: str
    rows: int


class CorrelationsView(TypedDict):
    """What lies unused for jobs with ``peers``; ``made`` in unix seconds."""

    peers: list[str]
    amounts: dict[str, int]
    bytes: int
    made: int


class CorrelationsProposed(TypedDict):
    """A job that makes correlations, and the bytes that it will leave at each party."""

    job: str
    bytes: int


class CorrelationsDropped(TypedDict):
    """How many sets of correlations were thrown away."""

    sets: int
    bytes: int
