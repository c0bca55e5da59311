"""What a worker tells while it works, without flooding anybody: many small advances become a few messages a second.

Steps and openings are never dropped; within a step only the latest advance counts.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import trio

from hansa.node.worker.messages import Attested, FromWorker, Opened, Stepped

INTERVAL_S = 0.2


class Reporter:
    """Collects progress (it is the ``Progress`` that algorithms report to) and openings.

    ``cost`` gives rounds and bytes sent so far.
    """

    def __init__(self) -> None:
        self.cost: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self.current = "start"
        self._total = 0
        self._waiting: list[FromWorker] = []
        self._latest: Stepped | None = None
        self._wake, self._ended, self._told = trio.Event(), trio.Event(), trio.Event()
        self._began = time.monotonic()

    def step(self, name: str, total: int = 0) -> None:
        """A step begins, of ``total`` units (0: unknown)."""
        self._settle()
        self.current, self._total = name, total
        self.advance(0)

    def advance(self, done: int, note: str = "") -> None:
        """``done`` units of the current step are done; a few words on how it goes."""
        rounds, sent = self.cost()
        elapsed = int(1000 * (time.monotonic() - self._began))
        self._latest = Stepped(self.current, done, self._total, rounds, sent, elapsed, note)
        self._wake.set()

    def opened(self, what: str, to: tuple[int, ...], elements: int) -> None:
        """Values were opened: told in order with the steps."""
        self._settle()
        self._waiting.append(Opened(what, list(to), elements))
        self._wake.set()

    def attested(self, found: Attested) -> None:
        """A proof was judged: told in order with the steps."""
        self._settle()
        self._waiting.append(found)
        self._wake.set()

    def take(self) -> list[FromWorker]:
        """Everything not yet told, in order."""
        self._settle()
        taken, self._waiting = self._waiting, []
        self._wake = trio.Event()
        return taken

    def _settle(self) -> None:
        if self._latest is not None:
            self._waiting.append(self._latest)
            self._latest = None

    async def tell(self, send: Callable[[FromWorker], Awaitable[None]]) -> None:
        """Send what there is, at most every ``INTERVAL_S``, until ``finish``."""
        while not self._ended.is_set():
            await self._wake.wait()
            for message in self.take():
                await send(message)
            with trio.move_on_after(INTERVAL_S):
                await self._ended.wait()
        for message in self.take():
            await send(message)
        self._told.set()

    async def finish(self) -> None:
        """Nothing more comes: returns once ``tell`` has sent all of it. An opening must never be lost on the way."""
        self._ended.set()
        self._wake.set()
        await self._told.wait()
