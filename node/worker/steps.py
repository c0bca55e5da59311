"""What a worker does between its links and its result: the contract's pipeline, and the files it leaves.

The result, told to the daemon as JSON-like data: rows, test_rows, metrics (or None), weights (own columns opened to
this party, by name), importance (of trees: by party and column splits, gain and cover, as far as opened to this party),
training_metric (of each round, if so), released (or None), scores (a file's path or ""), rounds, bytes_sent,
preprocessing (of these: rounds, bytes_sent and seconds for correlations), seconds, steps, drawn and stored (elements of
correlations used, and taken from the store, by kind), made (ahead, by kind). A dealer's has costs only.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hansa.algorithms import curves, pipeline
from hansa.algorithms.enclave.model import EnclaveModel
from hansa.algorithms.gbdt.model.tree_model import TreeModel
from hansa.algorithms.lr.model import PartyModel
from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.pipeline import AnyModel, Scores
from hansa.algorithms.terms import Terms
from hansa.config.params import label_kind
from hansa.config.vocabulary import ENCLAVE, PREPROCESSING
from hansa.node.sealing import SealedCheckpoints, model_name, seal, unseal, write_whole
from hansa.node.worker.attestation import Proven
from hansa.node.worker.enclave import Box, Opener, Sealer
from hansa.node.worker.messages import Finished, Start
from hansa.node.worker.preprocessing import preprocess, store_of
from hansa.node.worker.progress import Reporter
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.additive.dealer import dealer
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.engines import open_engine
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.mpc.session.transcript import Phase, Transcript
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
        result, model = _facts(made=await preprocess(start, contract, session, store, reporter)), b""
    elif contract.engine == ENCLAVE and proven is not None:
        result, model = await _with_enclave(start, contract, session, table, reporter, proven)
    elif session.rank == n_parties:
        reporter.step("deal")
        await dealer.serve(session)
        result, model = _facts(), b""
    else:
        async with open_engine(
            session,
            contract.engine,
            parties=n_parties,
            computing=contract.computing,
            frac_bits=contract.frac_bits,
            shelf=store,
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
        opener, box = Opener(contract, proven), Box(start.sealing_key, contract.model or contract.job_id)
        await inside.serve(session, contract.kind, terms, opener, box, reporter)
        return _facts(), b""
    sealer = Sealer(start.release_policy, proven)
    if contract.kind == "train" and table is not None:
        return _trained(start, contract, table, await owner.train(session, terms, table, sealer, reporter))
    model = EnclaveModel.from_state(unseal(start.sealing_key, start.model, model_name(contract.model or b"")))
    if contract.kind == "predict" and table is not None:
        return _predicted(
            start, contract, table, await owner.predict(session, terms, model, table, sealer, reporter)
        ), b""
    released = await owner.release(session, terms, model, reporter)
    return _facts(released=_write_released(start, released.to_json())), b""


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
        result, model = _trained(start, contract, table, outcome)
    elif contract.kind == "predict" and table is not None:
        scored = await pipeline.predict(engine, terms, _model(start, contract), table, reporter)
        result = _predicted(start, contract, table, scored)
    elif contract.kind == "release":
        released = await pipeline.release(engine, terms, _model(start, contract), reporter)
        result = _facts(released=_write_released(start, released.to_json()))
    else:
        raise ProtocolError(f"a job '{contract.kind}' came without its table", remedy="report this as a bug")
    return result, model


def _predicted(
    start: Start, contract: Contract, table: PartyTable, scored: tuple[int, Scores | None]
) -> dict[str, Any]:
    rows, scores = scored
    result = _facts(rows=rows, scores=_write_scores(start, contract, table, scores))
    result["scores_rows"] = 0 if scores is None else len(scores.rows)
    return result


def _trained(
    start: Start, contract: Contract, table: PartyTable, outcome: pipeline.TrainOutcome
) -> tuple[dict[str, Any], bytes]:
    sealed = seal(start.sealing_key, outcome.model.to_state(), model_name(contract.job_id))
    result = _facts(
        rows=outcome.rows,
        test_rows=outcome.test_rows,
        metrics=outcome.metrics,
        weights=outcome.model.opened if isinstance(outcome.model, PartyModel | EnclaveModel) else None,
        scores=_write_scores(start, contract, table, outcome.scores),
    )
    if isinstance(outcome.model, TreeModel | EnclaveModel):
        result["importance"] = {
            party: {column: asdict(found) for column, found in columns.items()}
            for party, columns in outcome.model.importance.items()
        }
        result["training_metric"] = list(outcome.model.history)
    result["scores_rows"] = 0 if outcome.scores is None else len(outcome.scores.rows)
    return result, sealed


def _model(start: Start, contract: Contract) -> AnyModel:
    state = unseal(start.sealing_key, start.model, model_name(contract.model or b""))
    return TreeModel.from_state(state) if contract.algorithm == "gbdt" else PartyModel.from_state(state)


def _facts(
    *,
    rows: int = 0,
    test_rows: int = 0,
    metrics: dict[str, float] | None = None,
    weights: dict[str, float] | None = None,
    released: dict[str, Any] | None = None,
    scores: str = "",
    made: dict[str, int] | None = None,
) -> dict[str, Any]:
    return {
        "rows": rows,
        "test_rows": test_rows,
        "metrics": metrics,
        "weights": weights or {},
        "importance": {},
        "training_metric": [],
        "released": released,
        "scores": scores,
        "made": made or {},
    }


def costs_of(transcript: Transcript) -> dict[str, Any]:
    """Rounds, bytes and seconds, in all and by step, and what of them went into preprocessing."""
    steps: dict[str, dict[str, float]] = {}
    before = {"rounds": 0, "bytes_sent": 0, "seconds": 0.0}
    for (step, kind), cost in transcript.steps.items():
        found = steps.setdefault(step, {"rounds": 0, "bytes_sent": 0, "seconds": 0.0})
        found["rounds"] += cost.rounds
        found["bytes_sent"] += cost.total_bytes
        found["seconds"] = round(found["seconds"] + cost.seconds, 4)
        if kind is Phase.PREPROCESSING:
            before["rounds"] += cost.rounds
            before["bytes_sent"] += cost.total_bytes
            before["seconds"] = round(before["seconds"] + cost.seconds, 4)
    total = {"rounds": transcript.rounds, "bytes_sent": transcript.bytes_sent}
    drawn = {"drawn": dict(transcript.drawn), "stored": dict(transcript.stored)}
    sources = {"transfers": sorted(set(transcript.sources.values()))}
    return total | drawn | sources | {"preprocessing": before, "steps": steps}


def _write_scores(start: Start, contract: Contract, table: PartyTable, scores: Scores | None) -> str:
    """The scores opened to this party with their keys, as CSV (and curves beside it where there are two classes); the path, or
    nothing. Of more classes each has a column: ``score_0`` and so on."""
    if scores is None:
        return ""
    path = Path(start.scores_file)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    values = scores.values.reshape(len(scores.rows), -1)
    names = [f"score_{place}" for place in range(values.shape[1])] if scores.values.ndim == 2 else ["score"]
    lines.writerow([*start.dataset["key"], *names])
    for row, found in zip(scores.rows.tolist(), values.tolist(), strict=True):
        lines.writerow([*key_parts(table.keys[row]), *(f"{value:.6f}" for value in found)])
    write_whole(path, text.getvalue().encode(errors="surrogatepass"))
    if table.label is not None and label_kind(contract.algorithm, contract.params) == "binary":
        # the label's owner, after training: the curves that modellers look at
        title = f"{contract.name}: {len(scores.rows)} rows held out"
        picture = curves.svg(table.label[scores.rows], scores.values, title)
        write_whole(path.with_suffix(".svg"), picture.encode())
    return str(path)


def key_parts(key: bytes) -> Sequence[str]:
    """The parts of a key as the table holds it: each behind its four-byte length."""
    parts, at = [], 0
    while at < len(key):
        end = at + 4 + int.from_bytes(key[at : at + 4], "big")
        parts.append(key[at + 4 : end].decode(errors="surrogatepass"))
        at = end
    return parts


def _write_released(start: Start, released: dict[str, Any]) -> dict[str, Any]:
    path = Path(start.released_file)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(path, json.dumps(released, indent=2).encode())
    told = {
        name: value for name, value in released.items() if name != "xgboost"
    }  # trees may be long: they lie in the file
    return told | {"file": str(path)}
