"""The job file: what a modeller writes and submits (grammar in docs/job.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hansa.config import toml_reader
from hansa.config.params import ALGORITHMS, PARAMS, Choice, Flag, Kind, Param, Whole, misfit
from hansa.config.toml_reader import TomlTable
from hansa.config.vocabulary import (
    ATTESTED,
    AUTO,
    COMPUTING_PARTIES,
    ENCLAVE,
    ENGINES,
    IMPORTANCE,
    METRICS,
    MOST_PARTIES,
    NORMALISATIONS,
    PRINTABLE,
    SCORES,
    TRAINING_METRIC,
    WEIGHTS,
)

LONGEST_S = 30 * 24 * 3600
EVERY = "*"
"""As the only column: every number column that is neither key, label nor weight, and those named as categorical."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class AlignSection:
    """[align]: how keys are compared."""

    normalise: str


@dataclass(frozen=True, slots=True)
class SplitSection:
    """[split]: the share of aligned rows held out for the test."""

    test: float


@dataclass(frozen=True, slots=True)
class OutputsSection:
    """[outputs]: who receives what; without trees nobody a column's importance or a metric while training."""

    scores: str
    weights: str
    metrics: str
    importance: str
    training_metric: str


@dataclass(frozen=True, slots=True)
class PartyEntry:
    """One [[party]]; ``categorical`` are those of its columns whose values are categories."""

    name: str
    dataset: str
    label: str | None
    columns: tuple[str, ...]
    categorical: tuple[str, ...]
    weight: str | None


@dataclass(frozen=True, slots=True)
class JobFile:
    """A job file, checked; ``seed`` is 16 bytes or None (drawn at submission).

    ``engine`` may be "auto"; ``dealer`` and ``enclave`` are peers' names or None, and ``attested`` says whether this peer must
    prove by its hardware what code it runs; ``computing`` names parties, or is empty: the first.
    ``params`` are as a contract has them.
    """

    name: str
    purpose: str
    algorithm: str
    engine: str
    dealer: str | None
    enclave: str | None
    enclave_votes: int
    attested: bool
    computing: tuple[str, ...]
    expires_in_s: int
    seed: bytes | None
    align: AlignSection
    split: SplitSection
    params: dict[str, Param]
    outputs: OutputsSection
    parties: tuple[PartyEntry, ...]


def parse(text: str, file: str) -> JobFile:
    """Read a job file's text; ``ConfigError`` names file, line and key of what is wrong."""
    document = TomlTable(toml_reader.parse(text, file), text=text, file=file)
    name = document.text("name", pattern=f"{PRINTABLE}{{1,128}}")
    purpose = document.text("purpose", pattern=f"{PRINTABLE}{{1,500}}")
    algorithm = document.choice("algorithm", ALGORITHMS)
    engine = document.choice("engine", (AUTO, *ENGINES), AUTO)
    dealer, attested_dealer = _helper(document, "dealer")
    enclave, attested_enclave = _helper(document, "enclave")
    if enclave is not None and not attested_enclave:
        raise document.wrong("enclave", f'must be written "{ATTESTED}{enclave}": an enclave has to prove what it runs')
    computing = document.texts("computing", ())
    expires = document.checked("expires_in", duration_s, document.text("expires_in", "1h"))
    seed_text = document.text("seed", "", pattern=r"[0-9a-fA-F]{32}")
    align, split, outputs = document.table("align"), document.table("split"), document.table("outputs")
    params = document.table(algorithm)
    job = JobFile(
        name=name,
        purpose=purpose,
        algorithm=algorithm,
        engine=engine,
        dealer=dealer,
        enclave=enclave,
        enclave_votes=document.integer("enclave_votes", 1, MOST_PARTIES) if document.has("enclave_votes") else 0,
        attested=attested_dealer or attested_enclave,
        computing=computing,
        expires_in_s=expires,
        seed=bytes.fromhex(seed_text) if seed_text else None,
        align=AlignSection(align.choice("normalise", NORMALISATIONS, "trim")),
        split=SplitSection(split.real("test", 0.0, 0.9, 0.2)),
        params=_params(algorithm, params),
        outputs=_outputs(outputs, algorithm),
        parties=tuple(_party(table, algorithm) for table in document.tables("party")),
    )
    for table in (document, align, split, outputs, params):
        table.end()
    _check(job, document, outputs)
    return job


def duration_s(text: str) -> int:
    """``90s``, ``15m``, ``2h`` or ``7d`` in seconds, at most 30 days; ``ValueError`` otherwise."""
    match = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", text)
    if match is None or int(match[1]) * _UNITS[match[2]] > LONGEST_S:
        raise ValueError(f"cannot be {text!r}: write 90s, 15m, 2h or 7d, at most 30d")
    return int(match[1]) * _UNITS[match[2]]


def _params(algorithm: str, table: TomlTable) -> dict[str, Param]:
    """What was written, and of the rest what every contract states."""
    params: dict[str, Param] = {}
    for name, kind in PARAMS[algorithm].items():
        value = _param(table, name, kind)
        if value is not None and (kind.stated or value != kind.default):
            params[name] = value
    wrong = misfit(algorithm, params)
    if wrong is not None:
        raise table.wrong(*wrong)
    return params


def _param(table: TomlTable, name: str, kind: Kind) -> Param | None:
    if isinstance(kind, Choice):
        return table.choice(name, kind.choices, kind.default)
    if isinstance(kind, Flag):
        return table.flag(name, kind.default)
    if isinstance(kind, Whole):
        return table.integer(name, kind.least, kind.most, kind.default)
    if kind.default is None and not table.has(name):
        return None
    return table.real(name, kind.least, kind.most, kind.default)


