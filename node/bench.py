"""`hansa bench`: engines and links measured between real processes over real channels, on this machine.

Every party is a process of its own, connected to the others by Noise channels over loopback, or through the shaping
relay. A figure is the slowest party's median over several repetitions.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import trio

from hansa.config.errors import HansaError
from hansa.config.vocabulary import FRAC_BITS
from hansa.node.bench_ops import OPERATIONS, Size
from hansa.node.channel import Conn, HandshakeParams, Purpose, accept, dial, read_preamble
from hansa.node.errors import JobError, RelayedError
from hansa.node.relay import Shape, serve_relay
from hansa.protocols.mpc.kernels.__main__ import warm
from hansa.protocols.mpc.replicated.engine import Replicated
from hansa.protocols.mpc.session import open_session, sole_error
from hansa.protocols.wire.noise import KeyPair

PARTIES = 3
_PATIENCE_S = 900.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One measurement."""

    operation: str
    size: Size
    repeat: int
    suite: str
    shape: Shape | None


def measure(plan: Plan) -> dict[str, Any]:
    """Run one measurement; the facts as documented in docs/cli.md (bench)."""
    keys = [KeyPair.generate() for _ in range(PARTIES)]
    secrets, publics = [key.secret for key in keys], [key.public for key in keys]
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(PARTIES)]
    processes = [
        context.Process(target=_party, args=(rank, secrets[rank], publics, plan, pipes[rank][1]), daemon=True)
        for rank in range(PARTIES)
    ]
    for process in processes:
        process.start()
    try:
        found = trio.run(_conduct, [pipe[0] for pipe in pipes], plan.shape)
    finally:
        for process in processes:
            process.join(5)
            process.kill()
    return _summary(plan, found)


async def _conduct(pipes: list[Connection], shape: Shape | None) -> list[dict[str, Any]]:
    """Tell every party where the others listen (behind relays if shaped), and collect what they found."""
    ports = [await _hear(pipe) for pipe in pipes]
    async with trio.open_nursery() as nursery:
        if shape is not None:
            ports = [await nursery.start(partial(serve_relay, ("127.0.0.1", port), shape)) for port in ports]
        for pipe in pipes:
            pipe.send(ports)
        found = [await _hear(pipe) for pipe in pipes]
        nursery.cancel_scope.cancel()
    for result in found:
        if "error" in result:
            raise RelayedError.from_dict(result["error"])
    return found


async def _hear(pipe: Connection) -> Any:
    if not await trio.to_thread.run_sync(pipe.poll, _PATIENCE_S, abandon_on_cancel=True):
        raise JobError("a party of the benchmark does not answer", remedy="run it again with a smaller --n")
    return pipe.recv()


def _summary(plan: Plan, found: list[dict[str, Any]]) -> dict[str, Any]:
    slowest = max(found, key=lambda result: result["seconds"])
    shape = plan.shape
    return {
        "bench": plan.operation,
        "engine": Replicated.name,
        "parties": PARTIES,
        "n": plan.size.n,
        **({"d": plan.size.d} if plan.size.d else {}),
        **({"batch": plan.size.batch} if plan.size.batch else {}),
        "seconds": slowest["seconds"],
        "rounds": max(result["rounds"] for result in found),
        "bytes_sent_per_party": [result["bytes_sent"] for result in found],
        "preprocessing_seconds": 0.0,
        "setup_seconds": max(result["setup_seconds"] for result in found),
        "peak_rss_mb": max(result["peak_rss_mb"] for result in found),
        "suite": plan.suite,
        "latency_s": shape.latency_s if shape is not None else 0.0,
        "bytes_per_s": shape.bytes_per_s if shape is not None else None,
        **slowest["facts"],
    }


# --- one party's process ---------------------------------------------------------------------------------------------


def _party(rank: int, secret: bytes, publics: list[bytes], plan: Plan, pipe: Connection) -> None:
    try:
        pipe.send(trio.run(_serve, rank, secret, publics, plan, pipe))
    except Exception as error:
        pipe.send({"error": _told(sole_error(error))})


def _told(error: Exception) -> dict[str, object]:
    if isinstance(error, HansaError):
        return error.as_dict()
    return JobError(f"a party failed: {type(error).__name__}: {error}", remedy="report this as a bug").as_dict()


async def _serve(rank: int, secret: bytes, publics: list[bytes], plan: Plan, pipe: Connection) -> dict[str, Any]:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    pipe.send(listener.socket.getsockname()[1])
    ports = await _hear(pipe)
    links: dict[int, Conn] = {}

    def params(other: int) -> HandshakeParams:
        return HandshakeParams("KK", secret, (plan.suite,), remote_static=publics[other])

    async def answer() -> None:
        for _ in range(rank + 1, PARTIES):
            sock = (await listener.accept()).socket
            preamble = await read_preamble(sock)
            links[preamble.token[0]] = await accept(sock, preamble, params=params(preamble.token[0]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        for other in range(rank):
            links[other] = await dial(
                "127.0.0.1", ports[other], purpose=Purpose.WORKER, token=bytes([rank]), params=params(other)
            )
    async with open_session(rank, links, context=b"bench") as session:
        result = await _measure(await Replicated.start(session, FRAC_BITS), plan)
    for link in links.values():
        await link.close()
    return result


async def _measure(engine: Replicated, plan: Plan) -> dict[str, Any]:
    session = engine.session
    warm()
    build, _ = OPERATIONS[plan.operation]
    began = time.perf_counter()
    operation = await build(engine, plan.size)
    setup = time.perf_counter() - began
    seconds = []
    rounds = sent = 0
    for _ in range(plan.repeat + 1):  # the first is a warm-up
        await session.check_public("bench", plan.operation)
        rounds, sent = session.transcript.rounds, session.transcript.bytes_sent
        start = time.perf_counter()
        await operation.timed()
        seconds.append(time.perf_counter() - start)
        rounds, sent = session.transcript.rounds - rounds, session.transcript.bytes_sent - sent
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "seconds": statistics.median(seconds[1:]) / operation.times,
        "rounds": rounds // operation.times,
        "bytes_sent": sent // operation.times,
        "setup_seconds": setup,
        "facts": await operation.facts(),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1),
    }
