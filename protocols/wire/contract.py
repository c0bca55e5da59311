"""The contract: everything a job is, as data in a closed vocabulary, and its one name, the job id.

Every party decodes it from bytes (``Contract.decode_untrusted`` checks every field), compares it with its own
policy and data, and signs its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hansa.config.vocabulary import (
    ALGORITHMS,
    ENGINE_PARTIES,
    ENGINES,
    FRAC_BITS,
    KINDS,
    METRICS,
    NORMALISATIONS,
    PARAMS,
    SCORES,
    WEIGHTS,
)
from hansa.protocols.errors import ConsentError
from hansa.protocols.wire import canonical, limits
from hansa.protocols.wire.fields import Fields
from hansa.protocols.wire.signing import tagged_hash

VERSION = 1
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
    """What one institution brings: who, which dataset of which schema, which feature columns, the label or None."""

    identity: bytes
    name: str
    dataset: str
    schema_digest: bytes
    columns: tuple[str, ...]
    label: str | None


@dataclass(frozen=True)
class Contract:
    """A job, complete. Ranks are the places in ``parties``; times are unix seconds; ``model`` is a training job id."""

    version: int
    kind: str
    name: str
    purpose: str
    parties: tuple[Party, ...]
    align: Align
    algorithm: str
    params: Mapping[str, Param]
    test_fraction: float
    seed: bytes
    frac_bits: int
    engine: str
    outputs: Outputs
    model: bytes | None
    openings: tuple[Opening, ...]
    limits: Limits
    created: int
    expires: int
    nonce: bytes

    def encode(self) -> bytes:
        """The canonical bytes."""
        return canonical.encode(
            {
                "version": self.version,
                "kind": self.kind,
                "name": self.name,
                "purpose": self.purpose,
                "parties": [_party_map(party) for party in self.parties],
                "align": {"normalise": self.align.normalise},
                "algorithm": self.algorithm,
                "params": _params_map(self.algorithm, self.params),
                "test_fraction": float(self.test_fraction),
                "seed": self.seed,
                "frac_bits": self.frac_bits,
                "engine": self.engine,
                "outputs": {
                    "scores": self.outputs.scores,
                    "weights": self.outputs.weights,
                    "metrics": self.outputs.metrics,
                },
                "model": self.model,
                "openings": [{"what": o.what, "to": list(o.to), "text": o.text} for o in self.openings],
                "limits": {"max_rows": self.limits.max_rows},
                "created": self.created,
                "expires": self.expires,
                "nonce": self.nonce,
            }
        )

    @cached_property
    def job_id(self) -> bytes:
        """BLAKE2b-256 of the canonical bytes: the job's name, which every signature covers."""
        return tagged_hash("hansa-contract", self.encode())

    @property
    def label_rank(self) -> int | None:
        """The rank whose party brings (or, for a model, brought) the label."""
        return next((rank for rank, party in enumerate(self.parties) if party.label is not None), None)

    def rank_of(self, identity: bytes) -> int | None:
        """The rank of an identity, or None for a stranger."""
        return next((rank for rank, party in enumerate(self.parties) if party.identity == identity), None)

    @classmethod
    def decode_untrusted(cls, data: bytes | memoryview) -> Contract:
        """Decode and check every field; raises ``PeerMisbehaved`` (malformed) or ``ConsentError`` (unacceptable)."""
        fields = Fields(canonical.decode_untrusted(data, limits.CONTRACT_MAX_BYTES), "a contract")
        algorithm = fields.choice("algorithm", *ALGORITHMS)
        outputs = Fields(fields.map("outputs"), "a contract's outputs")
        align = Fields(fields.map("align"), "a contract's alignment")
        bounds = Fields(fields.map("limits"), "a contract's limits")
        contract = cls(
            version=fields.number("version", VERSION, VERSION),
            kind=fields.choice("kind", *KINDS),
            name=fields.text("name", limits.NAME_MAX * 2, least=1),
            purpose=fields.text("purpose", limits.TEXT_MAX, least=1),
            parties=fields.each("parties", limits.CONTRACT_MAX_PARTIES, _party_untrusted, least=2),
            align=Align(align.choice("normalise", *NORMALISATIONS)),
            algorithm=algorithm,
            params=_params_untrusted(algorithm, fields.map("params")),
            test_fraction=fields.real("test_fraction", 0.0, 0.9),
            seed=fields.octets("seed", 16),
            frac_bits=fields.number("frac_bits", FRAC_BITS, FRAC_BITS),
            engine=fields.choice("engine", *ENGINES),
            outputs=Outputs(
                outputs.choice("scores", *SCORES),
                outputs.choice("weights", *WEIGHTS),
                outputs.choice("metrics", *METRICS),
            ),
            model=fields.optional_octets("model", 32),
            openings=fields.each("openings", limits.CONTRACT_MAX_OPENINGS, _opening_untrusted),
            limits=Limits(bounds.number("max_rows", 1, limits.CONTRACT_MAX_ROWS)),
            created=fields.number("created", 0, 1 << 40),
            expires=fields.number("expires", 0, 1 << 40),
            nonce=fields.octets("nonce", 16),
        )
        for part in (fields, outputs, align, bounds):
            part.end()
        contract.check()
        if contract.encode() != data:  # one job id, one byte string
            raise fields.refused("is not in canonical form")
        return contract

    def check(self) -> None:
        """Raise ``ConsentError`` where the fields, each valid, do not fit each other."""
        identities = {party.identity for party in self.parties}
        names = {party.name for party in self.parties}
        labels = [party.name for party in self.parties if party.label is not None]
        need = ENGINE_PARTIES[self.engine]
        problems = (
            (len(identities) != len(self.parties), "names a party twice"),
            (len(names) != len(self.parties), "gives two parties one name"),
            (len(self.parties) != need, f"has {len(self.parties)} parties; the engine {self.engine} takes {need}"),
            (len(labels) != 1, "does not name exactly one label"),
            (not any(party.columns for party in self.parties), "names no feature column"),
            (any(party.label in party.columns for party in self.parties), "uses its label as a feature"),
            (any(len(set(p.columns)) != len(p.columns) for p in self.parties), "names a column twice"),
            ((self.kind == "train") != (self.model is None), "must name a model exactly when it uses one"),
            (self.expires <= self.created, "expires before it was made"),
            (self.expires - self.created > limits.CONTRACT_MAX_LIFETIME_S, "is open longer than 30 days"),
            (self.outputs.scores == "none" and self.kind == "train" and self.test_fraction > 0, _NEED_SCORES),
            (any(rank >= len(self.parties) for o in self.openings for rank in o.to), "opens to an unknown rank"),
        )
        for wrong, why in problems:
            if wrong:
                raise ConsentError(
                    f"the contract '{self.name}' {why}", remedy="correct the job file and submit it anew", job=self.name
                )

    def describe(self) -> dict[str, Any]:
        """The contract for people and JSON: bytes in hex, parties by name."""
        return {
            "job": self.job_id.hex(),
            "kind": self.kind,
            "name": self.name,
            "purpose": self.purpose,
            "algorithm": self.algorithm,
            "engine": self.engine,
            "params": dict(self.params),
            "test_fraction": self.test_fraction,
            "seed": self.seed.hex(),
            "frac_bits": self.frac_bits,
            "normalise": self.align.normalise,
            "outputs": {
                "scores": self.outputs.scores,
                "weights": self.outputs.weights,
                "metrics": self.outputs.metrics,
            },
            "model": self.model.hex() if self.model is not None else None,
            "openings": [
                {"what": o.what, "to": [self.parties[rank].name for rank in o.to], "text": o.text}
                for o in self.openings
            ],
            "max_rows": self.limits.max_rows,
            "created": self.created,
            "expires": self.expires,
            "parties": [
                {
                    "rank": rank,
                    "name": party.name,
                    "identity": party.identity.hex(),
                    "dataset": party.dataset,
                    "columns": list(party.columns),
                    "label": party.label,
                    "schema_digest": party.schema_digest.hex(),
                }
                for rank, party in enumerate(self.parties)
            ],
        }


