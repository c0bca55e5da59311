"""What a job is given by its worker, in memory: a report of progress, and checkpoints."""

from __future__ import annotations


class Quiet:
    """A progress report that remembers what it is told."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.notes: list[str] = []

    def step(self, name: str, total: int = 0) -> None:
        self.steps.append(name)

    def advance(self, done: int, note: str = "") -> None:
        assert done >= 0
        self.notes.append(note)


class Kept:
    """Checkpoints; ``resume`` is what ``load`` gives."""

    def __init__(self, resume: tuple[int, bytes] | None = None) -> None:
        self.saved: dict[int, bytes] = {}
        self.resume = resume

    def save(self, epoch: int, blob: bytes) -> None:
        self.saved[epoch] = blob

    def load(self) -> tuple[int, bytes] | None:
        return self.resume
