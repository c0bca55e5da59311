"""The enclave's side of a job: it decrypts the owners' rows, trains or scores in plain, and answers each party.

Only the answers (``answer.EnclaveAnswer``), the encrypted model, and the progress leave the enclave. Whatever a party is to
send or to take has a deadline, so that none can hold up the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import numpy as np
import trio
from numpy.typing import NDArray

from hansa.algorithms import leakage
from hansa.algorithms.common_rows import check_label, none_in_common, rounded, too_few
from hansa.algorithms.enclave.answer import EnclaveAnswer, told
from hansa.algorithms.enclave.declare import declare
from hansa.algorithms.enclave.linear_model import LinearModel
from hansa.algorithms.enclave.packed_table import common, most_bytes, unpack_untrusted
from hansa.algorithms.enclave.pool import MOST_MODEL, Model, Pool
from hansa.algorithms.enclave.xgboost_model import XgboostModel
from hansa.algorithms.gbdt.model.tree_model import Importance
from hansa.algorithms.learner import ProgressReport
from hansa.algorithms.metrics import evaluate_as
from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.split import split_order
from hansa.algorithms.terms import Terms, agree
from hansa.config.params import label_kind
from hansa.protocols.errors import PeerTimeout
from hansa.protocols.mpc.session.session import Session

_MODELS: Final[dict[str, type[Model]]] = {"lr": LinearModel, "gbdt": XgboostModel}
PARCEL_EXTRA = 1 << 20
"""Bytes that sealing may add to a table: policy, key, tags."""
PATIENCE_S = 120.0
"""How long a party may take before the first byte that the enclave waits for. It packs and seals its rows meanwhile."""
SLOWEST_BYTES_PER_S = 1 << 17
"""How fast a party must send or take: a megabit a second, counted over the most bytes that there may be."""


class OpensParcels(Protocol):
    """Decrypts what owners sealed for this code, each under its owner's release policy."""

    def open_untrusted(self, rank: int, parcel: bytes | memoryview) -> bytes:
        """The bytes inside. Raises ``SecurityError`` with the reason where the policy does not release them here."""


class SealsModel(Protocol):
    """Encrypts a job's model with a key that only enclaves of the accepted code have."""

    def seal(self, model: bytes) -> bytes:
        """The model, encrypted."""

    def open(self, closed: bytes) -> bytes:
        """The model again. Raises ``SecurityError`` for bytes that were not encrypted with this job's key."""


async def serve(
    s: Session, kind: str, terms: Terms, parcels: OpensParcels, sealer: SealsModel, progress: ProgressReport
) -> None:
    """Run one job to its end. ``kind``: train, predict or release.

    Raises ``DataError`` where the common rows cannot be trained on, ``PeerMisbehaved`` for malformed tables, and
    ``PeerTimeout`` with the party that holds up the others.
    """
    with _in_time(s, terms, 0):
        await agree(s, kind, terms)
    if kind == "train":
        await _train(s, terms, parcels, sealer, progress)
        return
    model = await _hear_model(s, terms, sealer)
    if kind == "predict":
        await _predict(s, terms, parcels, model, progress)
    else:
        await _release(s, terms, model, progress)


async def _train(s: Session, terms: Terms, parcels: OpensParcels, sealer: SealsModel, progress: ProgressReport) -> None:
    tables, rows = await _receive(s, terms, parcels, progress, scored=False)
    order, train_rows = split_order(terms.seed, len(rows[0]), terms.test_fraction)
    if train_rows < 2:
        raise too_few(len(rows[0]))
    rows = [own[order] for own in rows]
    test_rows = len(order) - train_rows
    pool = Pool.of(terms, tables, rows)
    del tables
    task = label_kind(terms.algorithm, terms.params)
    check_label(task, terms, pool.label, train_rows)
    progress.step("train", 1 if terms.algorithm == "lr" else int(terms.params["n_estimators"] or 0))

    def advance(done: int) -> None:
        trio.from_thread.run_sync(progress.advance, done)

    with s.step("train"):
        model = await trio.to_thread.run_sync(_MODELS[terms.algorithm].train, pool, train_rows, advance)
    progress.step("evaluate")
    with s.step("evaluate"):
        scores, metrics = None, None
        if test_rows and terms.scores != "none":
            scores = await trio.to_thread.run_sync(model.scores, pool.part(slice(train_rows, None)))
            metrics = evaluate_as(task, pool.label[train_rows:], scores)
    progress.step("outputs")
    with s.step("outputs"):
        closed = sealer.seal(model.to_state())
        declare(s, "train", terms, len(order), test_rows, len(closed))
        for rank in range(terms.n_parties):
            answer = _trained(terms, rank, model, rows[rank], test_rows, scores, metrics, closed)
            await _give(s, terms, rank, answer.encode())


