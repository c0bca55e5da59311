"""What a contract is made of, each part with its plain form and its reading from bytes that a peer may have made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hansa.config.params import PARAMS, Choice, Flag, Kind, Param, Real, Whole
from hansa.config.vocabulary import IMPORTANCE, METRICS, SCORES, TRAINING_METRIC, WEIGHTS
from hansa.protocols.wire import limits
from hansa.protocols.wire.attestation.platforms import MEASUREMENT_BYTES
from hansa.protocols.wire.fields import Fields

HARDWARE = 4
"""The version from which contracts name an enclave, and the code that it or a dealer must prove to run."""
TREES_WIDENED = 3
"""The version from which contracts name categories, sample weights, and who learns importance and training metric."""


@dataclass(frozen=True, slots=True)
class Align:
    """How keys are compared: ``exact``, ``trim`` (outer blanks), ``trim-casefold``."""

    normalise: str


@dataclass(frozen=True, slots=True)
class Outputs:
    """Who receives test scores, weights and metrics; of trees their columns' importance and the metric while training."""

    scores: str
    weights: str
    metrics: str
    importance: str = "none"
    training_metric: str = "none"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a party may be asked to handle."""

    max_rows: int


@dataclass(frozen=True, slots=True)
class Opening:
    """One value that the job opens: its name in the protocols, the ranks that learn it, and words for people."""

    what: str
    to: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Party:
    """What one institution brings: who, which dataset of which schema, which feature columns, the label or None.

    ``categorical`` are the features whose values are categories; ``weight`` is the column of sample weights, or None.

    Where correlations are made nobody brings data: no dataset, a digest of zeros, no columns.
    """

    identity: bytes
    name: str
    dataset: str
    schema_digest: bytes
    columns: tuple[str, ...]
    label: str | None
    categorical: tuple[str, ...] = ()
    weight: str | None = None


@dataclass(frozen=True, slots=True)
class Dealer:
    """A member without data: it gives the parties correlated random numbers, and sees neither inputs nor openings."""

    identity: bytes
    name: str


@dataclass(frozen=True, slots=True)
class Enclave:
    """A member in trusted hardware: it reads all inputs in plain inside, computes with them, and opens what is stated.

    ``votes``: how many of the parties must vote before its key of this job's model may go to other code.
    """

    identity: bytes
    name: str
    votes: int


@dataclass(frozen=True, slots=True)
class Code:
    """Code that may run: the platform that proves it, and its measurement as ``attestation.platforms.code_of`` has it."""

    platform: str
    measurement: bytes

    def __str__(self) -> str:
        """As people type it: PLATFORM:HEX."""
        return f"{self.platform}:{self.measurement.hex()}"


def outputs_map(outputs: Outputs, version: int) -> dict[str, Any]:
    """Who receives what, as plain data of a contract's version."""
    known = {"scores": outputs.scores, "weights": outputs.weights, "metrics": outputs.metrics}
    later = {"importance": outputs.importance, "training_metric": outputs.training_metric}
    return known | (later if version >= TREES_WIDENED else {})


def outputs_untrusted(value: dict[str, Any], version: int) -> Outputs:
    """Read who receives what; ``PeerMisbehaved`` where it says something else."""
    fields = Fields(value, "a contract's outputs")
    widened = version >= TREES_WIDENED
    outputs = Outputs(
        scores=fields.choice("scores", *SCORES),
        weights=fields.choice("weights", *WEIGHTS),
        metrics=fields.choice("metrics", *METRICS),
        importance=fields.choice("importance", *IMPORTANCE) if widened else "none",
        training_metric=fields.choice("training_metric", *TRAINING_METRIC) if widened else "none",
    )
    fields.end()
    return outputs


def party_map(party: Party, version: int) -> dict[str, Any]:
    """A party as plain data of a contract's version."""
    known = {
        "identity": party.identity,
        "name": party.name,
        "dataset": party.dataset,
        "schema_digest": party.schema_digest,
        "columns": list(party.columns),
        "label": party.label,
    }
    later = {"categorical": list(party.categorical), "weight": party.weight}
    return known | (later if version >= TREES_WIDENED else {})


