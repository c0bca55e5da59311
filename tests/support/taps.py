"""Running a protocol among three replicated parties, and what each party receives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from hansa.protocols.mpc.replicated.engine import ReplicatedEngine
from hansa.protocols.mpc.session.links import Link
from hansa.protocols.mpc.session.memory import network, parties, run_parties

Protocol = Callable[[ReplicatedEngine], Awaitable[Any]]


class Tap:
    """A link that keeps what it receives."""

    def __init__(self, link: Link, heard: list[bytes]) -> None:
        self._link, self._heard = link, heard

    async def send(self, *parts: Any) -> None:
        await self._link.send(*parts)

    async def receive(self) -> memoryview:
        data = await self._link.receive()
        self._heard.append(bytes(data))
        return data


async def run_replicated(protocol: Protocol, **options: Any) -> list[Any]:
    async with parties(3, **options) as sessions:

        async def party(session: Any) -> Any:
            return await protocol(await ReplicatedEngine.start(session, 18))

        return await run_parties(sessions, party)


async def received_by_each(protocol: Protocol) -> list[bytes]:
    """All payload bytes that each party receives."""
    heard: list[list[bytes]] = [[] for _ in range(3)]
    ends = [{peer: Tap(link, heard[rank]) for peer, link in links.items()} for rank, links in enumerate(network(3))]
    await run_replicated(protocol, links=ends)
    return [b"".join(message[16:] for message in messages if len(message) > 600) for messages in heard]


HEADER = 24


class PayloadTap:
    """A link that keeps the payloads it receives."""

    def __init__(self, link: Any, heard: list[bytes]) -> None:
        self._link, self._heard = link, heard

    async def send(self, *parts: Any) -> None:
        await self._link.send(*parts)

    async def receive(self) -> memoryview:
        data = await self._link.receive()
        size = int.from_bytes(data[16:24], "little")
        if size > 600:
            self._heard.append(bytes(data[HEADER : HEADER + size]))
        return data
