"""What the pipeline asks of an algorithm: prepare, train with checkpoints, score, and give a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.party_table import PartyTable
from hansa.protocols.arrays import Ring, Vector
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.shares import Share

Save = Callable[[int, bytes], None]
"""Keep the state after so many epochs or trees."""


class ProgressReport(Protocol):
    """Is told how far the job has come."""

    def step(self, name: str, total: int = 0) -> None:
        """A step of ``total`` units begins (0: not known)."""
        ...

    def advance(self, done: int, note: str = "") -> None:
        """``done`` units of the step are done; ``note`` says how it goes."""
        ...


class Step:
    """Names the steps of a job, to the session and to the progress: ``with step("train", total): ...``."""

    def __init__(self, e: Engine, progress: ProgressReport) -> None:
        self._e, self._progress = e, progress

    @contextmanager
    def __call__(self, name: str, total: int = 0) -> Iterator[None]:
        """The body is the step ``name``, of ``total`` units."""
        self._progress.step(name, total)
        with self._e.session.step(name):
            yield

    def advance(self, done: int, note: str = "") -> None:
        """``done`` units of the step are done; ``note`` says how it goes."""
        self._progress.advance(done, note)


@dataclass(frozen=True, slots=True)
class SharedScores:
    """Scores before they are opened, (rows,) or (rows, classes). ``finish`` turns the opened numbers into scores, locally."""

    values: Share
    finish: Callable[[Vector], Vector]


class Learner(Protocol):
    """One training of one algorithm, on one engine, by one contract's terms."""

    @property
    def task(self) -> str:
        """What is learnt; see ``metrics.TASKS``."""
        ...

    async def prepare(self, table: PartyTable, train_rows: int) -> int:
        """Take in this party's rows, of which the first ``train_rows`` are trained on. Returns how many units training has."""
        ...

    async def train(self, start: tuple[int, bytes] | None, save: Save, step: Step) -> None:
        """Train. ``start``: epochs or trees that are done, and the state after them, to resume from."""
        ...

    async def test_scores(self) -> SharedScores:
        """Scores of the rows held out."""
        ...

    async def outputs(self, columns: tuple[str, ...]) -> Any:
        """Open what the contract says, and return this party's part of the model."""
        ...

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """The weights that ``outputs`` opened to this party, if any."""
        ...


async def open_for(e: Engine, to: Sequence[int], shared: Share, *, what: str) -> Ring | None:
    """Open to all parties or to one: the values at those who learn them, in the same shape, and None at the others."""
    if len(to) == e.session.n_parties:
        return (await e.open(shared, what=what))[0]
    opened = await e.open_to(to[0], shared, what=what)
    return None if opened is None else opened[0]
