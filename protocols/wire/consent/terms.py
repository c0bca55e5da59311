"""The terms of a contract: who takes part with what, who learns what, and an algorithm's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hansa.config.params import PARAMS, Choice, Flag, Kind, Param, Real, Whole
from hansa.config.vocabulary import IMPORTANCE, METRICS, NORMALISATIONS, SCORES, TRAINING_METRIC, WEIGHTS
from hansa.protocols.wire.declared import (
    choice,
    declared,
    integers,
    number,
    octets,
    optional_printable,
    printable,
    texts,
)
from hansa.protocols.wire.fields import Fields
from hansa.protocols.wire.limits import (
    COLUMN_NAME_MAX,
    CONTRACT_MAX_COLUMNS,
    CONTRACT_MAX_PARTIES,
    CONTRACT_MAX_ROWS,
    NAME_MAX,
    TEXT_MAX,
)

DEALERS = 2
"""The version from which contracts name a dealer, and which parties compute where not all do."""
TREES_WIDENED = 3
"""The version from which contracts name categories, sample weights, and who learns importance and training metric."""
HARDWARE = 4
"""The version from which contracts name an enclave, and the code that it or a dealer must prove to run."""


@declared()
class Align:
    """How keys are compared: ``exact``, ``trim`` (outer blanks), ``trim-casefold``."""

    normalise: str = choice(*NORMALISATIONS)


@declared()
class Outputs:
    """Who receives test scores, weights and metrics; of trees their columns' importance and the metric while training."""

    scores: str = choice(*SCORES)
    weights: str = choice(*WEIGHTS)
    metrics: str = choice(*METRICS)
    importance: str = choice(*IMPORTANCE, since=TREES_WIDENED, default="none")
    training_metric: str = choice(*TRAINING_METRIC, since=TREES_WIDENED, default="none")


@declared()
class Limits:
    """What a party may be asked to handle."""

    max_rows: int = number(CONTRACT_MAX_ROWS, 1)


@declared()
class Opening:
    """One value that the job opens: its name in the protocols, the ranks that learn it, and words for people."""

    what: str = printable(NAME_MAX * 2, 1)
    to: tuple[int, ...] = integers(CONTRACT_MAX_PARTIES, CONTRACT_MAX_PARTIES - 1)
    text: str = printable(TEXT_MAX)


@declared()
class Party:
    """What one institution brings: who, which dataset of which schema, which feature columns, the label or None.

    ``categorical`` are the features whose values are categories; ``weight`` is the column of sample weights, or None.

    Where correlations are made nobody brings data: no dataset, a digest of zeros, no columns.
    """

    identity: bytes = octets(32)
    name: str = printable(NAME_MAX, 1)
    dataset: str = printable(NAME_MAX)
    schema_digest: bytes = octets(32)
    columns: tuple[str, ...] = texts(CONTRACT_MAX_COLUMNS, COLUMN_NAME_MAX)
    label: str | None = optional_printable(COLUMN_NAME_MAX)
    categorical: tuple[str, ...] = texts(CONTRACT_MAX_COLUMNS, COLUMN_NAME_MAX, since=TREES_WIDENED, default=())
    weight: str | None = optional_printable(COLUMN_NAME_MAX, since=TREES_WIDENED, default=None)


@declared()
class Dealer:
    """A member without data: it gives the parties correlated random numbers, and sees neither inputs nor openings."""

    identity: bytes = octets(32)
    name: str = printable(NAME_MAX, 1)


@declared()
class Enclave:
    """A member in trusted hardware: it reads all inputs in plain inside, computes with them, and opens what is stated.

    ``votes``: how many of the parties must vote before its key of this job's model may go to other code.
    """

    identity: bytes = octets(32)
    name: str = printable(NAME_MAX, 1)
    votes: int = number(CONTRACT_MAX_PARTIES, 1)


def params_map(algorithm: str, params: Mapping[str, Param]) -> dict[str, Param]:
    """Each number in the type its parameter has: 0 and 0.0 are one contract, so they must be one job id."""
    known = PARAMS.get(algorithm, {})
    return {name: float(value) if isinstance(known.get(name), Real) else value for name, value in params.items()}


def params_untrusted(algorithm: str, value: Mapping[str, Any]) -> dict[str, Param]:
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
