"""What the demo compares the league with: the same training on pooled plaintext, and by the label's owner alone.

Only the demo can compute it, because it owns all files; it is marked so wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hansa.algorithms.gbdt import plaintext, xgboost_adapter
from hansa.algorithms.gbdt.bins import Cuts
from hansa.algorithms.gbdt.params import TreeParams
from hansa.algorithms.lr.plaintext import sigmoid, train_and_test
from hansa.algorithms.metrics import evaluate
from hansa.algorithms.split import split_order
from hansa.config.jobfile import JobFile
from hansa.node.data.table import load_table
from hansa.protocols.arrays import Matrix
from hansa.protocols.psi.ddh import in_common_order

OWN = "plaintext"
"""Our own training in plain, which the secret model follows number by number."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Metrics on the same test rows; trained ``by`` XGBoost (and its version) or ``OWN``."""

    alone: dict[str, float]
    pooled: dict[str, float]
    rows: int
    by: str


def reference(job: JobFile, specs: list[dict[str, Any]], seed: bytes) -> Reference:
    """``specs`` describe each party's table as its worker reads it, by rank: of splits of one gain the first column's counts.

    ``seed`` is the job's.
    """
    loaded = [load_table(spec) for spec in specs]
    places = [{key: row for row, key in enumerate(table.keys)} for table in loaded]
    common = [key for key in loaded[0].keys if all(key in place for place in places)]
    keys = [common[i] for i in in_common_order(common, seed)]
    parts = [table.features[[place[key] for key in keys]] for table, place in zip(loaded, places, strict=True)]
    owner, label = next((rank, table.label) for rank, table in enumerate(loaded) if table.label is not None)
    y = label[[places[owner][key] for key in keys]]
    by, train = _trainer(job.algorithm)
    return Reference(train(parts[owner], y, job, seed), train(np.hstack(parts), y, job, seed), len(keys), by)


def _trainer(algorithm: str) -> tuple[str, Callable[[Matrix, Matrix, JobFile, bytes], dict[str, float]]]:
    """Trees are XGBoost's where it is installed."""
    if algorithm != "gbdt":
        return OWN, _regression
    try:
        return f"XGBoost {xgboost_adapter.version()}", _xgboost
    except ImportError:
        return OWN, _trees


def _regression(features: Matrix, y: Matrix, job: JobFile, seed: bytes) -> dict[str, float]:
    _, metrics = train_and_test(features, y, seed=seed, test_fraction=job.split.test, params=job.params)
    return metrics


def _xgboost(features: Matrix, y: Matrix, job: JobFile, seed: bytes) -> dict[str, float]:
    order, train = split_order(seed, len(y), job.split.test)
    booster = xgboost_adapter.train(features[order[:train]], y[order[:train]], _params(job))
    return _evaluated(y[order[train:]], xgboost_adapter.margins(booster, features[order[train:]]))


def _trees(features: Matrix, y: Matrix, job: JobFile, seed: bytes) -> dict[str, float]:
    order, train = split_order(seed, len(y), job.split.test)
    params = _params(job)
    bins = Cuts.fit(features[order[:train]], params.max_bin).apply(features[order])
    model, _ = plaintext.train(bins[:train], y[order[:train]], params, seed=seed)
    return _evaluated(y[order[train:]], model.margins(bins[train:])[0])


def _params(job: JobFile) -> TreeParams:
    return TreeParams(**job.params)  # type: ignore[arg-type]  # the job file has checked types and bounds


def _evaluated(y: Matrix, margins: Matrix) -> dict[str, float]:
    return evaluate(y, sigmoid(margins)) if len(y) else {}
