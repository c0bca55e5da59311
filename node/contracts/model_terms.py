"""Whether a contract may use a model: only the parties that trained it may, on the terms of that contract.

Each party compares the new contract with the one that it kept. An enclave compares it with the one that it sealed beside the
model's key: without that, it would open the model for anybody whose contract names it.
"""

from __future__ import annotations

from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.terms import Party


def incompatibility(trained: Contract, use: Contract) -> str | None:
    """Why ``use`` may not use the model that ``trained`` made; None where it may.

    Another enclave may serve the model, and other rows may be scored. All else stays: the parties and their order, columns,
    categories, the label's owner, algorithm and parameters, outputs, alignment, who computes or deals, how many votes move the
    key, and whether the helper proves its code.
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
