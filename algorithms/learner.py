"""What the pipeline asks of an algorithm: prepare, train with checkpoints, score, and leave a model."""

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
    """Who is told how far the job is."""

    def step(self, name: str, total: int = 0) -> None:
        """A step of ``total`` units begins (0: not known)."""
        ...

    def advance(self, done: int, note: str = "") -> None:
        """``done`` units of it are done; a few words on how it goes."""
        ...


class Step:
    """Begins steps: ``with step("train", total):`` names what follows to the session and to the progress."""

    def __init__(self, e: Engine, progress: ProgressReport) -> None:
        self._e, self._progress = e, progress

    @contextmanager
    def __call__(self, name: str, total: int = 0) -> Iterator[None]:
        """What is inside is this step, of ``total`` units."""
        self._progress.step(name, total)
        with self._e.session.step(name):
            yield

    def advance(self, done: int, note: str = "") -> None:
        """``done`` units of it are done; a few words on how it goes."""
        self._progress.advance(done, note)


@dataclass(frozen=True, slots=True)
class SharedScores:
    """Scores as they are opened, (rows,) or (rows, classes), and what whoever learns them makes of the numbers."""

    values: Share
    finish: Callable[[Vector], Vector]


class Learner(Protocol):
    """One training of one algorithm, over one engine and one contract's terms."""

    @property
    def task(self) -> str:
        """What is learnt; see ``metrics.TASKS``."""
        ...

    async def prepare(self, table: PartyTable, train_rows: int) -> int:
        """From this party's rows, the training ones first, with the label at its owner; how many units training has."""
        ...

    async def train(self, start: tuple[int, bytes] | None, save: Save, step: Step) -> None:
        """Train, from the state after so many epochs or trees on if there is one."""
        ...

    async def test_scores(self) -> SharedScores:
        """Scores of the rows held out."""
        ...

    async def outputs(self, columns: tuple[str, ...]) -> Any:
        """Open what the contract says, and make this party's part of the model."""
        ...

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """What ``outputs`` opened to this party as numbers, if anything."""
        ...


async def open_for(e: Engine, to: Sequence[int], shared: Share, *, what: str) -> Ring | None:
    """Open to all parties or to one: the values at those who learn them, in the same shape, and None at the others."""
    if len(to) == e.session.n_parties:
        return (await e.open(shared, what=what))[0]
    opened = await e.open_to(to[0], shared, what=what)
    return None if opened is None else opened[0]
