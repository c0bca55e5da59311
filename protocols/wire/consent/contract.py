"""The contract: everything a job is, as data in a closed vocabulary, and its one name, the job id.

Every party decodes it from bytes (``Contract.decode_untrusted`` checks every field), compares it with its own
policy and data, and signs its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hansa.config.params import PARAMS, Param, misfit
from hansa.config.vocabulary import (
    COMPUTING_PARTIES,
    ENCLAVE,
    ENGINES,
    FRAC_BITS,
    KINDS,
    LEAST_PARTIES,
    NORMALISATIONS,
    PREPROCESSING,
)
from hansa.protocols.errors import ConsentError
from hansa.protocols.wire import canonical, limits
from hansa.protocols.wire.consent.contract_parts import (
    HARDWARE,
    Align,
    Code,
    Dealer,
    Enclave,
    Limits,
    Opening,
    Outputs,
    Party,
    code_map,
    code_untrusted,
    dealer_untrusted,
    enclave_untrusted,
    opening_untrusted,
    outputs_map,
    outputs_untrusted,
    params_map,
    params_untrusted,
    party_map,
    party_untrusted,
)
from hansa.protocols.wire.fields import Fields
from hansa.protocols.wire.signing import tagged_hash

__all__ = ["VERSION", "Align", "Code", "Contract", "Dealer", "Enclave", "Limits", "Opening", "Outputs", "Party"]

VERSION = 4
FIRST_VERSION = 1
"""Contracts without a dealer, all of whose parties compute: their models are still to be used."""


@dataclass(frozen=True)
class Contract:
    """A job, complete. Ranks are the places in ``parties``, a dealer's or enclave's is the one after; times are unix
    seconds.

    ``model`` is a training job id; ``computing`` the ranks that compute where not all do (empty: all do).
    ``codes``: what the dealer or enclave must prove it runs, one of these; empty where it is a dealer trusted as it is.
    """

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
    computing: tuple[int, ...] = ()
    dealer: Dealer | None = None
    enclave: Enclave | None = None
    codes: tuple[Code, ...] = ()

    def encode(self) -> bytes:
        """The canonical bytes."""
        later = {"computing": list(self.computing), "dealer": None if self.dealer is None else _helper_map(self.dealer)}
        hardware = {
            "enclave": None if self.enclave is None else _helper_map(self.enclave) | {"votes": self.enclave.votes},
            "codes": [code_map(code) for code in self.codes],
        }
        return canonical.encode(
            {
                "version": self.version,
                "kind": self.kind,
                "name": self.name,
                "purpose": self.purpose,
                "parties": [party_map(party, self.version) for party in self.parties],
                "align": {"normalise": self.align.normalise},
                "algorithm": self.algorithm,
                "params": params_map(self.algorithm, self.params),
                "test_fraction": float(self.test_fraction),
                "seed": self.seed,
                "frac_bits": self.frac_bits,
                "engine": self.engine,
                "outputs": outputs_map(self.outputs, self.version),
                "model": self.model,
                "openings": [{"what": o.what, "to": list(o.to), "text": o.text} for o in self.openings],
                "limits": {"max_rows": self.limits.max_rows},
                "created": self.created,
                "expires": self.expires,
                "nonce": self.nonce,
            }
            | (later if self.version > FIRST_VERSION else {})
            | (hardware if self.version >= HARDWARE else {})
        )

    @cached_property
    def job_id(self) -> bytes:
        """BLAKE2b-256 of the canonical bytes: the job's name, which every signature covers."""
        return tagged_hash("hansa-contract", self.encode())

    @property
    def label_rank(self) -> int | None:
        """The rank whose party brings (or, for a model, brought) the label."""
        return next((rank for rank, party in enumerate(self.parties) if party.label is not None), None)

    @property
    def helper(self) -> Dealer | Enclave | None:
        """The member without data of its own, if there is one."""
        return self.dealer or self.enclave

    @property
    def members(self) -> tuple[Party | Dealer | Enclave, ...]:
        """Everyone who signs and runs a worker, in rank order: the parties, then the dealer or enclave if there is one."""
        return self.parties if self.helper is None else (*self.parties, self.helper)

    def rank_of(self, identity: bytes) -> int | None:
        """A member's rank, or None for a stranger."""
        return next((rank for rank, member in enumerate(self.members) if member.identity == identity), None)

    def party(self, identity: bytes) -> Party | None:
        """What this party brings; None for a dealer, an enclave and strangers."""
        return next((party for party in self.parties if party.identity == identity), None)

    @classmethod
    def decode_untrusted(cls, data: bytes | memoryview) -> Contract:
        """Decode and check every field; raises ``PeerMisbehaved`` (malformed) or ``ConsentError`` (unacceptable)."""
        fields = Fields(canonical.decode_untrusted(data, limits.CONTRACT_MAX_BYTES), "a contract")
        algorithm = fields.choice("algorithm", *PARAMS)
        align = Fields(fields.map("align"), "a contract's alignment")
        bounds = Fields(fields.map("limits"), "a contract's limits")
        version = fields.number("version", FIRST_VERSION, VERSION)
        everyone_computes = version == FIRST_VERSION
        most = limits.CONTRACT_MAX_PARTIES
        contract = cls(
            version=version,
            kind=fields.choice("kind", *KINDS),
            name=fields.text("name", limits.NAME_MAX * 2, least=1),
            purpose=fields.text("purpose", limits.TEXT_MAX, least=1),
            parties=fields.each("parties", most, lambda party: party_untrusted(party, version), least=2),
            align=Align(align.choice("normalise", *NORMALISATIONS)),
            algorithm=algorithm,
            params=params_untrusted(algorithm, fields.map("params")),
            test_fraction=fields.real("test_fraction", 0.0, 0.9),
            seed=fields.octets("seed", 16),
            frac_bits=fields.number("frac_bits", FRAC_BITS, FRAC_BITS),
            engine=fields.choice("engine", *ENGINES),
            outputs=outputs_untrusted(fields.map("outputs"), version),
            model=fields.optional_octets("model", 32),
            openings=fields.each("openings", limits.CONTRACT_MAX_OPENINGS, opening_untrusted),
            limits=Limits(bounds.number("max_rows", 1, limits.CONTRACT_MAX_ROWS)),
            created=fields.number("created", 0, 1 << 40),
            expires=fields.number("expires", 0, 1 << 40),
            nonce=fields.octets("nonce", 16),
            computing=() if everyone_computes else fields.integers("computing", most, most - 1),
            dealer=None if everyone_computes else fields.value("dealer", dealer_untrusted),
            enclave=fields.value("enclave", enclave_untrusted) if version >= HARDWARE else None,
            codes=fields.each("codes", limits.CONTRACT_MAX_CODES, code_untrusted) if version >= HARDWARE else (),
        )
        for part in (fields, align, bounds):
            part.end()
        contract.check()
        if contract.encode() != data:  # one job id, one byte string
            raise fields.refused("is not in canonical form")
        return contract

    def check(self) -> None:
        """Raise ``ConsentError`` where the fields, each valid, do not fit each other."""
        identities = {member.identity for member in self.members}
        names = {member.name for member in self.members}
        least = LEAST_PARTIES[self.engine]
        problems = (
            (len(identities) != len(self.members), "names a party twice"),
            (len(names) != len(self.members), "gives two parties one name"),
            (self.version == FIRST_VERSION and self.engine != "replicated", "is of a version without this engine"),
            (
                len(self.parties) < least,
                f"has {len(self.parties)} parties; the engine {self.engine} takes {least} or more",
            ),
            (
                self.dealer is not None and self.engine != "additive",
                f"names a dealer; the engine {self.engine} has none",
            ),
            (
                not self._computing_fits(),
                f"does not name the parties that compute as the engine {self.engine} needs it",
            ),
            (
                (self.kind == PREPROCESSING) != (self.algorithm == PREPROCESSING),
                "has an algorithm that is not of its kind",
            ),
            *(self._problems_of_making() if self.kind == PREPROCESSING else self._problems_of_data()),
            *self._problems_of_trees(),
            *self._problems_of_hardware(),
            (self.expires <= self.created, "expires before it was made"),
            (self.expires - self.created > limits.CONTRACT_MAX_LIFETIME_S, "is open longer than 30 days"),
            (any(rank >= len(self.parties) for o in self.openings for rank in o.to), "opens to an unknown rank"),
        )
        for wrong, why in problems:
            if wrong:
                raise ConsentError(
                    f"the contract '{self.name}' {why}", remedy="correct the job file and submit it anew", job=self.name
                )

    def _problems_of_data(self) -> tuple[tuple[bool, str], ...]:
        labels = [party.name for party in self.parties if party.label is not None]
        return (
            (not all(party.dataset for party in self.parties), "does not name every party's dataset"),
            (len(labels) != 1, "does not name exactly one label"),
            (not any(party.columns for party in self.parties), "names no feature column"),
            (any(party.label in party.columns for party in self.parties), "uses its label as a feature"),
            (any(len(set(p.columns)) != len(p.columns) for p in self.parties), "names a column twice"),
            ((self.kind == "train") != (self.model is None), "must name a model exactly when it uses one"),
            (self.outputs.scores == "none" and self.kind == "train" and self.test_fraction > 0, _NEED_SCORES),
        )

    def _problems_of_trees(self) -> tuple[tuple[bool, str], ...]:
        """What only boosted trees take, and where they take it."""
        other = self.algorithm != "gbdt"
        weighted = [party for party in self.parties if party.weight is not None]
        opened = {self.outputs.importance, self.outputs.training_metric} != {"none"}
        wrong = misfit(self.algorithm, self.params)
        return (
            (other and any(party.categorical for party in self.parties), "has categories, which only gbdt takes"),
            (other and bool(weighted), "has sample weights, which only gbdt takes"),
            (other and opened, "opens importance or a training metric, which only gbdt has"),
            (any(set(p.categorical) - set(p.columns) for p in self.parties), "has a category that is no feature"),
            (any(len(set(p.categorical)) != len(p.categorical) for p in self.parties), "names a category twice"),
            (any(party.label is None for party in weighted), "has sample weights without the label"),
            (any(p.weight == p.label or p.weight in p.columns for p in weighted), _WEIGHT_USED),
            (wrong is not None, f"has a parameter that does not fit: {' '.join(wrong or ())}"),
        )

    @property
    def _most_votes(self) -> int:
        return 0 if self.enclave is None else self.enclave.votes

    def _problems_of_hardware(self) -> tuple[tuple[bool, str], ...]:
        inside = self.engine == ENCLAVE
        return (
            (inside and self.version < HARDWARE, "is of a version without this engine"),
            (inside != (self.enclave is not None), f"must name an enclave exactly with the engine {ENCLAVE}"),
            (self._most_votes > len(self.parties), "asks for more votes than it has parties"),
            (inside and not self.codes, "does not say which code its enclave may run"),
            (bool(self.codes) and self.helper is None, "says which code may run, and names no hardware"),
            (len(set(self.codes)) != len(self.codes), "accepts a code twice"),
        )

    def _problems_of_making(self) -> tuple[tuple[bool, str], ...]:
        data = any(party.dataset or party.columns or party.label is not None for party in self.parties)
        dealt = self.engine != "additive" or self.dealer is not None
        return (
            (dealt, "makes correlations ahead where none are needed: only additive without a dealer takes them"),
            (data or self.model is not None, "makes correlations, and names data"),
            (bool(self.openings), "makes correlations, and opens something"),
            (not any(self.params.values()), "makes nothing"),
        )

    def _computing_fits(self) -> bool:
        """Exactly as many as the engine takes, in order, where these are not all; else none is named."""
        need = COMPUTING_PARTIES.get(self.engine)
        if need is None or len(self.parties) == need:
            return not self.computing
        ranks = sorted(set(self.computing))
        return len(ranks) == need and list(self.computing) == ranks and ranks[-1] < len(self.parties)

    def describe(self) -> dict[str, Any]:
        """The contract for people and JSON: bytes in hex, parties by name."""
        return {
            "job": self.job_id.hex(),
            "kind": self.kind,
            "name": self.name,
            "purpose": self.purpose,
            "algorithm": self.algorithm,
            "engine": self.engine,
            "dealer": None if self.dealer is None else self.dealer.name,
            "enclave": None if self.enclave is None else self.enclave.name,
            "enclave_votes": self._most_votes or None,
            "codes": [{"platform": c.platform, "measurement": c.measurement.hex()} for c in self.codes],
            "computing": [self.parties[rank].name for rank in self.computing or range(len(self.parties))],
            "params": dict(self.params),
            "test_fraction": self.test_fraction,
            "seed": self.seed.hex(),
            "frac_bits": self.frac_bits,
            "normalise": self.align.normalise,
            "outputs": outputs_map(self.outputs, VERSION),
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
                    "categorical": list(party.categorical),
                    "weight": party.weight,
                    "schema_digest": party.schema_digest.hex(),
                }
                for rank, party in enumerate(self.parties)
            ],
        }


def _helper_map(helper: Dealer | Enclave) -> dict[str, Any]:
    return {"identity": helper.identity, "name": helper.name}


_NEED_SCORES = (
    'keeps the test scores from everybody (outputs.scores = "none"), so nobody can compute the metrics of the test '
    "part; open them to the label's owner or set split.test = 0"
)
_WEIGHT_USED = "uses its sample weights as the label or a feature"