def _outputs(table: TomlTable, algorithm: str) -> OutputsSection:
    trees = algorithm == "gbdt"
    outputs = OutputsSection(
        scores=table.choice("scores", SCORES, "label-owner"),
        weights=table.choice("weights", WEIGHTS, "owner"),
        metrics=table.choice("metrics", METRICS, "all"),
        importance=table.choice("importance", IMPORTANCE, "owner" if trees else "none"),
        training_metric=table.choice("training_metric", TRAINING_METRIC, "none"),
    )
    for key, value in (("importance", outputs.importance), ("training_metric", outputs.training_metric)):
        if not trees and value != "none":
            raise table.wrong(key, f"goes with the algorithm gbdt only, not with {algorithm}")
    return outputs


def _party(table: TomlTable, algorithm: str) -> PartyEntry:
    entry = PartyEntry(
        name=table.text("name", pattern=r".{1,64}"),
        dataset=table.text("dataset", pattern=r".{1,64}"),
        label=table.text("label", pattern=r".{1,256}") if table.has("label") else None,
        columns=table.texts("columns", (EVERY,)),
        categorical=table.texts("categorical", ()),
        weight=table.text("weight", pattern=r".{1,256}") if table.has("weight") else None,
    )
    table.end()
    if algorithm != "gbdt" and entry.categorical:
        raise table.wrong("categorical", f"goes with the algorithm gbdt only, not with {algorithm}")
    if algorithm != "gbdt" and entry.weight is not None:
        raise table.wrong("weight", f"goes with the algorithm gbdt only, not with {algorithm}")
    _check_columns(entry, table)
    return entry


def _check_columns(entry: PartyEntry, table: TomlTable) -> None:
    for column in entry.categorical:
        if column == entry.label or (entry.columns != (EVERY,) and column not in entry.columns):
            raise table.wrong("categorical", f"names {column!r}, which is not among the features (`columns`)")
        if entry.categorical.count(column) > 1:
            raise table.wrong("categorical", f"names {column!r} twice")
    if entry.weight is None:
        return
    if entry.label is None:
        raise table.wrong("weight", "belongs into the section with the label: who has the label weighs the rows")
    if entry.weight == entry.label:
        raise table.wrong("weight", f"is {entry.weight!r}, the label")
    if entry.weight in entry.columns or entry.weight in entry.categorical:
        raise table.wrong("weight", f"is {entry.weight!r}, a feature: take it out of `columns` and `categorical`")


def _check(job: JobFile, document: TomlTable, outputs: TomlTable) -> None:
    if not job.parties:
        raise document.wrong("party", "is missing: write one [[party]] section for each institution")
    labels = [party.name for party in job.parties if party.label is not None]
    if len(labels) != 1:
        raise document.wrong("party", f"must have `label = COLUMN` in exactly one section, not in {len(labels)}")
    names = [party.name for party in job.parties]
    for name in names:
        if names.count(name) > 1:
            raise document.wrong("party", f"names {name!r} twice")
    _check_engine(job, document)
    if job.outputs.scores == "none" and job.split.test > 0:
        raise outputs.wrong(
            "scores", 'is "none": then nobody can compute the test metrics; set split.test = 0 or open the scores'
        )


def _helper(document: TomlTable, key: str) -> tuple[str | None, bool]:
    """The peer that a key names, and whether it must be attested."""
    if not document.has(key):
        return None, False
    text = document.text(key)
    if not re.fullmatch(rf"(?:{ATTESTED})?[^:]{{1,64}}", text):
        forms = (
            f'write "{ATTESTED}PEER"'
            if key == ENCLAVE
            else f'write "PEER", or "{ATTESTED}PEER" for one that proves its code'
        )
        raise document.wrong(key, f"cannot be {text!r}: {forms}")
    return text.removeprefix(ATTESTED), text.startswith(ATTESTED)


def _check_engine(job: JobFile, document: TomlTable) -> None:
    names = [party.name for party in job.parties]
    if (job.engine == ENCLAVE) != (job.enclave is not None):
        raise document.wrong(
            "enclave", f'goes with engine = "{ENCLAVE}", which needs it: write enclave = "{ATTESTED}PEER"'
        )
    if job.enclave_votes and job.engine != ENCLAVE:
        raise document.wrong("enclave_votes", f"goes with the engine {ENCLAVE} only, not with {job.engine}")
    if job.enclave_votes > len(names):
        raise document.wrong("enclave_votes", f"is {job.enclave_votes}, and the job has {len(names)} parties to vote")
    if job.enclave in names:
        raise document.wrong(
            "enclave", f"is {job.enclave!r}, a party of the job: an enclave must have no data of its own in it"
        )
    if job.dealer is not None and job.engine not in {AUTO, "additive"}:
        raise document.wrong("dealer", f"goes with the engine additive only, not with {job.engine}")
    if job.dealer in names:
        raise document.wrong("dealer", f"is {job.dealer!r}, a party of the job: a dealer must have no data in it")
    if not job.computing:
        return
    need = COMPUTING_PARTIES.get(job.engine)
    if need is None:
        raise document.wrong("computing", f"goes with the engine {', '.join(COMPUTING_PARTIES)} only")
    if len(set(job.computing)) != len(job.computing) or len(job.computing) != need:
        raise document.wrong("computing", f"must name {need} different parties")
    for name in job.computing:
        if name not in names:
            raise document.wrong("computing", f"names {name!r}, which is no party of the job")
