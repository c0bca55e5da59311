"""What an owner of data releases to an enclave: its daemon signs it, and the enclave looks for the same."""

from __future__ import annotations

from hansa.node.contracts import hardware as job_hardware
from hansa.protocols.errors import ProtocolError
from hansa.protocols.wire.attestation.statements.release_policy import ReleasePolicy
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.terms import Party

POLICY_S = 3600
"""How long an owner's parcel may be opened: its rows are sent as soon as the job has started."""


def policy_of(contract: Contract, owner: Party, until: int) -> ReleasePolicy:
    """What an owner releases for a contract: to its codes, for its job, the columns that it names, and no longer."""
    enclave = contract.enclave
    if enclave is None:
        raise ProtocolError("a contract without an enclave releases nothing", remedy="report this as a bug")
    learnt = () if contract.kind == "predict" else tuple(name for name in (owner.label, owner.weight) if name)
    return ReleasePolicy(
        contract.job_id,
        owner.identity,
        enclave.identity,
        str(job_hardware.role_of(contract)),
        contract.codes,
        owner.dataset,
        (*owner.columns, *learnt),
        until,
    )
