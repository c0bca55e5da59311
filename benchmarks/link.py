"""Two real processes, one encrypted channel over loopback: round trip of 1 KiB, and bulk.

python benchmarks/link.py [--json] [--mebibytes 256]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
from multiprocessing.connection import Connection as Pipe
from time import perf_counter

import trio

from hansa.node.net.connection import Connection, HandshakeParams, Purpose, accept, dial, read_preamble
from hansa.protocols.wire.noise import KeyPair

ROUND_TRIPS = 2000
REPEATS = 5


def params(secret: bytes, remote: bytes, suite: str) -> HandshakeParams:
    return HandshakeParams("KK", secret, (suite,), remote_static=remote)


async def echo(secret: bytes, remote: bytes, suite: str, ready: Pipe) -> None:
    """The far side: answer small messages with themselves, large ones with one byte."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    ready.send(listener.socket.getsockname()[1])
    sock = (await listener.accept()).socket
    conn = await accept(sock, await read_preamble(sock), params=params(secret, remote, suite))
    while len(message := await conn.receive()) > 1:
        await conn.send(message if len(message) <= 4096 else b".")
    await conn.close()


def run_echo(secret: bytes, remote: bytes, suite: str, ready: Pipe) -> None:
    trio.run(echo, secret, remote, suite, ready)


async def measure(conn: Connection, mebibytes: int) -> dict[str, float]:
    small, trips = os.urandom(1024), []
    for _ in range(ROUND_TRIPS):
        start = perf_counter()
        await conn.send(small)
        await conn.receive()
        trips.append(perf_counter() - start)
    large, rates = os.urandom(mebibytes << 20), []
    for _ in range(REPEATS):
        start = perf_counter()
        await conn.send(large)
        await conn.receive()
        rates.append(len(large) / (perf_counter() - start) / 1e9)
    await conn.send(b".")
    return {"round_trip_ms": statistics.median(trips) * 1e3, "bulk_gb_per_s": statistics.median(rates)}


def bench(suite: str, mebibytes: int) -> dict[str, float]:
    here, there = KeyPair.generate(), KeyPair.generate()
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=run_echo, args=(there.secret, here.public, suite, theirs)
    )
    process.start()

    async def client() -> dict[str, float]:
        port = await trio.to_thread.run_sync(ours.recv)
        conn = await dial(
            "127.0.0.1", port, purpose=Purpose.WORKER, token=b"", params=params(here.secret, there.public, suite)
        )
        return await measure(conn, mebibytes)

    try:
        return trio.run(client)
    finally:
        process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--mebibytes", type=int, default=256)
    options = parser.parse_args()
    for suite in ("AESGCM_SHA256", "ChaChaPoly_BLAKE2b"):
        result = bench(suite, options.mebibytes)
        if options.json:
            print(json.dumps({"bench": "link", "suite": suite, **result}))
        else:
            print(
                f"{suite:20} 1 KiB round trip {result['round_trip_ms']:.3f} ms   bulk {result['bulk_gb_per_s']:.2f} GB/s"
            )


if __name__ == "__main__":
    main()
