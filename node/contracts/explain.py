"""What a contract means, in words that every member derives alike: who trusts whom, and what is opened to whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hansa.algorithms import leakage
from hansa.algorithms.enclave import statement
from hansa.config.jobfile import JobFile
from hansa.config.params import Param
from hansa.config.vocabulary import AUTO, ENCLAVE
from hansa.protocols.wire.attestation.platforms import INSECURE_SIMULATED
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.terms import Opening, Outputs, Party


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
