"""The contract: everything a job is, as data in a closed vocabulary, and its one name, the job id.

Every party decodes it from bytes (``Contract.decode_untrusted`` checks every field), compares it with its own
policy and data, and signs its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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
    PREPROCESSING,
)
from hansa.protocols.errors import ConsentError
from hansa.protocols.wire import canonical
from hansa.protocols.wire.attestation.platforms import Code, code_untrusted
from hansa.protocols.wire.consent.terms import (
    DEALERS,
    HARDWARE,
    Align,
    Dealer,
    Enclave,
    Limits,
    Opening,
    Outputs,
    Party,
    params_map,
    params_untrusted,
)
from hansa.protocols.wire.declared import (
    choice,
    declared,
    each,
    integers,
    number,
    octets,
    optional_octets,
    optional_part,
    part,
    parts,
    plain,
    printable,
    read_by,
    read_untrusted,
    real,
)
from hansa.protocols.wire.fields import Fields
from hansa.protocols.wire.limits import (
    CONTRACT_MAX_BYTES,
    CONTRACT_MAX_CODES,
    CONTRACT_MAX_LIFETIME_S,
    CONTRACT_MAX_OPENINGS,
    CONTRACT_MAX_PARTIES,
    NAME_MAX,
    TEXT_MAX,
)
from hansa.protocols.wire.signing import tagged_hash

VERSION = 4
FIRST_VERSION = 1
"""Contracts without a dealer, all of whose parties compute: their models are still to be used."""


@declared(slots=False)
class Contract:
    """A job, complete. Ranks are the places in ``parties``, a dealer's or enclave's is the one after; times are unix
    seconds.

    ``model`` is a training job id; ``computing`` the ranks that compute where not all do (empty: all do).
    ``codes``: what the dealer or enclave must prove it runs, one of these; empty where it is a dealer trusted as it is.
    """

    version: int = number(VERSION, FIRST_VERSION)
    kind: str = choice(*KINDS)
    name: str = printable(NAME_MAX * 2, 1)
    purpose: str = printable(TEXT_MAX, 1)
    parties: tuple[Party, ...] = parts(Party, "a contract's party", CONTRACT_MAX_PARTIES, least=2)
    align: Align = part(Align, "a contract's alignment")
    algorithm: str = choice(*PARAMS)
    params: Mapping[str, Param] = read_by(lambda fields, name: fields.map(name))
    test_fraction: float = real(0.0, 0.9)
    seed: bytes = octets(16)
    frac_bits: int = number(FRAC_BITS, FRAC_BITS)
    engine: str = choice(*ENGINES)
    outputs: Outputs = part(Outputs, "a contract's outputs")
    model: bytes | None = optional_octets(32)
    openings: tuple[Opening, ...] = parts(Opening, "a contract's opening", CONTRACT_MAX_OPENINGS)
    limits: Limits = part(Limits, "a contract's limits")
    created: int = number(1 << 40)
    expires: int = number(1 << 40)
    nonce: bytes = octets(16)
    computing: tuple[int, ...] = integers(CONTRACT_MAX_PARTIES, CONTRACT_MAX_PARTIES - 1, since=DEALERS, default=())
    dealer: Dealer | None = optional_part(Dealer, "a contract's dealer", since=DEALERS, default=None)
    enclave: Enclave | None = optional_part(Enclave, "a contract's enclave", since=HARDWARE, default=None)
    codes: tuple[Code, ...] = each(CONTRACT_MAX_CODES, code_untrusted, since=HARDWARE, default=())

    def encode(self) -> bytes:
        """The canonical bytes."""
        return canonical.encode(plain(self, self.version) | {"params": params_map(self.algorithm, self.params)})

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
        value = canonical.decode_untrusted(data, CONTRACT_MAX_BYTES)
        version = Fields(value, "a contract").number("version", FIRST_VERSION, VERSION)
        read = read_untrusted(cls, value, "a contract", version)
        contract = replace(read, params=params_untrusted(read.algorithm, read.params))
        contract.check()
        if contract.encode() != data:  # one job id, one byte string
            raise Fields(value, "a contract").refused("is not in canonical form")
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
            (self.expires - self.created > CONTRACT_MAX_LIFETIME_S, "is open longer than 30 days"),
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
            "outputs": plain(self.outputs, VERSION),
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


_NEED_SCORES = (
    'keeps the test scores from everybody (outputs.scores = "none"), so nobody can compute the metrics of the test '
    "part; open them to the label's owner or set split.test = 0"
)
_WEIGHT_USED = "uses its sample weights as the label or a feature"