def party_untrusted(value: Any, version: int) -> Party:
    """Read a party; ``PeerMisbehaved`` where it is none."""
    fields = Fields(value, "a contract's party")
    widened = version >= TREES_WIDENED
    most, longest = limits.CONTRACT_MAX_COLUMNS, limits.COLUMN_NAME_MAX
    party = Party(
        identity=fields.octets("identity", 32),
        name=fields.text("name", limits.NAME_MAX, least=1),
        dataset=fields.text("dataset", limits.NAME_MAX),
        schema_digest=fields.octets("schema_digest", 32),
        columns=fields.texts("columns", most, longest),
        label=fields.optional_text("label", longest),
        categorical=fields.texts("categorical", most, longest) if widened else (),
        weight=fields.optional_text("weight", longest) if widened else None,
    )
    fields.end()
    return party


def dealer_untrusted(value: Any) -> Dealer | None:
    """Read a dealer, or None for none; ``PeerMisbehaved`` where it is neither."""
    if value is None:
        return None
    fields = Fields(value, "a contract's dealer")
    dealer = Dealer(identity=fields.octets("identity", 32), name=fields.text("name", limits.NAME_MAX, least=1))
    fields.end()
    return dealer


def enclave_untrusted(value: Any) -> Enclave | None:
    """Read an enclave, or None for none; ``PeerMisbehaved`` where it is neither."""
    if value is None:
        return None
    fields = Fields(value, "a contract's enclave")
    enclave = Enclave(
        identity=fields.octets("identity", 32),
        name=fields.text("name", limits.NAME_MAX, least=1),
        votes=fields.number("votes", 1, limits.CONTRACT_MAX_PARTIES),
    )
    fields.end()
    return enclave


def code_map(code: Code) -> dict[str, Any]:
    """A code as plain data."""
    return {"platform": code.platform, "measurement": code.measurement}


def code_untrusted(value: Any) -> Code:
    """Read an accepted code; ``PeerMisbehaved`` where it is none."""
    fields = Fields(value, "a contract's accepted code")
    platform = fields.choice("platform", *MEASUREMENT_BYTES)
    code = Code(platform, fields.octets("measurement", MEASUREMENT_BYTES[platform]))
    fields.end()
    return code


def opening_untrusted(value: Any) -> Opening:
    """Read an opening; ``PeerMisbehaved`` where it is none."""
    fields = Fields(value, "a contract's opening")
    opening = Opening(
        what=fields.text("what", limits.NAME_MAX * 2, least=1),
        to=fields.integers("to", limits.CONTRACT_MAX_PARTIES, limits.CONTRACT_MAX_PARTIES - 1),
        text=fields.text("text", limits.TEXT_MAX),
    )
    fields.end()
    return opening


def params_map(algorithm: str, params: Mapping[str, Param]) -> dict[str, Param]:
    """Each number in the type its parameter has: 0 and 0.0 are one contract, so they must be one job id."""
    known = PARAMS.get(algorithm, {})
    return {name: float(value) if isinstance(known.get(name), Real) else value for name, value in params.items()}


def params_untrusted(algorithm: str, value: dict[str, Any]) -> dict[str, Param]:
    """Read an algorithm's parameters, each in its bounds; ``PeerMisbehaved`` otherwise."""
    fields = Fields(value, f"the parameters of {algorithm}")
    params = {
        name: _param_untrusted(fields, name, kind)
        for name, kind in PARAMS[algorithm].items()
        if kind.stated or fields.has(name)
    }
    fields.end()
    return params


def _param_untrusted(fields: Fields, name: str, kind: Kind) -> Param:
    if isinstance(kind, Choice):
        return fields.choice(name, *kind.choices)
    if isinstance(kind, Flag):
        return fields.flag(name)
    if isinstance(kind, Whole):
        return fields.number(name, kind.least, kind.most)
    return fields.real(name, kind.least, kind.most)