_NEED_SCORES = (
    'keeps the test scores from everybody (outputs.scores = "none"), so nobody can compute the metrics of the test '
    "part; open them to the label's owner or set split.test = 0"
)


def _party_map(party: Party) -> dict[str, Any]:
    return {
        "identity": party.identity,
        "name": party.name,
        "dataset": party.dataset,
        "schema_digest": party.schema_digest,
        "columns": list(party.columns),
        "label": party.label,
    }


def _party_untrusted(value: Any) -> Party:
    fields = Fields(value, "a contract's party")
    party = Party(
        identity=fields.octets("identity", 32),
        name=fields.text("name", limits.NAME_MAX, least=1),
        dataset=fields.text("dataset", limits.NAME_MAX, least=1),
        schema_digest=fields.octets("schema_digest", 32),
        columns=fields.texts("columns", limits.CONTRACT_MAX_COLUMNS, limits.COLUMN_NAME_MAX),
        label=fields.optional_text("label", limits.COLUMN_NAME_MAX),
    )
    fields.end()
    return party


def _opening_untrusted(value: Any) -> Opening:
    fields = Fields(value, "a contract's opening")
    opening = Opening(
        what=fields.text("what", limits.NAME_MAX * 2, least=1),
        to=fields.integers("to", limits.CONTRACT_MAX_PARTIES, limits.CONTRACT_MAX_PARTIES - 1),
        text=fields.text("text", limits.TEXT_MAX),
    )
    fields.end()
    return opening


def _params_map(algorithm: str, params: Mapping[str, Param]) -> dict[str, Param]:
    """Each number in the type its parameter has: 0 and 0.0 are one contract, so they must be one job id."""
    known = PARAMS.get(algorithm, {})
    return {name: float(value) if known.get(name, (int,))[0] is float else value for name, value in params.items()}


def _params_untrusted(algorithm: str, value: dict[str, Any]) -> dict[str, Param]:
    fields = Fields(value, f"the parameters of {algorithm}")
    params: dict[str, Param] = {}
    for name, (kind, least, most, _) in PARAMS[algorithm].items():
        params[name] = fields.number(name, int(least), int(most)) if kind is int else fields.real(name, least, most)
    fields.end()
    return params
