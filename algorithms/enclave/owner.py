"""A party's side of a job in an enclave: it sends its rows, encrypted, and takes what the contract opens to it.

owner r  --rows, sealed for the attested code-->  enclave      (train, predict)
owner r  --encrypted model-->                     enclave      (predict, release; the label's owner only)
owner r  <--answer--                              enclave
"""

from __future__ import annotations

import json
from typing import Any, Protocol

import trio

from hansa.algorithms.enclave import packed_table
from hansa.algorithms.enclave.answer import EnclaveAnswer, most_bytes, told
from hansa.algorithms.enclave.declare import declare
from hansa.algorithms.enclave.model import EnclaveModel
from hansa.algorithms.learner import ProgressReport
from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.pipeline import Scores, TrainOutcome
from hansa.algorithms.terms import Terms, agree
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.session.session import Session

MOST_RELEASED = 1 << 29


class SealsParcel(Protocol):
    """Encrypts for the code that the enclave proved to run, under this owner's release policy."""

    def seal(self, data: bytes) -> bytes:
        """Bytes that only that code can decrypt."""


class ReleasedInside:
    """A model in plain, which an enclave sent to all parties."""

    def __init__(self, plain: dict[str, Any]) -> None:
        self._plain = plain

    def to_json(self) -> dict[str, Any]:
        """Plain data, in the form of ``ReleasedModel`` or ``ReleasedTrees``."""
        return self._plain


async def train(
    s: Session, terms: Terms, table: PartyTable, seal: SealsParcel, progress: ProgressReport
) -> TrainOutcome:
    """Have the enclave train a model. Rounds: 3. Bytes sent: the encrypted table, and 32 to each member."""
    await agree(s, "train", terms)
    answer = await _ask(s, terms, table, seal, progress)
    with s.step("outputs"):
        declare(s, "train", terms, len(answer.rows), answer.test_rows, len(answer.closed))
    hold_out = (
        None if answer.scores is None else Scores(answer.rows[len(answer.rows) - answer.test_rows :], answer.scores)
    )
    model = EnclaveModel(answer.closed, answer.opened, answer.importance, answer.history)
    return TrainOutcome(len(answer.rows), answer.test_rows, model, None, answer.metrics, hold_out)


async def predict(
    s: Session, terms: Terms, model: EnclaveModel, table: PartyTable, seal: SealsParcel, progress: ProgressReport
) -> tuple[int, Scores | None]:
    """Have the enclave score the common rows: how many they are, and the scores, None where not opened to this party."""
    await agree(s, "predict", terms)
    await _hand_in(s, terms, model)
    answer = await _ask(s, terms, table, seal, progress)
    with s.step("outputs"):
        declare(s, "predict", terms, len(answer.rows), 0, 0)
    return len(answer.rows), None if answer.scores is None else Scores(answer.rows, answer.scores)


async def release(s: Session, terms: Terms, model: EnclaveModel, progress: ProgressReport) -> ReleasedInside:
    """Have the enclave open the model to all parties."""
    await agree(s, "release", terms)
    await _hand_in(s, terms, model)
    progress.step("release")
    with s.step("release"):
        plain = _plain(await s.recv_bytes(s.n_parties - 1, MOST_RELEASED))
        declare(s, "release", terms, 0, 0, 0, plain)
    return ReleasedInside(plain)


def _plain(told: memoryview) -> dict[str, Any]:
    try:
        plain = json.loads(bytes(told))
        if isinstance(plain, dict):
            return plain
    except (ValueError, RecursionError):
        pass
    raise PeerMisbehaved("the enclave released something else than a model", remedy="check its version of hansa")


async def _hand_in(s: Session, terms: Terms, model: EnclaveModel) -> None:
    """The label's owner sends the encrypted model to the enclave. All parties have the same bytes, so one is enough."""
    with s.step("open"):
        if s.rank == terms.label_rank:
            await s.send_bytes(s.n_parties - 1, model.closed)


async def _ask(
    s: Session, terms: Terms, table: PartyTable, seal: SealsParcel, progress: ProgressReport
) -> EnclaveAnswer:
    there = s.n_parties - 1
    progress.step("send")
    with s.step("send"):
        parcel = await trio.to_thread.run_sync(lambda: seal.seal(packed_table.pack(terms, table)))
        await s.send_bytes(there, parcel)
    progress.step("wait")
    with s.step("outputs"):
        got = await s.recv_bytes(there, most_bytes(terms, table.rows))
        answer = await trio.to_thread.run_sync(EnclaveAnswer.decode_untrusted, got, terms, table.rows)
    missing = answer.scores is None and told(terms, s.rank, terms.scores) and (answer.test_rows or not answer.closed)
    if missing or (answer.scores is not None and not told(terms, s.rank, terms.scores)):
        raise PeerMisbehaved(
            "the enclave's answer has not what the contract opens", remedy="check its version of hansa", peer=there
        )
    return answer
