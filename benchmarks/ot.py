"""Oblivious transfers a second between two processes over loopback TCP: python benchmarks/ot.py [--n 4000000] [--w 1 2 3 4 5]

Prints, for each w and kind of transfer, the median of five runs in one direction and in both at once (transfers of both
directions added up), the bytes that both parties send for one transfer, and the processor time it takes of the sender's and
of the receiver's process: on a machine with other work, the larger of the two says what an idle one would do.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import trio

from hansa.protocols.mpc.memory import StreamLink
from hansa.protocols.mpc.ot import OtReceiver, OtSender, start_pair
from hansa.protocols.mpc.session import Session, open_session

RUNS = 5
Pair = tuple[OtSender, OtReceiver]


async def _send(kind: str, ot: OtSender, n: int) -> None:
    match kind:
        case "random":
            await ot.random_bits(n, 1)
        case "correlated":
            await ot.correlated(np.arange(n, dtype=np.uint64))
        case _:
            await ot.one_of_16(np.arange(n, dtype=np.uint32)[None])


async def _receive(kind: str, ot: OtReceiver, n: int) -> None:
    match kind:
        case "random":
            await ot.random_bits(n, 1)
        case "correlated":
            await ot.correlated(np.zeros(-(-n // 64), dtype=np.uint64), n)
        case _:
            await ot.one_of_16(np.arange(n, dtype=np.uint64).astype(np.uint8) & np.uint8(15))


async def _timed(session: Session, work: Callable[[], Awaitable[Any]]) -> float:
    await session.check_public("start", 0)
    began = time.perf_counter()
    await work()
    await session.check_public("end", 0)
    return time.perf_counter() - began


async def _one_way(kind: str, session: Session, pair: Pair, n: int) -> float:
    if session.rank == 0:
        return await _timed(session, lambda: _send(kind, pair[0], n))
    return await _timed(session, lambda: _receive(kind, pair[1], n))


async def _both_ways(kind: str, session: Session, pair: Pair, n: int) -> float:
    async def both() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send, kind, pair[0], n // 2)
            nursery.start_soon(_receive, kind, pair[1], n // 2)

    return await _timed(session, both)


async def _measure(session: Session, w: int, kinds: list[str], n: int) -> None:
    pair = await start_pair(session, 1 - session.rank, w or 4, silently=not w)
    for kind in kinds:
        one, both = [], []
        await _one_way(kind, session, pair, 1 << 17)  # compiled, and its buffers touched
        before, cpu_before = session.transcript.bytes_sent, time.process_time_ns()
        for _ in range(RUNS):
            one.append(await _one_way(kind, session, pair, n))
        sent, cpu = session.transcript.bytes_sent - before, time.process_time_ns() - cpu_before
        spent = np.array([sent, cpu], dtype=np.uint64)
        theirs = (await session.exchange({1 - session.rank: [spent]}, {1 - session.rank: [2]}))[1 - session.rank][0]
        for _ in range(RUNS):
            both.append(await _both_ways(kind, session, pair, n))
        if session.rank == 0:
            rates = [n / statistics.median(times) / 1e6 for times in (one, both)]
            size, mine, other = (value / RUNS / n for value in (sent + int(theirs[0]), cpu, int(theirs[1])))
            print(
                f"w={w} {kind:10} {rates[0]:6.1f} M/s   both ways {rates[1]:6.1f} M/s   {size:6.2f} bytes"
                f"   processor {mine:5.1f} + {other:5.1f} ns",
                flush=True,
            )


async def _party(rank: int, port: Any, ws: list[int], kinds: list[str], n: int) -> None:
    if rank == 0:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port.send(listeners[0].socket.getsockname()[1])
        stream = await listeners[0].accept()
    else:
        stream = await trio.open_tcp_stream("127.0.0.1", port.recv())
    async with stream, open_session(rank, {1 - rank: StreamLink(stream)}, context=b"benchmark") as session:
        for w in ws:
            await _measure(session, w, kinds, n)


def _process(rank: int, *args: Any) -> None:
    trio.run(_party, rank, *args)


def main() -> None:
    """Run both parties and wait for them."""
    parser = argparse.ArgumentParser(description="Oblivious transfers a second between two processes over loopback.")
    parser.add_argument("--n", type=int, default=4_000_000)
    parser.add_argument("--w", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="depths of trees; 0: silent")
    parser.add_argument("--kinds", nargs="+", default=["random", "correlated", "one-of-16"])
    args = parser.parse_args()
    ends = multiprocessing.Pipe()
    running = [
        multiprocessing.get_context("spawn").Process(
            target=_process, args=(rank, ends[rank], args.w, args.kinds, args.n)
        )
        for rank in range(2)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()


if __name__ == "__main__":
    main()
