"""From a job file to a contract: names become identities, datasets and columns are looked up, openings are stated.

Pure: what the peers offer (their catalogs) comes in as data.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hansa.config.jobfile import JobFile, PartyEntry
from hansa.config.vocabulary import AUTO, COMPUTING_PARTIES, FRAC_BITS
from hansa.node.contracts import check
from hansa.node.contracts.check import KnownParty
from hansa.node.contracts.explain import openings_of
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.consent.contract import VERSION, Contract
from hansa.protocols.wire.consent.terms import Align, Dealer, Enclave, Limits, Outputs, Party

_FROM_TRAINING = (
    *("purpose", "align", "algorithm", "params", "test_fraction", "engine", "outputs", "limits", "computing", "dealer"),
)
"""Terms that a job on a model has from the contract that trained it."""


def new_contract(*, now: int, expires_in_s: int, seed: bytes | None = None, **terms: Any) -> Contract:
    """A contract of these terms, in the present version and open from ``now`` (unix time) on.

    The nonce is fresh, and so is the seed unless one is given.
    """
    return Contract(
        version=VERSION,
        seed=seed or os.urandom(16),
        frac_bits=FRAC_BITS,
        created=now,
        expires=now + expires_in_s,
        nonce=os.urandom(16),
        **terms,
    )


def contract_from(
    job: JobFile, offers: Mapping[str, KnownParty], *, now: int, max_rows: int, codes: Sequence[Code] = ()
) -> Contract:
    """The contract that a job file stands for; ``codes`` are what its member in hardware may run.

    ``offers`` maps every name this node knows (its own and its peers') to what is on offer there; ``now`` is unix time.
    Raises UsageError naming what does not exist, and what does.
    """
    check.check_parties(job, offers, engine_of(job))
    parties = tuple(_party(entry, offers[entry.name]) for entry in job.parties)
    check.check_labels(parties)
    outputs = Outputs(
        scores=job.outputs.scores,
        weights=job.outputs.weights,
        metrics=job.outputs.metrics,
        importance=job.outputs.importance,
        training_metric=job.outputs.training_metric,
    )
    return new_contract(
        now=now,
        expires_in_s=job.expires_in_s,
        seed=job.seed,
        kind="train",
        name=job.name,
        purpose=job.purpose,
        parties=parties,
        align=Align(normalise=job.align.normalise),
        algorithm=job.algorithm,
        params=dict(job.params),
        test_fraction=job.split.test,
        engine=engine_of(job),
        outputs=outputs,
        model=None,
        openings=openings_of("train", job.algorithm, outputs, parties, job.params, engine=engine_of(job)),
        limits=Limits(max_rows=max_rows),
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
    check.check_members(trained, offers)
    parties = [_same_party(party, kind, datasets.get(party.name, ""), offers[party.name]) for party in trained.parties]
    algorithm, outputs, params = trained.algorithm, trained.outputs, trained.params
    return new_contract(
        now=now,
        expires_in_s=expires_in_s,
        kind=kind,
        name=f"{kind} {trained.name}",
        parties=tuple(parties),
        model=trained.job_id,
        openings=openings_of(kind, algorithm, outputs, trained.parties, params, engine=trained.engine),
        enclave=enclave,
        codes=tuple(codes),
        **{term: getattr(trained, term) for term in _FROM_TRAINING},
    )


def engine_of(job: JobFile) -> str:
    """The engine that a job file names, or the safest that fits: additive, which trusts no group of parties."""
    return "additive" if job.engine == AUTO else job.engine


def _enclave(job: JobFile, identity: bytes) -> Enclave:
    """All parties must vote for other code unless the job file says that fewer will do."""
    assert job.enclave is not None
    return Enclave(identity, job.enclave, job.enclave_votes or len(job.parties))


def _computing(job: JobFile) -> tuple[int, ...]:
    """The ranks that compute, where not all parties do: those that the job file names, or the first."""
    need = COMPUTING_PARTIES.get(engine_of(job), len(job.parties))
    if need == len(job.parties):
        return ()
    names = [entry.name for entry in job.parties]
    return tuple(sorted(names.index(name) for name in job.computing or names[:need]))


def _party(entry: PartyEntry, offer: KnownParty) -> Party:
    info = check.dataset_of(entry.name, entry.dataset, offer)
    check.check_numbers(entry, info)
    return Party(
        identity=offer.identity,
        name=entry.name,
        dataset=info.name,
        schema_digest=info.schema_digest,
        columns=check.columns_of(entry, info),
        label=entry.label,
        categorical=entry.categorical,
        weight=entry.weight,
    )


def _same_party(party: Party, kind: str, dataset: str, offer: KnownParty) -> Party:
    """The party of a trained model with the dataset it now brings, which must have the same columns."""
    if kind == "release":
        return party
    info = check.same_columns(party, dataset, offer)
    return replace(party, dataset=info.name, schema_digest=info.schema_digest)
