"""The steps of a job under MPC, which every party runs in lock-step.

    train:    align -> prepare -> train -> evaluate -> outputs
    predict:  align -> score
    release:  open -> release

It knows no socket and no file: tables, progress and checkpoints come in as objects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms import leakage
from hansa.algorithms.common_rows import check_label, none_in_common, rounded, too_few
from hansa.algorithms.errors import DataError
from hansa.algorithms.gbdt import learner as gbdt
from hansa.algorithms.gbdt.model.release import release as release_trees
from hansa.algorithms.gbdt.model.tree_model import TreeModel
from hansa.algorithms.gbdt.model.xgboost_format import ReleasedTrees
from hansa.algorithms.gbdt.params import params_of
from hansa.algorithms.learner import Learner, ProgressReport, SharedScores, Step, open_for
from hansa.algorithms.lr import learner as lr
from hansa.algorithms.lr.model import PartyModel, ReleasedModel
from hansa.algorithms.metrics import TASKS, evaluate_as
from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.split import split_order
from hansa.algorithms.terms import Terms, agree
from hansa.config.vocabulary import FRAC_BITS
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import decode
from hansa.protocols.psi import ddh
from hansa.protocols.wire import canonical

AnyModel = PartyModel | TreeModel
"""One party's part of a model that an MPC engine trained."""
LEARNERS: Final[dict[str, Callable[[Engine, Terms], Learner]]] = {"lr": lr.LrLearner, "gbdt": gbdt.TreeLearner}
_MAX_CHECKPOINT = 1 << 31
_MAX_METRICS = 4096


class Checkpoints(Protocol):
    """Sealed state of one party after alignment (0), each epoch or each round of trees."""

    def save(self, epoch: int, blob: bytes) -> None:
        """Keep the state after so many epochs or rounds."""
        ...

    def load(self) -> tuple[int, bytes] | None:
        """The state that all parties agreed to resume from, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores opened to this party. ``rows``: of its own table, in the common order. ``values``: of each row a probability,
    the probabilities of all classes, or a number like the label."""

    rows: NDArray[np.int64] = field(repr=False)
    values: NDArray[np.float64] = field(repr=False)


class TrainedModel(Protocol):
    """One party's part of a model."""

    def to_state(self) -> bytes:
        """Bytes to be sealed."""
        ...


@dataclass(frozen=True, slots=True)
class TrainOutcome:
    """What one party has at the end of a training: how many rows, its part of the model, and what was opened to it."""

    rows: int
    test_rows: int
    model: TrainedModel
    weights: NDArray[np.float64] | None = field(repr=False)
    metrics: dict[str, float] | None
    scores: Scores | None


async def train(
    e: Engine, terms: Terms, table: PartyTable, progress: ProgressReport, checkpoints: Checkpoints
) -> TrainOutcome:
    """Align, train and evaluate.

    Raises ``DataError`` where the aligned rows cannot be trained on, or are not those of the checkpoint to resume from.
    """
    saved, step = checkpoints.load(), Step(e, progress)
    await agree(e.session, "train", terms, -1 if saved is None else saved[0])
    if saved is None:
        aligned, start = await _align(e, terms, table, step), None
        seen = _fingerprint(table, aligned)
        checkpoints.save(0, _pack(aligned, seen, b""))
    else:
        aligned, seen, state = _unpack(saved[1])
        if len(aligned) and (aligned.max() >= table.rows or _fingerprint(table, aligned) != seen):
            raise DataError(
                f"the table of {terms.names[e.session.rank]} has changed since this job began",
                remedy="restore the file and resume, or submit the job anew",
                party=terms.names[e.session.rank],
            )
        start = (saved[0], state) if saved[0] else None
    order, train_rows = split_order(terms.seed, len(aligned), terms.test_fraction)
    rows = aligned[order]
    learner = LEARNERS[terms.algorithm](e, terms)
    with step("prepare"):
        if train_rows < 2:
            raise too_few(len(aligned))
        ordered = table.take(rows)
        check_label(learner.task, terms, ordered.label, train_rows)
        units = await learner.prepare(ordered, train_rows)
    with step("train", units):
        await learner.train(start, lambda done, state: checkpoints.save(done, _pack(aligned, seen, state)), step)
    metrics, scores = None, None
    with step("evaluate"):
        if train_rows < len(rows) and terms.scores != "none":
            opened = await _open_scores(e, terms, await learner.test_scores(), leakage.TEST_SCORES)
            label = ordered.label
            own = None if label is None or opened is None else evaluate_as(learner.task, label[train_rows:], opened)
            metrics = await _tell_metrics(e, terms, TASKS[learner.task], own)
            scores = None if opened is None else Scores(rows[train_rows:], opened)
    with step("outputs"):
        model = await learner.outputs(table.columns)
    return TrainOutcome(len(rows), len(rows) - train_rows, model, learner.weights, metrics, scores)


