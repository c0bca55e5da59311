"""The one stream of what happens in jobs: kept for `job show` and `job logs`, and watched live.

Steps, states, openings, errors and lines of the log are written to the store; progress inside a step is only shown, and a
watcher that cannot keep up loses some of it. It loses of the rest only where a peer floods it with steps.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import trio

Fact = str | int | float | list[str] | None
Event = dict[str, Fact]
WATCHER_SLACK = 64
WATCHER_MOST = 1024
"""Events that wait for one watcher: beyond the first bound progress is dropped, beyond the second everything."""


class EventStore(Protocol):
    """Where the events that last are kept."""

    def append_event(self, job_id: bytes, event: Event) -> None:
        """Keep one event."""

    def events(self, job_id: bytes) -> list[Event]:
        """All kept events of a job, the oldest first."""


class JobEvents:
    """Publishes events; knows the latest of each party of each job."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._latest: dict[bytes, dict[str, Event]] = {}
        self._watchers: dict[bytes, list[trio.MemorySendChannel[Event]]] = {}

    def publish(self, job_id: bytes, party: str, kind: str, **facts: Fact) -> None:
        """Tell everyone who watches; ``facts`` are step, done, total, rounds, bytes_sent, elapsed_s, text."""
        event: Event = {"time": round(time.time(), 3), "job": job_id.hex()[:16], "party": party, "kind": kind, **facts}
        if kind in {"step", "progress"}:
            self._latest.setdefault(job_id, {})[party] = event
        if kind != "progress":
            self._store.append_event(job_id, event)
        for send in self._watchers.get(job_id, ()):
            room = WATCHER_SLACK if kind == "progress" else WATCHER_MOST
            if send.statistics().current_buffer_used < room:
                send.send_nowait(event)

    def latest(self, job_id: bytes) -> dict[str, Event]:
        """Each party's latest progress."""
        return self._latest.get(job_id, {})

    def history(self, job_id: bytes) -> list[Event]:
        """Everything kept of a job."""
        return self._store.events(job_id)

    def forget(self, job_id: bytes) -> None:
        """Drop the live progress of a job that ended."""
        self._latest.pop(job_id, None)

    @contextmanager
    def watch(self, job_id: bytes) -> Iterator[trio.MemoryReceiveChannel[Event]]:
        """A channel of the events from now on."""
        send, receive = trio.open_memory_channel[Event](WATCHER_MOST)
        self._watchers.setdefault(job_id, []).append(send)
        try:
            with send, receive:
                yield receive
        finally:
            self._watchers[job_id].remove(send)
