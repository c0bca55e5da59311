"""From a job file to a contract: names become identities, datasets and columns are looked up, openings are stated.

Pure: what the peers offer (their catalogs) comes in as data. Every refusal names the job file's party, dataset or
column, and the nearest thing that does exist.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hansa.algorithms import leakage
from hansa.algorithms.enclave import statement
from hansa.config.jobfile import EVERY, JobFile, PartyEntry
from hansa.config.params import Param
from hansa.config.vocabulary import AUTO, COMPUTING_PARTIES, ENCLAVE, FRAC_BITS, LEAST_PARTIES, MOST_PARTIES
from hansa.node.errors import UsageError, nearest
from hansa.protocols.wire.attestation.platforms import INSECURE_SIMULATED
from hansa.protocols.wire.consent.contract import (
    VERSION,
    Align,
    Code,
    Contract,
    Dealer,
    Enclave,
    Limits,
    Opening,
    Outputs,
    Party,
)
from hansa.protocols.wire.messages import DatasetInfo


@dataclass(frozen=True, slots=True)
class KnownParty:
    """One party as this node knows it: its identity and the datasets its catalog shows (None: not reachable)."""

    name: str
    identity: bytes
    datasets: tuple[DatasetInfo, ...] | None


def contract_from(
    job: JobFile, offers: Mapping[str, KnownParty], *, now: int, max_rows: int, codes: Sequence[Code] = ()
) -> Contract:
    """The contract that a job file stands for; ``codes`` are what its member in hardware may run.

    ``offers`` maps every name this node knows (its own and its peers') to what is on offer there; ``now`` is unix time.
    Raises UsageError naming what does not exist, and what does.
    """
    _check_parties(job, offers)
    parties = tuple(_party(entry, offers[entry.name]) for entry in job.parties)
    _check_labels(parties)
    outputs = Outputs(
        scores=job.outputs.scores,
        weights=job.outputs.weights,
        metrics=job.outputs.metrics,
        importance=job.outputs.importance,
        training_metric=job.outputs.training_metric,
    )
    return Contract(
        version=VERSION,
        kind="train",
        name=job.name,
        purpose=job.purpose,
        parties=parties,
        align=Align(normalise=job.align.normalise),
        algorithm=job.algorithm,
        params=dict(job.params),
        test_fraction=job.split.test,
        seed=job.seed or os.urandom(16),
        frac_bits=FRAC_BITS,
        engine=engine_of(job),
        outputs=outputs,
        model=None,
        openings=openings_of("train", job.algorithm, outputs, parties, job.params, engine=engine_of(job)),
        limits=Limits(max_rows=max_rows),
        created=now,
        expires=now + job.expires_in_s,
        nonce=os.urandom(16),
        computing=_computing(job),
        dealer=None if job.dealer is None else Dealer(offers[job.dealer].identity, job.dealer),
        enclave=None if job.enclave is None else _enclave(job, offers[job.enclave].identity),
        codes=tuple(codes),
    )


def contract_on_model(
    trained: Contract,
    kind: str,
    datasets: Mapping[str, str],
    offers: Mapping[str, KnownParty],
    *,
    now: int,
    expires_in_s: int,
    codes: Sequence[Code] = (),
    enclave: Enclave | None = None,
) -> Contract:
    """A contract to predict with, or to release, the model that the contract ``trained`` made.

    ``datasets`` maps each party's name to the dataset it scores (ignored for a release); ``codes`` as for ``contract_from``;
    ``enclave`` is the one that serves the model, if an enclave does.
    """
    parties = []
    for member in (*trained.parties, *((trained.dealer,) if trained.dealer is not None else ())):
        offer = offers.get(member.name)
        if offer is None or offer.identity != member.identity:
            raise UsageError(
                f"{member.name}, who trained this model with you, is no longer among your peers",
                remedy="add it with `hansa peer join CODE`, or see `hansa peer list`",
                peer=member.name,
            )
    for party in trained.parties:
        offer = offers[party.name]
        parties.append(_same_party(party, kind, datasets.get(party.name, ""), offer))
    return Contract(
        version=VERSION,
        kind=kind,
        name=f"{kind} {trained.name}",
        purpose=trained.purpose,
        parties=tuple(parties),
        align=trained.align,
        algorithm=trained.algorithm,
        params=trained.params,
        test_fraction=trained.test_fraction,
        seed=os.urandom(16),
        frac_bits=trained.frac_bits,
        engine=trained.engine,
        outputs=trained.outputs,
        model=trained.job_id,
        openings=openings_of(
            kind, trained.algorithm, trained.outputs, trained.parties, trained.params, engine=trained.engine
        ),
        limits=trained.limits,
        created=now,
        expires=now + expires_in_s,
        nonce=os.urandom(16),
        computing=trained.computing,
        dealer=trained.dealer,
        enclave=enclave,
        codes=tuple(codes),
    )


def engine_of(job: JobFile) -> str:
    """The engine that a job file names, or the safest that fits: additive, which trusts no group of parties."""
    return "additive" if job.engine == AUTO else job.engine


def why_engine(job: JobFile) -> str:
    """Why the contract has the engine it has, in words."""
    if job.engine != AUTO:
        return "the job file names it"
    if job.dealer is not None:
        return "auto: the job file names a dealer, and additive is the engine that takes one"
    return "auto: the safest that fits, as any group of the others may collude, and nobody deals"


def trust_of(contract: Contract) -> tuple[str, ...]:
    """Who would have to collude, in words: derived alike by every member."""
    names = [party.name for party in contract.parties]
    simulated = any(code.platform == INSECURE_SIMULATED for code in contract.codes)
    if contract.enclave is not None:
        return statement.trust(contract.enclave.name, names, contract.enclave.votes, simulated=simulated)
    dealer = contract.dealer.name if contract.dealer is not None else None
    proven = leakage.of_attested_dealer(dealer, simulated=simulated) if dealer and contract.codes else ()
    return *leakage.trust(contract.engine, names, contract.computing, dealer), *proven


def openings_of(
    kind: str,
    algorithm: str,
    outputs: Outputs,
    parties: Sequence[Party],
    params: Mapping[str, Param],
    *,
    engine: str = "additive",
) -> tuple[Opening, ...]:
    """Everything a job of this kind opens, to whom, in words: derived alike by every party."""
    names = [party.name for party in parties]
    label_rank = next((rank for rank, party in enumerate(parties) if party.label is not None), 0)
    source = statement if engine == ENCLAVE else leakage
    stated = source.openings(kind, algorithm, outputs, names, label_rank, params)
    return tuple(Opening(what=what, to=tuple(to), text=text) for what, to, text in stated)


def _enclave(job: JobFile, identity: bytes) -> Enclave:
    """All parties must vote for other code unless the job file says that fewer will do."""
    assert job.enclave is not None
    return Enclave(identity, job.enclave, job.enclave_votes or len(job.parties))


def check_helper(job: JobFile, offers: Mapping[str, KnownParty]) -> None:
    """Raise UsageError unless the dealer or enclave of the job file is known here."""
    for role, name in (("dealer", job.dealer), ("enclave", job.enclave)):
        if name is not None and name not in offers:
            raise UsageError(
                f"the {role} '{name}' is neither this node nor one of its peers{nearest(name, offers)}",
                remedy="see `hansa peer list`; a new peer comes in with `hansa peer invite`",
                party=name,
            )


def _check_parties(job: JobFile, offers: Mapping[str, KnownParty]) -> None:
    for entry in job.parties:
        if entry.name not in offers:
            raise UsageError(
                f"the party '{entry.name}' is neither this node nor one of its peers{nearest(entry.name, offers)}",
                remedy="see `hansa peer list`; a new peer comes in with `hansa peer invite`",
                party=entry.name,
            )
        if offers[entry.name].datasets is None:
            raise UsageError(
                f"the node of {entry.name} cannot be reached, so its datasets cannot be looked up",
                remedy="see `hansa doctor`, and try again when it is online",
                party=entry.name,
            )
    check_helper(job, offers)
    names = [entry.name for entry in job.parties]
    identities = {offers[name].identity for name in names}
    if len(identities) != len(names):
        raise UsageError("one party stands twice in the job file", remedy="give each party one [[party]] section")
    helper = job.dealer or job.enclave
    if helper is not None and offers[helper].identity in identities:
        role = "dealer" if job.dealer is not None else "enclave"
        raise UsageError(
            f"the {role} '{helper}' is a party of the job too", remedy="name a peer that has no data in the job"
        )
    engine = engine_of(job)
    least = LEAST_PARTIES[engine]
    if not least <= len(job.parties) <= MOST_PARTIES:
        raise UsageError(
            f"the engine '{engine}' takes {least} to {MOST_PARTIES} parties, the job file has {len(job.parties)}",
            remedy=f"name {least} parties or more in [[party]] sections",
        )


def _computing(job: JobFile) -> tuple[int, ...]:
    """The ranks that compute, where not all parties do: those that the job file names, or the first."""
    need = COMPUTING_PARTIES.get(engine_of(job), len(job.parties))
    if need == len(job.parties):
        return ()
    names = [entry.name for entry in job.parties]
    return tuple(sorted(names.index(name) for name in job.computing or names[:need]))


def _party(entry: PartyEntry, offer: KnownParty) -> Party:
    info = _dataset(entry.name, entry.dataset, offer)
    _check_number(entry.name, info, "label", entry.label, "write the label as numbers in the file")
    _check_number(entry.name, info, "weight", entry.weight, "write the weights as numbers in the file")
    if entry.weight is not None and entry.weight in {*info.key, info.label}:
        role = "a key" if entry.weight in info.key else "the dataset's label"
        raise UsageError(
            f"the weight '{entry.weight}' of {entry.name} is {role}",
            remedy="name another column as `weight`, or leave it out: then all rows weigh the same",
            party=entry.name,
            column=entry.weight,
        )
    return Party(
        identity=offer.identity,
        name=entry.name,
        dataset=info.name,
        schema_digest=info.schema_digest,
        columns=_columns(entry, info),
        label=entry.label,
        categorical=entry.categorical,
        weight=entry.weight,
    )


def _check_number(party: str, info: DatasetInfo, role: str, column: str | None, remedy: str) -> None:
    kinds = dict(info.columns)
    if column is None:
        return
    if column not in kinds:
        raise _no_column(party, info, column)
    if kinds[column] != "number":
        raise UsageError(
            f"the {role} '{column}' of {party}'s dataset '{info.name}' holds text, not numbers",
            remedy=f"{remedy}, then `hansa data add` it anew",
            party=party,
            column=column,
        )


def _columns(entry: PartyEntry, info: DatasetInfo) -> tuple[str, ...]:
    left_out = {*info.key, entry.label, info.label, entry.weight}
    usable = [
        name for name, kind in info.columns if name not in left_out and (kind == "number" or name in entry.categorical)
    ]
    every = entry.columns == (EVERY,)
    kinds = dict(info.columns)
    for column in entry.categorical if every else entry.columns:
        if column not in kinds:
            raise _no_column(entry.name, info, column)
        if column in left_out:
            role = "a key" if column in info.key else "the label"
            raise UsageError(
                f"the column '{column}' of {entry.name} is {role} and cannot be a feature",
                remedy='take it out of `columns` and `categorical`, or write columns = ["*"]',
                party=entry.name,
                column=column,
            )
        if kinds[column] != "number" and column not in entry.categorical:
            raise UsageError(
                f"the column '{column}' of {entry.name}'s dataset '{info.name}' holds text, not numbers",
                remedy=f'with gbdt write categorical = ["{column}"], or leave it out; the number columns are: '
                f"{', '.join(usable)}",
                party=entry.name,
                column=column,
            )
    if every:
        return tuple(usable)
    if len(set(entry.columns)) != len(entry.columns):
        raise UsageError(f"{entry.name}'s columns name one twice", remedy="name each column once", party=entry.name)
    return entry.columns


def _dataset(party: str, name: str, offer: KnownParty) -> DatasetInfo:
    datasets = offer.datasets or ()
    info = next((d for d in datasets if d.name == name), None)
    if info is None:
        raise UsageError(
            f"{party} shows no dataset '{name}'{nearest(name, (d.name for d in datasets))}",
            remedy=f"see `hansa data list` at {party}; a private dataset is not shown to peers",
            party=party,
            dataset=name,
        )
    return info


def _no_column(party: str, info: DatasetInfo, column: str) -> UsageError:
    return UsageError(
        f"{party}'s dataset '{info.name}' has no column '{column}'{nearest(column, (name for name, _ in info.columns))}",
        remedy=f"see `hansa data show {info.name}` at {party}",
        party=party,
        column=column,
    )


def _check_labels(parties: Sequence[Party]) -> None:
    holders = [party.name for party in parties if party.label is not None]
    if len(holders) != 1:
        found = "no party has a label" if not holders else f"{' and '.join(holders)} have a label each"
        raise UsageError(f"{found}: exactly one must", remedy="write `label = COLUMN` in one [[party]] section")
    if not any(party.columns for party in parties):
        raise UsageError("no party has a feature column", remedy="name columns in the [[party]] sections")


def _same_party(party: Party, kind: str, dataset: str, offer: KnownParty) -> Party:
    """The party of a trained model with the dataset it now brings, which must have the same columns."""
    if kind == "release":
        return party
    if offer.datasets is None:
        raise UsageError(
            f"the node of {party.name} cannot be reached, so its datasets cannot be looked up",
            remedy="see `hansa doctor`, and try again when it is online",
            party=party.name,
        )
    info = _dataset(party.name, dataset, offer)
    kinds = dict(info.columns)
    for column in party.columns:
        if column not in kinds:
            raise _no_column(party.name, info, column)
        if kinds[column] != "number" and column not in party.categorical:
            raise UsageError(
                f"the column '{column}' of {party.name}'s dataset '{info.name}' holds text (or nothing), not numbers as "
                "the model was trained on",
                remedy="correct the file, then `hansa data add` it anew",
                party=party.name,
                column=column,
            )
    return replace(party, dataset=info.name, schema_digest=info.schema_digest)
