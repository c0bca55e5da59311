"""What a worker is given for the attempt that a record describes."""

from __future__ import annotations

from typing import Any

from hansa.config.vocabulary import PREPROCESSING
from hansa.node.contracts.release_policies import POLICY_S, policy_of
from hansa.node.correlations.store import check_room, set_id, store_folder
from hansa.node.data.schema import Use
from hansa.node.errors import UsageError
from hansa.node.jobs.context import JobContext
from hansa.node.jobs.record import JobRecord
from hansa.node.worker.messages import Start
from hansa.protocols.mpc.additive.stored.kinds import weight
from hansa.protocols.wire.consent.contract import Contract


def start_of(context: JobContext, record: JobRecord) -> Start:
    """All that this node's worker needs. Raises DataError or UsageError where the node lacks some of it."""
    contract, me = record.contract, context.me
    mine, model = contract.party(me), contract.model
    if contract.kind == PREPROCESSING:
        check_room(context.home, weight(contract.params), context.max_correlations_mb)
    identities = [party.identity for party in contract.parties]
    stores = contract.engine == "additive" and contract.dealer is None
    return Start(
        contract=record.contract_bytes,
        certificate=record.certificate,
        attempt=record.attempt,
        me=me,
        job_secret=record.job_secret,
        sealing_key=_sealing_key(context, contract),
        addresses={identity: context.addresses(identity) for identity in record.others(me)},
        suites=list(context.suites),
        dataset=_dataset(context, contract),
        folder=str(context.folder(record.job_id)),
        scores_file=str(context.scores_file(record.job_id)),
        released_file=str(context.released_file(model)) if model else "",
        model=_model(context, model) if model and mine is not None else b"",
        resume_epoch=record.resume_epoch,
        correlation_store=str(store_folder(context.home, identities)) if stores else "",
        correlation_key=context.sealing_key(set_id(identities)) if stores else b"",
        tee=dict(context.tee()),
        release_policy=signed_policy(context, record),
    )


def _dataset(context: JobContext, contract: Contract) -> dict[str, Any]:
    mine = contract.party(context.me)
    if mine is None or contract.kind not in {"train", "predict"}:
        return {}
    said = contract.describe()
    use = Use.of(said, said["parties"][contract.parties.index(mine)])
    return context.data.table_spec(mine.dataset, use)


def _sealing_key(context: JobContext, contract: Contract) -> bytes:
    """A party's own, or at an enclave the key of the model."""
    if contract.enclave is not None and contract.enclave.identity == context.me:
        return context.hardware.model_key(contract)
    return context.sealing_key(contract.model or contract.job_id)


def signed_policy(context: JobContext, record: JobRecord) -> bytes:
    """What this owner lets the contract's enclave read, signed anew for every attempt."""
    contract = record.contract
    mine = contract.party(context.me)
    if contract.enclave is None or mine is None or contract.kind == "release":
        return b""
    policy = policy_of(contract, mine, until=context.now() + POLICY_S)
    context.audit.append(
        "release-policy",
        {
            "job": record.short,
            "enclave": contract.enclave.name,
            "role": policy.role,
            "codes": [str(code) for code in policy.codes],
            "dataset": policy.dataset,
            "columns": list(policy.columns),
            "until": policy.until,
        },
    )
    return policy.signed(context.signing_key)


def _model(context: JobContext, model: bytes) -> bytes:
    try:
        return context.model_file(model).read_bytes()
    except OSError as error:
        raise UsageError(
            f"the sealed part of model {model.hex()[:16]} is gone",
            remedy="restore HOME/blobs from a backup, or train the model anew",
            model=model.hex()[:16],
        ) from error
