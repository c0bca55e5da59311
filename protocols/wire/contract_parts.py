"""What a contract is made of, each part with its plain form and its reading from bytes that a peer may have made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hansa.config.vocabulary import PARAMS
from hansa.protocols.wire import limits
from hansa.protocols.wire.fields import Fields

Param = int | float


@dataclass(frozen=True, slots=True)
class Align:
    """How keys are compared: ``exact``, ``trim`` (outer blanks), ``trim-casefold``."""

    normalise: str


@dataclass(frozen=True, slots=True)
class Outputs:
    """Who receives test scores, weights and metrics."""

    scores: str
    weights: str
    metrics: str


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

    Where correlations are made nobody brings data: no dataset, a digest of zeros, no columns.
    """

    identity: bytes
    name: str
    dataset: str
    schema_digest: bytes
    columns: tuple[str, ...]
    label: str | None


@dataclass(frozen=True, slots=True)
class Dealer:
    """A member without data: it gives the parties correlated random numbers, and sees neither inputs nor openings."""

    identity: bytes
    name: str


def party_map(party: Party) -> dict[str, Any]:
    """A party as plain data."""
    return {
        "identity": party.identity,
        "name": party.name,
        "dataset": party.dataset,
        "schema_digest": party.schema_digest,
        "columns": list(party.columns),
        "label": party.label,
    }


def party_untrusted(value: Any) -> Party:
    """Read a party; ``PeerMisbehaved`` where it is none."""
    fields = Fields(value, "a contract's party")
    party = Party(
        identity=fields.octets("identity", 32),
        name=fields.text("name", limits.NAME_MAX, least=1),
        dataset=fields.text("dataset", limits.NAME_MAX),
        schema_digest=fields.octets("schema_digest", 32),
        columns=fields.texts("columns", limits.CONTRACT_MAX_COLUMNS, limits.COLUMN_NAME_MAX),
        label=fields.optional_text("label", limits.COLUMN_NAME_MAX),
    )
    fields.end()
    return party


def dealer_untrusted(value: Any) -> Dealer | None:
    """Read a dealer, or None for none; ``PeerMisbehaved`` where it is neither."""
    if value is None:
        return None
    fields = Fields(value, "a contract's dealer")
    dealer = Dealer(fields.octets("identity", 32), fields.text("name", limits.NAME_MAX, least=1))
    fields.end()
    return dealer


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
    return {name: float(value) if known.get(name, (int,))[0] is float else value for name, value in params.items()}


def params_untrusted(algorithm: str, value: dict[str, Any]) -> dict[str, Param]:
    """Read an algorithm's parameters, each in its bounds; ``PeerMisbehaved`` otherwise."""
    fields = Fields(value, f"the parameters of {algorithm}")
    params: dict[str, Param] = {}
    for name, (kind, least, most, _) in PARAMS[algorithm].items():
        params[name] = fields.number(name, int(least), int(most)) if kind is int else fields.real(name, least, most)
    fields.end()
    return params
