"""Whether a contract may use a model: only its own parties, as the contract says under which it was trained.

Each party compares with the contract that it kept, and an enclave with the one that it sealed with the model's key: an enclave
that compared nothing would open the model for whoever signs.
"""

from __future__ import annotations

from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.terms import Party


def incompatibility(trained: Contract, use: Contract) -> str | None:
    """Why ``use`` may not use the model that ``trained`` made; None where it may.

    Who serves it may be another enclave, and what is predicted other rows; all else stays: parties in their order, columns,
    categories, whose label, algorithm and parameters, outputs, alignment, who computes or deals, how many votes move the key,
    and whether the helper proves its code.
    """
    if trained.kind != "train" or use.model != trained.job_id:
        return "it names another model"
    return None if _terms(trained) == _terms(use) else "it does not fit the contract under which the model was trained"


def _terms(contract: Contract) -> tuple[object, ...]:
    return (
        [_features(party) for party in contract.parties],
        contract.label_rank,
        (contract.algorithm, contract.engine, contract.frac_bits, dict(contract.params)),
        (contract.outputs, contract.align, contract.computing, contract.dealer),
        None if contract.enclave is None else contract.enclave.votes,
        bool(contract.codes),
    )


def _features(party: Party) -> tuple[bytes, tuple[str, ...], tuple[str, ...]]:
    return party.identity, party.columns, party.categorical
