"""One link to one peer: a reader that routes frames to whoever waits for them, by channel and sequence.

The reader always drains the link (within limits.py). So two parties that both send before they receive do not deadlock,
however little the link buffers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import trio

from hansa.config.errors import HansaError
from hansa.protocols.errors import PeerAborted, PeerLost, PeerMisbehaved, SecurityError
from hansa.protocols.mpc.session import frames
from hansa.protocols.mpc.session.frames import Frame, FrameKind
from hansa.protocols.mpc.session.limits import FRAME_COST, MAX_UNCLAIMED, MAX_UNCLAIMED_WAITING, REASON_SECONDS

_OWN_FIELDS: Final = frozenset({"self", "message", "remedy", "peer", "cause", "culprit", "step"})
"""Fields that this party sets itself, whatever fields a peer's error has."""

LINK_ERRORS: Final = (HansaError, OSError, trio.BrokenResourceError, trio.ClosedResourceError)
"""What the send of a link raises that has ended."""


class Link(Protocol):
    """An ordered, authenticated message connection to one peer (``hansa.node.net.connection.Connection`` is one)."""

    async def send(self, *parts: bytes | bytearray | memoryview) -> None:
        """Send one message, the concatenation of the parts; they are not used after it returns."""

    async def receive(self) -> memoryview:
        """The next whole message, in a buffer that is not written to again."""


class Failure:
    """The first error that ended a session, shared by its links and forks."""

    def __init__(self) -> None:
        self.error: HansaError | None = None
        self.inboxes: list[Inbox] = []
        self._sending: set[trio.CancelScope] = set()

    def fail(self, error: HansaError) -> None:
        """End the session: every present and later waiter raises ``error``. Only the first one counts."""
        if self.error is None:
            self.error = error
            for inbox in self.inboxes:
                inbox.wake_all()
            for scope in self._sending:
                scope.cancel()

    def check(self) -> None:
        """Raise the error if the session has failed."""
        if self.error is not None:
            raise again(self.error)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Around a send: a peer that has stopped reading must not hold up a session that has failed meanwhile."""
        with trio.CancelScope() as scope:
            self._sending.add(scope)
            try:
                yield
            finally:
                self._sending.discard(scope)
        if scope.cancelled_caught:
            self.check()


def again(error: HansaError, **more: str | int | float | None) -> HansaError:
    """A copy of an error to raise (one instance must not travel through several tasks), with more fields."""
    return type(error)(error.message, remedy=error.remedy, **(error.fields | more))


class Inbox:
    """The frames that have arrived from one peer, and the tasks that wait for a frame."""

    def __init__(self, peer: int, link: Link, failure: Failure) -> None:
        self.peer = peer
        self.link = link
        self._failure = failure
        self._arrived: dict[tuple[int, int], Frame] = {}
        self._waiting: dict[tuple[int, int], trio.Event] = {}
        self._next_arrival: dict[int, int] = {}
        self._unclaimed = 0
        self._progress = trio.Event()
        self._ended: HansaError | None = None
        self._over = trio.Event()

    async def why_it_ended(self) -> HansaError:
        """After a failed send: what the reader of the same link finds (perhaps the peer's own reason), as an error."""
        with trio.move_on_after(REASON_SECONDS):
            await self._over.wait()
        return again(self._failure.error or self._ended or self._lost("the connection broke"))

    async def claim(self, channel: int, sequence: int) -> Frame:
        """The frame with this address; waits for it. Raises what ended the session or the link instead."""
        key = (channel, sequence)
        frame = self._arrived.pop(key, None)
        if frame is None:
            self._check()
            event = self._waiting[key] = trio.Event()
            self._progress.set()
            try:
                await event.wait()
            finally:
                del self._waiting[key]
            frame = self._arrived.pop(key, None)
            if frame is None:
                self._check()
                raise AssertionError("woken without a frame or a failure")
        self._failure.check()
        self._unclaimed -= len(frame.payload) + FRAME_COST
        self._progress.set()
        return frame

    def wake_all(self) -> None:
        """Let every waiter look again (and find the failure)."""
        self._over.set()
        for event in self._waiting.values():
            event.set()

    async def read(self) -> None:
        """Route frames until the link ends; never raises but ``Cancelled``: failures go to the waiters."""
        try:
            while True:
                await self._wait_for_room()
                self._route(frames.parse_untrusted(await self.link.receive()))
        except HansaError as error:
            self._end(again(error, peer=self.peer))
        except (OSError, EOFError, trio.BrokenResourceError, trio.ClosedResourceError, trio.EndOfChannel):
            self._end(self._lost("the connection ended"))

    async def _wait_for_room(self) -> None:
        while self._unclaimed > MAX_UNCLAIMED and not self._waiting:
            self._progress = trio.Event()
            await self._progress.wait()

    def _route(self, frame: Frame) -> None:
        if frame.kind == FrameKind.ABORT:
            self._failure.fail(self._aborted(frames.parse_abort_untrusted(frame.payload)))
        elif frame.kind == FrameKind.GOODBYE:
            self._ended = self._lost("it finished its part and left")
            self.wake_all()
        elif self._ended is not None:
            raise PeerMisbehaved("a peer sent data after its goodbye", remedy="update hansa at that party")
        else:
            self._deliver(frame)

    def _deliver(self, frame: Frame) -> None:
        expected = self._next_arrival.get(frame.channel, 0)
        if frame.sequence != expected:
            raise PeerMisbehaved(
                f"a peer sent message {frame.sequence} of a step where message {expected} was due",
                remedy="start the job again; if it happens twice, report it with both parties' logs",
            )
        self._next_arrival[frame.channel] = expected + 1
        self._unclaimed += len(frame.payload) + FRAME_COST
        if self._unclaimed > MAX_UNCLAIMED_WAITING:
            raise PeerMisbehaved(
                f"a peer sent more than {MAX_UNCLAIMED_WAITING >> 20} MiB that nobody asked for",
                remedy="check that all parties run the same version of hansa (`hansa --version`)",
            )
        key = (frame.channel, frame.sequence)
        self._arrived[key] = frame
        event = self._waiting.get(key)
        if event is not None:
            event.set()

    def _end(self, error: HansaError) -> None:
        if self._ended is None:  # after its goodbye a peer may leave as it likes
            self._ended = error
            self._failure.fail(error)
        elif isinstance(error, PeerMisbehaved | SecurityError):
            self._failure.fail(error)
        self.wake_all()

    def _check(self) -> None:
        self._failure.check()
        if self._ended is not None:
            raise again(self._ended)

    def _lost(self, how: str) -> PeerLost:
        return PeerLost(
            f"party {self.peer} is gone: {how}",
            remedy="see `hansa status` for that peer; the job resumes when it is back",
            peer=self.peer,
        )

    def _aborted(self, error: dict[str, Any]) -> PeerAborted:
        return PeerAborted(
            f"party {self.peer} ended the work: {error.get('message', 'it gave no reason')}",
            remedy=str(error.get("remedy", "ask that party; its log has the reason")),
            peer=self.peer,
            cause=str(error.get("code", "internal")),
            culprit=error.get("culprit", self.peer),
            step=str(error.get("step", "")),
            **{k: v for k, v in error["fields"].items() if k not in _OWN_FIELDS},
        )