async def predict(
    e: Engine, terms: Terms, model: AnyModel, table: PartyTable, progress: ProgressReport
) -> tuple[int, Scores | None]:
    """Score the rows that all parties have: how many they are, and the scores, None where they are not opened to this party."""
    step = Step(e, progress)
    await agree(e.session, "predict", terms)
    rows = await _align(e, terms, table, step)
    with step("score"):
        if isinstance(model, TreeModel):
            shared = await gbdt.scores(e, terms, model, table.take(rows))
        else:
            shared = await lr.scores(e, terms, model, table.take(rows))
        opened = await _open_scores(e, terms, shared, leakage.SCORES)
    return len(rows), None if opened is None else Scores(rows, opened)


async def release(e: Engine, terms: Terms, model: AnyModel, progress: ProgressReport) -> ReleasedModel | ReleasedTrees:
    """Open the model to all parties."""
    await agree(e.session, "release", terms)
    step = Step(e, progress)
    if isinstance(model, TreeModel):
        return await release_trees(e, terms, params_of(terms), model, step)
    return await lr.release(e, terms, model, step)


async def _align(e: Engine, terms: Terms, table: PartyTable, step: Step) -> NDArray[np.int64]:
    s = e.session
    everyone = tuple(range(s.n_parties))
    with step("align", ddh.work(table.rows, s.n_parties)):
        s.check_opening(leakage.ALIGNMENT, everyone)
        rows = await ddh.intersect(s, table.keys, seed=terms.seed, max_rows=terms.max_rows, progress=step.advance)
        s.declare_opening(leakage.ALIGNMENT, everyone, len(rows))
        if not len(rows):
            raise none_in_common()
    return rows


async def _open_scores(e: Engine, terms: Terms, shared: SharedScores, what: str) -> NDArray[np.float64] | None:
    to = leakage.receivers(terms.scores, terms.n_parties, terms.label_rank)
    opened = await open_for(e, to, shared.values, what=what)
    return None if opened is None else shared.finish(decode(opened, FRAC_BITS))


async def _tell_metrics(
    e: Engine, terms: Terms, names: Sequence[str], own: dict[str, float] | None
) -> dict[str, float] | None:
    """The label's owner computes the metrics in plain, and tells them to the others if the contract says so.

    Metrics that others learn are rounded, and at the owner too, so that all have the same; see ``common_rows.rounded``.
    """
    s = e.session
    to = leakage.receivers(terms.metrics, terms.n_parties, terms.label_rank)
    s.declare_opening(leakage.METRICS, to, len(names))
    if s.rank == terms.label_rank:
        if own is not None and len(to) > 1:
            own = rounded(own)
        for peer in s.peers:
            if peer in to and own is not None:
                await s.send_bytes(peer, canonical.encode(own))
        return own
    if s.rank not in to:
        return None
    told = canonical.decode_untrusted(await s.recv_bytes(terms.label_rank, _MAX_METRICS), _MAX_METRICS)
    if not isinstance(told, dict) or set(told) != set(names) or not all(isinstance(v, float) for v in told.values()):
        raise PeerMisbehaved(
            f"{terms.names[terms.label_rank]} sent something else than metrics",
            remedy="check that all parties run the same version of hansa",
            peer=terms.label_rank,
            step="evaluate",
        )
    return told


def _fingerprint(table: PartyTable, rows: NDArray[np.int64]) -> bytes:
    """A hash of the aligned rows' keys and values, by which a table that changed between two attempts is noticed."""
    state = blake2b(digest_size=32, person=b"hansa-rows")
    for row in rows.tolist():
        state.update(len(table.keys[row]).to_bytes(4, "big") + table.keys[row])
    state.update(np.ascontiguousarray(table.features[rows]).tobytes())
    for values in (table.label, table.weights):
        state.update(b"" if values is None else values[rows].tobytes())
    state.update(canonical.encode([[name, list(levels)] for name, levels in sorted(table.levels.items())]))
    return state.digest()


def _pack(rows: NDArray[np.int64], seen: bytes, state: bytes) -> bytes:
    return canonical.encode([rows.astype("<i8").tobytes(), seen, state])


def _unpack(blob: bytes) -> tuple[NDArray[np.int64], bytes, bytes]:
    rows, seen, state = canonical.decode_untrusted(blob, _MAX_CHECKPOINT)
    return np.frombuffer(rows, dtype="<i8").copy(), seen, state
