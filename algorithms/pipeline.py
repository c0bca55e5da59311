"""A job from aligned rows to outputs, run by every party in lock-step: train, predict, release.

    align -> prepare -> train -> evaluate -> outputs        (train)
    align -> prepare -> score                               (predict)
    open -> release                                         (release)

No socket, no file: tables, progress and checkpoints come in as objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms import leakage, lr
from hansa.algorithms.errors import DataError
from hansa.algorithms.metrics import evaluate
from hansa.algorithms.model import PartyModel, ReleasedModel
from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.prepare import Standardisation
from hansa.algorithms.split import split_order
from hansa.algorithms.step_size import refuse_diverged
from hansa.algorithms.terms import Terms
from hansa.config.vocabulary import FRAC_BITS
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import decode, encode
from hansa.protocols.mpc.shares import Share
from hansa.protocols.psi import ddh
from hansa.protocols.wire import canonical

METRICS = ("auc", "ks", "accuracy", "log_loss")
METRIC_DIGITS = 4
_MAX_CHECKPOINT = 1 << 31
_MAX_METRICS = 4096


class Progress(Protocol):
    """Who is told how far the job is."""

    def step(self, name: str, total: int = 0) -> None:
        """A step of ``total`` units begins (0: not known)."""
        ...

    def advance(self, done: int) -> None:
        """``done`` units of it are done."""
        ...


class Checkpoints(Protocol):
    """Sealed states, by epoch (0: aligned, nothing trained)."""

    def save(self, epoch: int, blob: bytes) -> None:
        """Keep the state after an epoch."""
        ...

    def load(self) -> tuple[int, bytes] | None:
        """The state all parties agreed to resume from, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores opened to this party: ``rows`` of its table, in the common order, and a probability each."""

    rows: NDArray[np.int64] = field(repr=False)
    values: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True, slots=True)
class TrainOutcome:
    """What one party has at the end: row counts, its part of the model, and what was opened to it."""

    rows: int
    test_rows: int
    model: PartyModel
    weights: NDArray[np.float64] | None = field(repr=False)
    metrics: dict[str, float] | None
    scores: Scores | None


async def train(
    e: Engine, terms: Terms, table: PartyTable, progress: Progress, checkpoints: Checkpoints
) -> TrainOutcome:
    """Align, train and evaluate. Raises ``DataError`` where the aligned rows cannot be trained on, or are others than
    those of the checkpoint to resume from."""
    saved = checkpoints.load()
    await _agree(e, "train", terms, -1 if saved is None else saved[0])
    if saved is None:
        aligned, start = await _align(e, terms, table, progress), None
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
        start = (saved[0], e.share_from_state(state)) if saved[0] else None
    order, train_rows = split_order(terms.seed, len(aligned), terms.test_fraction)
    rows = aligned[order]
    with _step(e, progress, "prepare"):
        if train_rows < 2:
            raise _too_few(len(aligned))
        label = _checked_label(terms, table, rows, train_rows)
        standardisation = Standardisation.fit(table.features[rows[:train_rows]])
        blocks = await lr.prepare_blocks(e, terms, standardisation.apply(table.features[rows]), len(rows))
        values = None if label is None else encode(label[:train_rows], FRAC_BITS)
        shared_label = await e.input(terms.label_rank, values, (train_rows,))
    with _step(e, progress, "train", train_rows * int(terms.params["epochs"])):
        w = await lr.train(
            e,
            terms,
            blocks,
            shared_label,
            start=start,
            after_epoch=lambda epoch, now: checkpoints.save(epoch, _pack(aligned, seen, e.share_state(now))),
            after_batch=progress.advance,
        )
    metrics, scores = None, None
    with _step(e, progress, "evaluate"):
        if train_rows < len(rows) and terms.scores != "none":
            opened = await _open_scores(e, terms, blocks, w, slice(train_rows, len(rows)), leakage.TEST_SCORES)
            own = None if label is None or opened is None else evaluate(label[train_rows:], opened)
            metrics = await _tell_metrics(e, terms, own)
            scores = None if opened is None else Scores(rows[train_rows:], opened)
    with _step(e, progress, "outputs"):
        weights = await _open_weights(e, terms, blocks, w)
    opened_by_name = _by_name(e.session.rank, terms, blocks, table.columns, weights)
    refuse_diverged(opened_by_name)
    model = PartyModel(e.name, table.columns, e.share_state(w), standardisation, opened_by_name)
    return TrainOutcome(len(rows), len(rows) - train_rows, model, weights, metrics, scores)


async def predict(
    e: Engine, terms: Terms, model: PartyModel, table: PartyTable, progress: Progress
) -> tuple[int, Scores | None]:
    """Score the rows common to all parties: how many, and the scores at those they are opened to, None at the others."""
    await _agree(e, "predict", terms)
    rows = await _align(e, terms, table, progress)
    with _step(e, progress, "prepare"):
        standardised = model.standardisation.apply(table.features[rows])
        blocks = await lr.prepare_blocks(e, terms, standardised, len(rows))
        w = e.share_from_state(model.weights)
    with _step(e, progress, "score"):
        opened = await _open_scores(e, terms, blocks, w, slice(0, len(rows)), leakage.SCORES)
    return len(rows), None if opened is None else Scores(rows, opened)


async def release(e: Engine, terms: Terms, model: PartyModel, progress: Progress) -> ReleasedModel:
    """Open the model to all: each owner turns the weights of its own columns into their own units and publishes them.

    What the means add to the intercept is shared, and only the sum opened; leakage.py says what can be told from it.
    """
    await _agree(e, "release", terms)
    s = e.session
    where = lr.places(terms)
    w = e.share_from_state(model.weights)
    with _step(e, progress, "open"):
        own = None
        for rank, place in enumerate(where):
            columns = slice(place.start, place.start + terms.columns[rank])
            got = await e.open_to(rank, w[columns], what=leakage.weights_of(rank))
            own = decode(got[0], FRAC_BITS) if got is not None else own
        weights = np.zeros(0) if own is None else own
    with _step(e, progress, "release"):
        coefficients = weights / model.standardisation.std
        everyone = tuple(range(s.n_parties))
        s.declare_opening(leakage.COEFFICIENTS, everyone, sum(terms.columns))
        for peer in s.peers:
            await s.send(peer, coefficients)
        all_of_them = [
            coefficients if rank == s.rank else await _hear_coefficients(e, terms, rank) for rank in range(s.n_parties)
        ]
        end = where[terms.label_rank].stop
        total = w[slice(end - 1, end)]
        for rank in range(s.n_parties):
            mine = encode(np.array([-float(coefficients @ model.standardisation.mean)]), FRAC_BITS)
            total += await e.input(rank, mine if rank == s.rank else None, (1,))
        intercept = (await e.open(total, what=leakage.INTERCEPT))[0]
    return ReleasedModel(
        tuple(zip(terms.names, terms.column_names, strict=True)),
        np.concatenate(all_of_them),
        float(decode(intercept, FRAC_BITS)[0]),
    )


async def _hear_coefficients(e: Engine, terms: Terms, rank: int) -> NDArray[np.float64]:
    told: NDArray[np.float64] = await e.session.recv(rank, np.float64, terms.columns[rank])
    if not np.all(np.isfinite(told)):
        raise PeerMisbehaved(
            f"{terms.names[rank]} sent coefficients that are no numbers",
            remedy="check that all parties run the same version of hansa",
            peer=rank,
            step="release",
        )
    return told


@contextmanager
def _step(e: Engine, progress: Progress, name: str, total: int = 0) -> Iterator[None]:
    progress.step(name, total)
    with e.session.step(name):
        yield


async def _align(e: Engine, terms: Terms, table: PartyTable, progress: Progress) -> NDArray[np.int64]:
    s = e.session
    everyone = tuple(range(s.n_parties))
    with _step(e, progress, "align", ddh.work(table.rows, s.n_parties)):
        s.check_opening(leakage.ALIGNMENT, everyone)
        rows = await ddh.intersect(s, table.keys, seed=terms.seed, max_rows=terms.max_rows, progress=progress.advance)
        s.declare_opening(leakage.ALIGNMENT, everyone, len(rows))
        if not len(rows):
            raise DataError(
                "no key is common to all parties: the intersection is empty",
                remedy="compare the key columns, their spelling and align.normalise in the job file",
                field="key",
            )
    return rows


def _checked_label(
    terms: Terms, table: PartyTable, rows: NDArray[np.int64], train_rows: int
) -> NDArray[np.float64] | None:
    if table.label is None:
        return None
    label = table.label[rows]
    for part, name in ((label[:train_rows], "training"), (label[train_rows:], "test")):
        if part.size and np.all(part == part[0]):
            raise DataError(
                f"the label is constant on the {name} rows common to all parties",
                remedy="use a label with both classes, or more common rows",
                party=terms.names[terms.label_rank],
            )
    return label


async def _open_scores(
    e: Engine, terms: Terms, blocks: lr.Blocks, w: Share, rows: slice, what: str
) -> NDArray[np.float64] | None:
    shared = await lr.scores(e, blocks, w, rows)
    to = leakage.receivers(terms.scores, terms.n_parties, terms.label_rank)
    if len(to) == terms.n_parties:
        opened = await e.open(shared, what=what)
    else:
        got = await e.open_to(to[0], shared, what=what)
        if got is None:
            return None
        opened = got
    return np.clip(decode(opened[0], FRAC_BITS), 0.0, 1.0)


async def _tell_metrics(e: Engine, terms: Terms, own: dict[str, float] | None) -> dict[str, float] | None:
    """The label's owner computes the metrics in plain; the others are told if the contract says so.

    What is told is rounded: with the scores, all digits of a log-loss would tell the labels of dozens of rows.
    """
    s = e.session
    to = leakage.receivers(terms.metrics, terms.n_parties, terms.label_rank)
    s.declare_opening(leakage.METRICS, to, len(METRICS))
    if s.rank == terms.label_rank:
        if own is not None and len(to) > 1:
            own = {name: round(value, METRIC_DIGITS) for name, value in own.items()}
        for peer in s.peers:
            if peer in to and own is not None:
                await s.send_bytes(peer, canonical.encode(own))
        return own
    if s.rank not in to:
        return None
    told = canonical.decode_untrusted(await s.recv_bytes(terms.label_rank, _MAX_METRICS), _MAX_METRICS)
    if not isinstance(told, dict) or set(told) != set(METRICS) or not all(isinstance(v, float) for v in told.values()):
        raise PeerMisbehaved(
            f"{terms.names[terms.label_rank]} sent something else than metrics",
            remedy="check that all parties run the same version of hansa",
            peer=terms.label_rank,
            step="evaluate",
        )
    return told


async def _open_weights(e: Engine, terms: Terms, blocks: lr.Blocks, w: Share) -> NDArray[np.float64] | None:
    if terms.weights == "all":
        return decode((await e.open(w, what=leakage.WEIGHTS))[0], FRAC_BITS)
    mine = None
    for rank, place in enumerate(blocks.places):
        got = await e.open_to(rank, w[place], what=leakage.weights_of(rank))
        mine = decode(got[0], FRAC_BITS) if got is not None else mine
    return mine


def _by_name(
    rank: int, terms: Terms, blocks: lr.Blocks, columns: tuple[str, ...], weights: NDArray[np.float64] | None
) -> dict[str, float]:
    if weights is None:
        return {}
    own = weights[blocks.places[rank]] if terms.weights == "all" else weights
    named = dict(zip(columns, own[: len(columns)].tolist(), strict=True))
    if rank == terms.label_rank:
        named["intercept"] = float(own[-1])
    return named


async def _agree(e: Engine, kind: str, terms: Terms, *more: int) -> None:
    """See that every party means the same job, before anything depends on it."""
    values = [getattr(terms, f.name) for f in fields(terms) if f.name != "params"]
    await e.session.check_public("terms of the job", kind, values, dict(terms.params), *more)


def _fingerprint(table: PartyTable, rows: NDArray[np.int64]) -> bytes:
    """Of the aligned rows: a file that changed between two attempts must not go unnoticed."""
    state = blake2b(digest_size=32, person=b"hansa-rows")
    for row in rows.tolist():
        state.update(len(table.keys[row]).to_bytes(4, "big") + table.keys[row])
    state.update(np.ascontiguousarray(table.features[rows]).tobytes())
    state.update(b"" if table.label is None else table.label[rows].tobytes())
    return state.digest()


def _pack(rows: NDArray[np.int64], seen: bytes, state: bytes) -> bytes:
    return canonical.encode([rows.astype("<i8").tobytes(), seen, state])


def _unpack(blob: bytes) -> tuple[NDArray[np.int64], bytes, bytes]:
    rows, seen, state = canonical.decode_untrusted(blob, _MAX_CHECKPOINT)
    return np.frombuffer(rows, dtype="<i8").copy(), seen, state


def _too_few(count: int) -> DataError:
    return DataError(
        f"only {count} rows are common to all parties: too few to train and test on",
        remedy="compare the key columns, their spelling and align.normalise in the job file",
        field="rows",
    )