def _trained(
    terms: Terms,
    rank: int,
    model: Model,
    rows: NDArray[np.int64],
    test_rows: int,
    scores: NDArray[np.float64] | None,
    metrics: dict[str, float] | None,
    closed: bytes,
) -> EnclaveAnswer:
    """The answer to one party after a training."""
    importance: dict[str, dict[str, Importance]] = {}
    for (owner, column), found in model.importance.items():
        if terms.importance == "all" or (terms.importance == "owner" and owner == rank):
            importance.setdefault(terms.names[owner], {})[column] = found
    to_others = len(leakage.receivers(terms.metrics, terms.n_parties, terms.label_rank)) > 1
    return EnclaveAnswer(
        rows,
        test_rows,
        scores if told(terms, rank, terms.scores) else None,
        (rounded(metrics) if to_others else metrics) if metrics and told(terms, rank, terms.metrics) else None,
        model.weights_of(rank),
        importance,
        tuple(model.history) if told(terms, rank, terms.training_metric) else (),
        closed,
    )


async def _predict(s: Session, terms: Terms, parcels: OpensParcels, model: Model, progress: ProgressReport) -> None:
    tables, rows = await _receive(s, terms, parcels, progress, scored=True)
    progress.step("score")
    with s.step("score"):
        scores = await trio.to_thread.run_sync(model.scores, Pool.of(terms, tables, rows))
    progress.step("outputs")
    with s.step("outputs"):
        declare(s, "predict", terms, len(rows[0]), 0, 0)
        for rank in range(terms.n_parties):
            answer = EnclaveAnswer(rows[rank], scores=scores if told(terms, rank, terms.scores) else None)
            await _give(s, terms, rank, answer.encode())


async def _release(s: Session, terms: Terms, model: Model, progress: ProgressReport) -> None:
    progress.step("release")
    with s.step("release"):
        plain = model.released()
        declare(s, "release", terms, 0, 0, 0, plain)
        data = json.dumps(plain).encode()
        for rank in range(terms.n_parties):
            await _give(s, terms, rank, data)


async def _hear_model(s: Session, terms: Terms, sealer: SealsModel) -> Model:
    most = MOST_MODEL + 1024
    with s.step("open"), _in_time(s, terms, most):
        closed = bytes(await s.recv_bytes(terms.label_rank, most))
    return await trio.to_thread.run_sync(lambda: _MODELS[terms.algorithm].from_state(terms, sealer.open(closed)))


async def _receive(
    s: Session, terms: Terms, parcels: OpensParcels, progress: ProgressReport, *, scored: bool
) -> tuple[list[PartyTable], list[NDArray[np.int64]]]:
    """Every party's table, and the rows of each that all parties have, in the common order."""
    progress.step("receive", terms.n_parties)
    tables, places = [], []
    with s.step("send"):
        for rank in range(terms.n_parties):
            most = most_bytes(terms, rank) + PARCEL_EXTRA
            with _in_time(s, terms, most):
                parcel = await s.recv_bytes(rank, most)
            found = await trio.to_thread.run_sync(_opened, terms, rank, parcels, parcel, scored)
            places.append(found[0])
            tables.append(found[1])
            progress.advance(rank + 1)
    progress.step("align")
    with s.step("align"):
        rows = await trio.to_thread.run_sync(common, places, terms.names)
    if not len(rows[0]):
        raise none_in_common()
    return tables, rows


def _opened(
    terms: Terms, rank: int, parcels: OpensParcels, parcel: memoryview, scored: bool
) -> tuple[NDArray[np.void], PartyTable]:
    return unpack_untrusted(terms, rank, parcels.open_untrusted(rank, parcel), scored=scored)


async def _give(s: Session, terms: Terms, rank: int, answer: bytes) -> None:
    with _in_time(s, terms, len(answer), to=rank):
        await s.send_bytes(rank, answer)


@contextmanager
def _in_time(s: Session, terms: Terms, most: int, to: int | None = None) -> Iterator[None]:
    """Bounds the time for ``most`` bytes: to the party ``to``, or from whom the session waits for.

    Raises ``PeerTimeout`` with that party.
    """
    seconds = PATIENCE_S + most / SLOWEST_BYTES_PER_S
    with trio.move_on_after(seconds) as patience:
        yield
    if patience.cancelled_caught:
        rank = s.awaited if to is None else to
        name = "a party" if rank is None else terms.names[rank]
        what = "sent nothing whole" if to is None else "did not take its answer"
        raise PeerTimeout(
            f"{name} {what} in step '{s.current_step}' within {seconds:.0f} s",
            remedy=f"see `hansa doctor` for the connection to {name}, and its log",
            peer=rank,
            step=s.current_step,
        )
