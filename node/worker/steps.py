"""What a worker does between its links and its result: the contract's pipeline, or the part of a dealer or an enclave in it."""

from __future__ import annotations

import time
from typing import Any

from hansa.algorithms import pipeline
from hansa.algorithms.enclave.model import EnclaveModel
from hansa.algorithms.gbdt.model.tree_model import TreeModel
from hansa.algorithms.lr.model import PartyModel
from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.pipeline import AnyModel
from hansa.algorithms.terms import Terms
from hansa.config.vocabulary import ENCLAVE, PREPROCESSING
from hansa.node.sealing import SealedCheckpoints, model_name, unseal
from hansa.node.worker.attestation import Proven
from hansa.node.worker.enclave import ModelSealer, ParcelOpener, ParcelSealer
from hansa.node.worker.messages import Finished, Start
from hansa.node.worker.outputs import costs_of, predicted_result, released_result, result_of, trained_result
from hansa.node.worker.preprocessing import preprocess, store_of
from hansa.node.worker.progress import Reporter
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.additive.dealer import dealer
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.engines import open_engine
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.wire.consent.contract import Contract


def terms_of(contract: Contract) -> Terms:
    """The contract as algorithms read it."""
    return Terms(
        names=tuple(party.name for party in contract.parties),
        column_names=tuple(party.columns for party in contract.parties),
        label_rank=contract.label_rank or 0,
        seed=contract.seed,
        test_fraction=contract.test_fraction,
        params=contract.params,
        scores=contract.outputs.scores,
        weights=contract.outputs.weights,
        metrics=contract.outputs.metrics,
        max_rows=contract.limits.max_rows,
        algorithm=contract.algorithm,
        categorical=tuple(party.categorical for party in contract.parties),
        weighted=any(party.weight is not None for party in contract.parties),
        importance=contract.outputs.importance,
        training_metric=contract.outputs.training_metric,
    )


async def run_steps(
    start: Start,
    contract: Contract,
    session: Session,
    table: PartyTable | None,
    reporter: Reporter,
    checkpoints: SealedCheckpoints,
    proven: Proven | None,
) -> Finished:
    """Run the job's pipeline over an open session, or deal to those who do. Raises what the pipeline raises."""
    began = time.monotonic()
    n_parties = len(contract.parties)
    store = store_of(start, contract)
    if contract.kind == PREPROCESSING and store is not None:
        result, model = result_of(made=await preprocess(start, contract, session, store, reporter)), b""
    elif contract.engine == ENCLAVE and proven is not None:
        result, model = await _with_enclave(start, contract, session, table, reporter, proven)
    elif session.rank == n_parties:
        reporter.step("deal")
        await dealer.serve(session)
        result, model = result_of(), b""
    else:
        async with open_engine(
            session,
            contract.engine,
            parties=n_parties,
            computing=contract.computing,
            frac_bits=contract.frac_bits,
            store=store,
        ) as engine:
            result, model = await _compute(start, contract, engine, table, reporter, checkpoints)
    result |= costs_of(session.transcript) | {"seconds": round(time.monotonic() - began, 3)}
    return Finished(result, model)


async def _with_enclave(
    start: Start, contract: Contract, session: Session, table: PartyTable | None, reporter: Reporter, proven: Proven
) -> tuple[dict[str, Any], bytes]:
    """An owner's part, or the enclave's own, which has costs only."""
    from hansa.algorithms.enclave import inside, owner  # noqa: PLC0415  # loads what only this engine needs

    terms = terms_of(contract)
    if session.rank == len(contract.parties):
        opener, model_sealer = (
            ParcelOpener(contract, proven),
            ModelSealer(start.sealing_key, contract.model or contract.job_id),
        )
        await inside.serve(session, contract.kind, terms, opener, model_sealer, reporter)
        return result_of(), b""
    sealer = ParcelSealer(start.release_policy, proven)
    if contract.kind == "train" and table is not None:
        return trained_result(start, contract, table, await owner.train(session, terms, table, sealer, reporter))
    model = EnclaveModel.from_state(unseal(start.sealing_key, start.model, model_name(contract.model or b"")))
    if contract.kind == "predict" and table is not None:
        return predicted_result(
            start, contract, table, await owner.predict(session, terms, model, table, sealer, reporter)
        ), b""
    released = await owner.release(session, terms, model, reporter)
    return released_result(start, released.to_json()), b""


async def _compute(
    start: Start,
    contract: Contract,
    engine: Engine,
    table: PartyTable | None,
    reporter: Reporter,
    checkpoints: SealedCheckpoints,
) -> tuple[dict[str, Any], bytes]:
    """A party's part: its result, and its sealed part of the model if one was made."""
    terms = terms_of(contract)
    model = b""
    if contract.kind == "train" and table is not None:
        outcome = await pipeline.train(engine, terms, table, reporter, checkpoints)
        result, model = trained_result(start, contract, table, outcome)
    elif contract.kind == "predict" and table is not None:
        scored = await pipeline.predict(engine, terms, _model(start, contract), table, reporter)
        result = predicted_result(start, contract, table, scored)
    elif contract.kind == "release":
        released = await pipeline.release(engine, terms, _model(start, contract), reporter)
        result = released_result(start, released.to_json())
    else:
        raise ProtocolError(f"a job '{contract.kind}' came without its table", remedy="report this as a bug")
    return result, model


def _model(start: Start, contract: Contract) -> AnyModel:
    state = unseal(start.sealing_key, start.model, model_name(contract.model or b""))
    return TreeModel.from_state(state) if contract.algorithm == "gbdt" else PartyModel.from_state(state)
