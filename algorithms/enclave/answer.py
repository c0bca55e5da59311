"""The enclave's answer to one party: exactly what the contract opens to that party, as bytes and back."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms import leakage
from hansa.algorithms.enclave.pool import MOST_MODEL
from hansa.algorithms.gbdt.model.tree_model import Importance
from hansa.algorithms.metrics import TASKS
from hansa.algorithms.terms import Terms
from hansa.config.params import label_kind
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.wire import canonical
from hansa.protocols.wire.fields import Fields

_REST: Final = 1 << 24
"""Bytes of everything but rows, scores and model."""
_MOST_ROUNDS: Final = 1000
_MOST_NUMBER: Final = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True)
class EnclaveAnswer:
    """``rows``: those of this party's table that all have, the ones trained on first. The last ``test_rows`` were held out.

    Where they are opened to this party: ``scores`` of the rows held out (after training) or of all rows (after predicting),
    (rows,) or (rows, classes); ``metrics``; ``opened`` weights; ``importance``; ``history``, the training metric by round.
    ``closed``: the encrypted model.
    """

    rows: NDArray[np.int64] = field(repr=False)
    test_rows: int = 0
    scores: NDArray[np.float64] | None = field(default=None, repr=False)
    metrics: dict[str, float] | None = None
    opened: dict[str, float] = field(default_factory=dict, repr=False)
    importance: dict[str, dict[str, Importance]] = field(default_factory=dict, repr=False)
    history: tuple[float, ...] = ()
    closed: bytes = field(default=b"", repr=False)

    def encode(self) -> bytes:
        """Its canonical bytes."""
        columns = {
            party: {column: list(asdict(one).values()) for column, one in found.items()}
            for party, found in self.importance.items()
        }
        return canonical.encode(
            {
                "rows": self.rows.astype("<i8").tobytes(),
                "test_rows": self.test_rows,
                "scores": None if self.scores is None else self.scores.astype("<f8").tobytes(),
                "metrics": self.metrics,
                "opened": self.opened,
                "importance": columns,
                "history": list(self.history),
                "closed": self.closed,
            }
        )

    @classmethod
    def decode_untrusted(cls, data: bytes | memoryview, terms: Terms, own_rows: int) -> EnclaveAnswer:
        """The answer to a party whose table has ``own_rows`` rows. Raises ``PeerMisbehaved`` for bytes that are none."""
        fields = Fields(canonical.decode_untrusted(data, most_bytes(terms, own_rows)), "an enclave's answer")
        rows = _array(fields.blob("rows", 8 * own_rows), "<i8")
        test_rows = fields.number("test_rows", 0, len(rows))
        scores = fields.value("scores", lambda value: None if value is None else _array(value, "<f8"))
        metrics = fields.value("metrics", lambda value: None if value is None else _numbers(value))
        opened = fields.value("opened", _numbers)
        importance = fields.value("importance", _importance)
        history = fields.each("history", _MOST_ROUNDS, _number)
        closed = fields.blob("closed", MOST_MODEL + 1024)
        fields.end()
        scored = test_rows or len(rows)
        classes = _classes(terms)
        in_own_table = np.all((rows >= 0) & (rows < own_rows)) and len(np.unique(rows)) == len(rows)
        task = TASKS[label_kind(terms.algorithm, terms.params)]
        of_the_task = metrics is None or set(metrics) == set(task)
        if not in_own_table or not of_the_task or (scores is not None and scores.size != scored * max(1, classes)):
            raise PeerMisbehaved(
                "the enclave's answer does not fit this party's table", remedy="check its version of hansa"
            )
        if metrics is not None:
            metrics = {name: metrics[name] for name in task}
        if scores is not None and classes:
            scores = scores.reshape(scored, classes)
        return cls(rows, test_rows, scores, metrics, opened, importance, history, closed)


def most_bytes(terms: Terms, own_rows: int) -> int:
    """The most bytes that an answer may have."""
    return 8 * own_rows * (1 + max(1, _classes(terms))) + MOST_MODEL + _REST


def told(terms: Terms, rank: int, choice: str) -> bool:
    """Whether this party learns what the contract opens to ``choice``."""
    return rank in leakage.receivers(choice, terms.n_parties, terms.label_rank)


def _classes(terms: Terms) -> int:
    return int(terms.params.get("num_class") or 0) if terms.algorithm == "gbdt" else 0


def _array(value: Any, kind: str) -> NDArray[Any]:
    if not isinstance(value, bytes) or len(value) % 8:
        raise PeerMisbehaved("an enclave sent no numbers", remedy="update both nodes to the same version")
    return np.frombuffer(value, dtype=kind)


def _number(value: Any) -> float:
    return Fields({"number": value}, "an enclave's answer").real("number", -_MOST_NUMBER, _MOST_NUMBER)


def _numbers(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or not all(isinstance(v, float) and math.isfinite(v) for v in value.values()):
        raise PeerMisbehaved("an enclave sent no numbers", remedy="update both nodes to the same version")
    return dict(value)


def _importance(value: Any) -> dict[str, dict[str, Importance]]:
    out = {}
    for party, columns in (value if isinstance(value, dict) else {"": None}).items():
        if not isinstance(columns, dict):
            raise PeerMisbehaved("an enclave sent no importance", remedy="update both nodes to the same version")
        out[party] = {column: _one(one) for column, one in columns.items()}
    return out


def _one(value: Any) -> Importance:
    match value:
        case [int(splits), float(gain), float(cover)]:
            return Importance(splits, gain, cover)
        case _:
            raise PeerMisbehaved("an enclave sent no importance", remedy="update both nodes to the same version")
