"""What a worker leaves: its result as data for the daemon, the sealed model, and the files of scores and released models.

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
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hansa.algorithms import curves, pipeline
from hansa.algorithms.enclave.model import EnclaveModel
from hansa.algorithms.gbdt.model.tree_model import TreeModel
from hansa.algorithms.lr.model import PartyModel
from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.pipeline import Scores
from hansa.config.params import label_kind
from hansa.node.sealing import model_name, seal, write_whole
from hansa.node.worker.messages import Start
from hansa.protocols.mpc.session.transcript import Phase, Transcript
from hansa.protocols.wire.consent.contract import Contract

_NO_COST: Mapping[str, float] = MappingProxyType({"rounds": 0, "bytes_sent": 0, "seconds": 0.0})


def result_of(
    *,
    rows: int = 0,
    test_rows: int = 0,
    metrics: dict[str, float] | None = None,
    weights: dict[str, float] | None = None,
    released: dict[str, Any] | None = None,
    scores: str = "",
    made: dict[str, int] | None = None,
) -> dict[str, Any]:
    """A result, with neutral values for what is not given."""
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


def trained_result(
    start: Start, contract: Contract, table: PartyTable, outcome: pipeline.TrainOutcome
) -> tuple[dict[str, Any], bytes]:
    """What a training leaves, and its sealed model; scores go to their file."""
    sealed = seal(start.sealing_key, outcome.model.to_state(), model_name(contract.job_id))
    result = result_of(
        rows=outcome.rows,
        test_rows=outcome.test_rows,
        metrics=outcome.metrics,
        weights=outcome.model.opened if isinstance(outcome.model, PartyModel | EnclaveModel) else None,
        scores=write_scores(start, contract, table, outcome.scores),
    )
    if isinstance(outcome.model, TreeModel | EnclaveModel):
        result["importance"] = {
            party: {column: asdict(found) for column, found in columns.items()}
            for party, columns in outcome.model.importance.items()
        }
        result["training_metric"] = list(outcome.model.history)
    result["scores_rows"] = 0 if outcome.scores is None else len(outcome.scores.rows)
    return result, sealed


def predicted_result(
    start: Start, contract: Contract, table: PartyTable, scored: tuple[int, Scores | None]
) -> dict[str, Any]:
    """What a prediction leaves; scores go to their file."""
    rows, scores = scored
    result = result_of(rows=rows, scores=write_scores(start, contract, table, scores))
    result["scores_rows"] = 0 if scores is None else len(scores.rows)
    return result


def released_result(start: Start, released: dict[str, Any]) -> dict[str, Any]:
    """What a release leaves; the model goes to its file, and its trees, which may be long, are only there."""
    path = _place(start.released_file)
    write_whole(path, json.dumps(released, indent=2).encode())
    told = {name: value for name, value in released.items() if name != "xgboost"}
    return result_of(released=told | {"file": str(path)})


def write_scores(start: Start, contract: Contract, table: PartyTable, scores: Scores | None) -> str:
    """Write the scores opened to this party with their keys, as CSV; returns the path, or nothing where there are none.

    Of more than two classes each has a column: ``score_0`` and so on. The label's owner finds after a training with two
    classes the curves that modellers look at beside the file.
    """
    if scores is None:
        return ""
    path = _place(start.scores_file)
    write_whole(path, _csv(start.dataset["key"], table, scores).encode(errors="surrogatepass"))
    if table.label is not None and label_kind(contract.algorithm, contract.params) == "binary":
        title = f"{contract.name}: {len(scores.rows)} rows held out"
        picture = curves.svg(table.label[scores.rows], scores.values, title)
        write_whole(path.with_suffix(".svg"), picture.encode())
    return str(path)


def _csv(key: Sequence[str], table: PartyTable, scores: Scores) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    values = scores.values.reshape(len(scores.rows), -1)
    names = [f"score_{place}" for place in range(values.shape[1])] if scores.values.ndim == 2 else ["score"]
    lines.writerow([*key, *names])
    for row, found in zip(scores.rows.tolist(), values.tolist(), strict=True):
        lines.writerow([*key_parts(table.keys[row]), *(f"{value:.6f}" for value in found)])
    return text.getvalue()


def _place(file: str) -> Path:
    """The path, in a folder that only this node's user may enter."""
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def key_parts(key: bytes) -> Sequence[str]:
    """The parts of a key as the table holds it: each behind its four-byte length."""
    parts, at = [], 0
    while at < len(key):
        end = at + 4 + int.from_bytes(key[at : at + 4], "big")
        parts.append(key[at + 4 : end].decode(errors="surrogatepass"))
        at = end
    return parts


def costs_of(transcript: Transcript) -> dict[str, Any]:
    """Rounds, bytes and seconds, in all and by step, and what of them went into preprocessing."""
    steps: dict[str, dict[str, float]] = {}
    ahead = dict(_NO_COST)
    for (step, phase), cost in transcript.steps.items():
        for total in (steps.setdefault(step, dict(_NO_COST)), *([ahead] if phase is Phase.PREPROCESSING else [])):
            total["rounds"] += cost.rounds
            total["bytes_sent"] += cost.total_bytes
            total["seconds"] = round(total["seconds"] + cost.seconds, 4)
    return {
        "rounds": transcript.rounds,
        "bytes_sent": transcript.bytes_sent,
        "drawn": dict(transcript.drawn),
        "stored": dict(transcript.stored),
        "transfers": sorted(set(transcript.sources.values())),
        "preprocessing": ahead,
        "steps": steps,
    }
