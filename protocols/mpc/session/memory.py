"""n parties in one process, over an in-memory network without hidden buffering: for notebooks and tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar

import trio

from hansa.config.errors import hansa_error_in
from hansa.protocols.errors import PeerAborted, PeerMisbehaved
from hansa.protocols.mpc.session.group import OnOpening, Openings
from hansa.protocols.mpc.session.links import Link
from hansa.protocols.mpc.session.session import Session, internal_error

T = TypeVar("T")
MAX_STREAM_MESSAGE: Final = 1 << 32


class MemoryLink:
    """One end of a pair of links: a send returns when the other end has taken the message."""

    def __init__(self, out: trio.MemorySendChannel[bytearray], into: trio.MemoryReceiveChannel[bytearray]) -> None:
        self._out = out
        self._into = into

    async def send(self, *parts: bytes | bytearray | memoryview) -> None:
        """Send one message, the concatenation of the parts (copied, as a network would)."""
        await self._out.send(bytearray().join(parts))

    async def receive(self) -> memoryview:
        """The next message."""
        return memoryview(await self._into.receive())

    async def aclose(self) -> None:
        """Break both directions: the other end's sends and receives fail."""
        await self._out.aclose()
        await self._into.aclose()


class StreamLink:
    """Messages over any trio stream, each with an 8-byte length before it."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._turn = trio.Lock()

    async def send(self, *parts: bytes | bytearray | memoryview) -> None:
        """Send one message, the concatenation of the parts."""
        async with self._turn:
            message = b"".join(parts)
            await self._stream.send_all(len(message).to_bytes(8, "little") + message)

    async def receive(self) -> memoryview:
        """The next message."""
        size = int.from_bytes(await self._exactly(8), "little")
        if size > MAX_STREAM_MESSAGE:
            raise PeerMisbehaved(f"a message of {size} bytes", remedy="check what is at the other end of the stream")
        return memoryview(await self._exactly(size))

    async def _exactly(self, size: int) -> bytearray:
        data = bytearray()
        while len(data) < size:
            some = await self._stream.receive_some(size - len(data))
            if not some:
                raise EOFError
            data += some
        return data

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()


def memory_link_pair() -> tuple[MemoryLink, MemoryLink]:
    """Two ends of one in-memory link."""
    to_b, from_a = trio.open_memory_channel[bytearray](0)
    to_a, from_b = trio.open_memory_channel[bytearray](0)
    return MemoryLink(to_b, from_b), MemoryLink(to_a, from_a)


def network(n_parties: int, pair: Callable[[], tuple[Link, Link]] = memory_link_pair) -> list[dict[int, Link]]:
    """The links of each of ``n_parties``, all to all, made by ``pair``."""
    links: list[dict[int, Link]] = [{} for _ in range(n_parties)]
    for low in range(n_parties):
        for high in range(low + 1, n_parties):
            links[low][high], links[high][low] = pair()
    return links


@asynccontextmanager
async def parties(
    n_parties: int,
    *,
    context: bytes = b"in one process",
    allowed: Openings | None = None,
    on_opening: OnOpening | None = None,
    links: Sequence[Mapping[int, Link]] | None = None,
) -> AsyncIterator[list[Session]]:
    """Sessions of ``n_parties`` that talk to each other in this process; see ``open_session`` for the arguments.

    async with parties(3) as sessions:
        results = await run_parties(sessions, my_protocol)
    """
    ends = network(n_parties) if links is None else links
    sessions = [
        Session.of_job(rank, ends[rank], context=context, allowed=allowed, on_opening=on_opening)
        for rank in range(n_parties)
    ]
    failed: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            async with trio.open_nursery() as starting:
                for session in sessions:
                    starting.start_soon(session.serve, nursery)
            yield sessions
            for session in sessions:
                await session.finish()
        except Exception as error:
            failed = hansa_error_in(error) or error
        nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed


async def run_parties(sessions: Sequence[Session], protocol: Callable[[Session], Awaitable[T]]) -> list[T]:
    """Run one protocol at every party at once; the results in rank order.

    If it fails anywhere, the others are told, and the first party's own error (no peer's echo of it) is raised.
    """
    outcomes = await outcomes_of_parties(sessions, protocol)
    errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if errors:
        raise next((error for error in errors if not isinstance(error, PeerAborted)), errors[0])
    return [outcome for outcome in outcomes if not isinstance(outcome, Exception)]


async def outcomes_of_parties(
    sessions: Sequence[Session], protocol: Callable[[Session], Awaitable[T]]
) -> list[T | Exception]:
    """As ``run_parties``, but with the error of each party that failed in place of its result."""
    outcomes: dict[int, T | Exception] = {}

    async def run(session: Session) -> None:
        try:
            outcomes[session.rank] = await protocol(session)
        except Exception as error:
            ours = hansa_error_in(error)
            outcomes[session.rank] = ours or error
            await session.abort(ours or internal_error(error, session))

    async with trio.open_nursery() as nursery:
        for session in sessions:
            nursery.start_soon(partial(run, session))
    return [outcomes[session.rank] for session in sessions]
