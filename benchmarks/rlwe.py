"""Homomorphic products between two processes over loopback: `python benchmarks/rlwe.py [--triples N]`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from multiprocessing.connection import Connection

import numpy as np
import trio

from hansa.protocols.mpc.rlwe.linear import MatrixEvaluator, MatrixOwner
from hansa.protocols.mpc.rlwe.products import ProductEvaluator, ProductOwner
from hansa.protocols.mpc.session.memory import StreamLink
from hansa.protocols.mpc.session.session import Session, open_session

ROWS, COLUMNS, REPEAT = 1024, 50, 10


def random(*shape: int) -> np.ndarray:
    return np.frombuffer(os.urandom(8 * int(np.prod(shape))), dtype=np.uint64).reshape(shape)


async def measure(session: Session, triples: int) -> None:
    owner = session.rank == 0
    x = random(ROWS, COLUMNS)
    matrix = await (MatrixOwner if owner else MatrixEvaluator).start(session, 1 - session.rank)
    for name, shape in (("X w", (ROWS, COLUMNS)), ("X^T r", (COLUMNS, ROWS))):
        for label, count in (("first", 1), ("each", REPEAT)):
            sent, start = session.transcript.bytes_sent, time.perf_counter()
            for _ in range(count):
                if isinstance(matrix, MatrixOwner):
                    await matrix.multiply(name, x if name == "X w" else np.ascontiguousarray(x.T))
                else:
                    await matrix.multiply(name, shape, random(shape[1]))
            report(session, f"{name} {label}", (time.perf_counter() - start) / count, sent, count)
    ends = ProductOwner(session, 1) if owner else ProductEvaluator(session, 0)
    for bits, n in ((64, triples), (22, 6 * 1024)):
        left, right = random(n) >> np.uint64(65 - bits), random(n) >> np.uint64(65 - bits)
        await ends.cross(left[: n // 8], right[: n // 8], bits)
        sent, start = session.transcript.bytes_sent, time.perf_counter()
        await ends.cross(left, right, bits)
        report(session, f"{n} products of {bits} bits", time.perf_counter() - start, sent, 1)


def report(session: Session, what: str, seconds: float, before: int, count: int) -> None:
    sent = (session.transcript.bytes_sent - before) // count
    print(f"party {session.rank}  {what:32} {1000 * seconds:9.2f} ms  {sent:12,} bytes sent", flush=True)


def party(rank: int, pipe: Connection, triples: int) -> None:
    async def main() -> None:
        if rank == 0:
            listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
            pipe.send(listener.socket.getsockname()[1])
            stream = await listener.accept()
        else:
            stream = await trio.open_tcp_stream("127.0.0.1", pipe.recv())
        async with open_session(rank, {1 - rank: StreamLink(stream)}, context=b"bench") as session:
            await measure(session, triples)

    trio.run(main)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triples", type=int, default=1_000_000)
    arguments = parser.parse_args()
    ends = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=party, args=(rank, ends[rank], arguments.triples)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
