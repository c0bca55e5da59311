"""Measurements between two parties: round trips, bulk transfer, oblivious transfers."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from hansa.node.lab.bench.catalogue import Size
from hansa.node.lab.bench.operation import Build, Facts, Operation
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.ot import OtReceiver, OtSender, start_pair
from hansa.protocols.mpc.session.session import Session

BULK_CHUNK = 1 << 24
ROUND_TRIPS = 200


async def _exact() -> Facts:
    """The session has checked what came."""
    return {"max_abs_error": 0.0}


async def rtt(e: Engine, size: Size) -> Operation:
    """A round trip of n bytes between parties 0 and 1."""
    message = bytes(size.n)

    async def timed() -> None:
        for _ in range(ROUND_TRIPS):
            if e.session.rank == 0:
                await e.session.send_bytes(1, message)
                await e.session.recv_bytes(1, size.n)
            elif e.session.rank == 1:
                await e.session.send_bytes(0, await e.session.recv_bytes(0, size.n))

    return Operation(timed, _exact, ROUND_TRIPS)


async def bulk(e: Engine, size: Size) -> Operation:
    """n bytes from party 0 to party 1, and one byte back."""
    pieces = [min(BULK_CHUNK, size.n - first) for first in range(0, size.n, BULK_CHUNK)]
    chunk = bytes(pieces[0])

    async def timed() -> None:
        if e.session.rank == 0:
            for piece in pieces:
                await e.session.send_bytes(1, chunk[:piece])
            await e.session.recv_bytes(1, 1)
        elif e.session.rank == 1:
            for _ in pieces:
                await e.session.recv_bytes(0, BULK_CHUNK)
            await e.session.send_bytes(0, b".")

    return Operation(timed, _exact)


async def ot(e: Engine, size: Size) -> Operation:
    """n oblivious transfers from party 0 to party 1: random bits, correlated 64-bit numbers, or one of 16 entries.

    They are silent where the engine's are.
    """
    session: Session = e.session.fork("ot")
    silently = e.session.transcript.sources.get(1 - session.rank) == "silent"
    ends = await start_pair(session, 1 - session.rank, size.w, silently=silently) if session.rank < 2 else None
    found: list[Any] = []

    async def timed() -> None:
        if ends is not None:
            found[:] = await (_sent(ends[0], size) if session.rank == 0 else _received(ends[1], size))

    async def facts() -> Facts:
        """Both show what they have: the transfers are spent on nothing else."""
        if ends is None:
            return {}
        mine = [np.ascontiguousarray(part).reshape(-1) for part in found]
        other = 1 - session.rank
        shapes = _shapes(size, other)
        told = await session.exchange({other: mine} if mine else {}, {other: shapes} if shapes else {})
        got = told.get(other, [])
        sent, taken = (mine, got) if session.rank == 0 else (got, mine)
        return {"max_abs_error": float(_wrong(size, sent, taken))}

    return Operation(timed, facts)


def _offered(size: Size) -> Any:
    spread = np.arange(size.n, dtype=np.uint64) * np.uint64(2654435761)
    return spread if size.kind == "correlated" else spread.astype(np.uint32)


async def _sent(end: OtSender, size: Size) -> list[Any]:
    match size.kind:
        case "random":
            return list(await end.random_bits(size.n, 1))
        case "correlated":
            return [await end.correlated(_offered(size))]
        case _:
            await end.one_of_16(_offered(size)[None])
            return []


async def _received(end: OtReceiver, size: Size) -> list[Any]:
    match size.kind:
        case "random":
            return list(await end.random_bits(size.n, 1))
        case "correlated":
            return [await end.correlated(_choices(size), size.n)]
        case _:
            return [(await end.one_of_16(_entries(size))).astype(np.uint64)]


def _choices(size: Size) -> Any:
    """Every other transfer's."""
    return np.full(-(-size.n // 64), 0xAAAAAAAAAAAAAAAA, dtype=np.uint64)


def _entries(size: Size) -> Any:
    return (np.arange(size.n) & 15).astype(np.uint8)


def _shapes(size: Size, rank: int) -> list[tuple[int]]:
    """Of what a party has from the transfers."""
    if size.kind == "random":
        return [(-(-size.n // 64),)] * 2
    return [] if size.kind == "one-of-16" and rank == 0 else [(size.n,)]


def _wrong(size: Size, sent: list[Any], taken: list[Any]) -> int:
    """How many transfers (of random bits: words of 64) went wrong."""
    if size.kind == "random":
        choices, bits = taken
        wrong = bits ^ sent[0] ^ (choices & (sent[0] ^ sent[1]))
        left = size.n % 64
        if left:
            wrong[-1] &= np.uint64((1 << left) - 1)
        return int(np.count_nonzero(wrong))
    if size.kind == "correlated":
        expected = np.where(np.arange(size.n) % 2 == 1, _offered(size), np.uint64(0))
        return int(np.count_nonzero(sent[0] + taken[0] != expected))
    right = (_offered(size) >> (2 * _entries(size)).astype(np.uint32)) & 3
    return int(np.count_nonzero(taken[0] != right))


BUILDS: Final[dict[str, Build]] = {"rtt": rtt, "bulk": bulk, "ot": ot}
