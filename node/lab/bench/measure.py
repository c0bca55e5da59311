"""Engines and links measured between real processes over real channels, on this machine.

Every party is a process of its own, connected to the others by Noise channels over loopback, or through the shaping
relay. A figure is the slowest party's median over several repetitions.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from functools import partial
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, Final

import trio

from hansa.config.errors import HansaError, hansa_error_in
from hansa.config.vocabulary import FRAC_BITS
from hansa.node.errors import JobError, RelayedError
from hansa.node.lab.bench import operators, training, two_party, vertical
from hansa.node.lab.bench.catalogue import Plan
from hansa.node.lab.bench.operation import Build
from hansa.node.lab.bench.stored_correlations import stocked
from hansa.node.lab.testnet.relay import serve_relay
from hansa.node.lab.testnet.shape import Shape
from hansa.node.net.connection import Connection, HandshakeParams, Purpose, accept, dial, read_preamble
from hansa.protocols.mpc.additive.dealer.dealer import serve
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.engines import open_engine
from hansa.protocols.mpc.kernels.__main__ import warm
from hansa.protocols.mpc.session.session import Session, open_session
from hansa.protocols.mpc.session.transcript import Phase
from hansa.protocols.wire.noise import KeyPair

_PATIENCE_S = 900.0


BUILDS: Final[dict[str, Build]] = {**two_party.BUILDS, **operators.BUILDS, **vertical.BUILDS, **training.BUILDS}


def measure(plan: Plan) -> dict[str, Any]:
    """Run one measurement; the facts as documented in docs/cli.md (bench)."""
    keys = [KeyPair.generate() for _ in range(plan.processes)]
    secrets, publics = [key.secret for key in keys], [key.public for key in keys]
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(plan.processes)]
    processes = [
        context.Process(target=_party, args=(rank, secrets[rank], publics, plan, pipes[rank][1]), daemon=True)
        for rank in range(plan.processes)
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


async def _conduct(pipes: list[Pipe], shape: Shape | None) -> list[dict[str, Any]]:
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


async def _hear(pipe: Pipe) -> Any:
    if not await trio.to_thread.run_sync(pipe.poll, _PATIENCE_S, abandon_on_cancel=True):
        raise JobError("a party of the benchmark does not answer", remedy="run it again with a smaller --n")
    return pipe.recv()


def _summary(plan: Plan, found: list[dict[str, Any]]) -> dict[str, Any]:
    computing, dealt = found[: plan.parties], found[plan.parties :]
    slowest = max(computing, key=lambda result: result["seconds"])
    shape, size = plan.shape, plan.size
    sent = max(result["online_bytes"] + result["preprocessing_bytes"] for result in computing)
    rounds = max(result["rounds"] for result in computing)
    tree = {"seconds_per_tree": slowest["seconds"], "bytes_per_tree_per_party": sent, "rounds_per_tree": rounds}
    return {
        "bench": plan.operation,
        "engine": plan.engine,
        "parties": plan.parties,
        "dealer": plan.dealer,
        **({"ot": computing[0]["ot"]} if computing[0]["ot"] else {}),
        "n": size.n,
        **{
            name: value
            for name in ("d", "batch", "kind", "w", "bins", "depth", "trees")
            if (value := getattr(size, name))
        },
        "seconds": slowest["seconds"],
        "rounds": rounds,
        "bytes_sent_per_party": sent,
        **(tree if size.trees else {}),
        "online_bytes_per_party": [result["online_bytes"] for result in computing],
        "preprocessing_seconds": slowest["preprocessing_seconds"],
        "preprocessing_bytes_per_party": [result["preprocessing_bytes"] for result in computing],
        **({"dealer_bytes": dealt[0]["preprocessing_bytes"]} if dealt else {}),
        **({"making_seconds": max(result["making_seconds"] for result in computing)} if plan.ahead else {}),
        "setup_seconds": max(result["setup_seconds"] for result in found),
        "processor_seconds_per_party": [result["processor_seconds"] for result in computing],
        "rest_rss_mb": max(result["rest_rss_mb"] for result in computing),
        "peak_rss_mb": max(result["peak_rss_mb"] for result in found),
        "suite": plan.suite,
        "latency_s": shape.latency_s if shape is not None else 0.0,
        "bytes_per_s": shape.bytes_per_s if shape is not None else None,
        **slowest["facts"],
        "max_abs_error": max(result["facts"].get("max_abs_error", 0.0) for result in computing),
    }


# --- one party's process ---------------------------------------------------------------------------------------------


def _party(rank: int, secret: bytes, publics: list[bytes], plan: Plan, pipe: Pipe) -> None:
    try:
        pipe.send(trio.run(_serve, rank, secret, publics, plan, pipe))
    except Exception as error:
        pipe.send({"error": _told(hansa_error_in(error) or error)})


def _told(error: Exception) -> dict[str, object]:
    if isinstance(error, HansaError):
        return error.as_dict()
    return JobError(f"a party failed: {type(error).__name__}: {error}", remedy="report this as a bug").as_dict()


async def _serve(rank: int, secret: bytes, publics: list[bytes], plan: Plan, pipe: Pipe) -> dict[str, Any]:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    pipe.send(listener.socket.getsockname()[1])
    ports = await _hear(pipe)
    links: dict[int, Connection] = {}

    def params(other: int) -> HandshakeParams:
        return HandshakeParams("KK", secret, (plan.suite,), remote_static=publics[other])

    async def answer() -> None:
        for _ in range(rank + 1, plan.processes):
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
        if rank == plan.parties:
            result = await _deal(session, plan)
        else:
            computing = range(3) if plan.engine == "replicated" and plan.parties > 3 else ()
            with tempfile.TemporaryDirectory() as folder:
                store, seconds = None, 0.0
                if plan.ahead:
                    store, seconds = await stocked(session, plan, BUILDS[plan.operation], Path(folder))
                async with open_engine(
                    session,
                    plan.engine,
                    parties=plan.parties,
                    computing=tuple(computing),
                    frac_bits=FRAC_BITS,
                    store=store,
                    ot=plan.ot,
                ) as engine:
                    result = await _measure(engine, plan) | {"making_seconds": seconds}
    for link in links.values():
        await link.close()
    return result


async def _deal(session: Session, plan: Plan) -> dict[str, Any]:
    """The dealer's part: bytes a repetition, set-up and checks included."""
    await serve(session)
    sent = _spent(session)[2] // (plan.repeat + 1)
    return {"preprocessing_bytes": sent, "setup_seconds": 0.0, "peak_rss_mb": _peak_mb()}


async def _measure(engine: Engine, plan: Plan) -> dict[str, Any]:
    session = engine.session
    warm()
    rest, began = _peak_mb(), time.perf_counter()
    operation = await BUILDS[plan.operation](engine, plan.size)
    setup = time.perf_counter() - began
    seconds, made, processor = [], [], []
    before = after = _spent(session)
    for _ in range(plan.repeat + 1):  # the first is a warm-up
        await session.check_public("bench", plan.operation)
        before = _spent(session)
        start, busy = time.perf_counter(), time.process_time()
        await operation.timed()
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
        after = _spent(session)
        made.append(after[3] - before[3])
    peak = _peak_mb()  # the check of the results takes memory of its own
    rounds, sent, prepared = (now - then for now, then in zip(after[:3], before[:3], strict=True))
    return {
        "seconds": statistics.median(seconds[1:]) / operation.times,
        "rounds": int(rounds) // operation.times,
        "online_bytes": int(sent) // operation.times,
        "preprocessing_seconds": statistics.median(made[1:]) / operation.times,
        "preprocessing_bytes": int(prepared) // operation.times,
        "setup_seconds": setup,
        "processor_seconds": statistics.median(processor[1:]) / operation.times,
        "facts": await operation.facts(),
        "ot": ", ".join(sorted(set(session.transcript.sources.values()))),
        "rest_rss_mb": rest,
        "peak_rss_mb": peak,
    }


def _spent(session: Session) -> tuple[int, int, int, float]:
    """So far: online rounds and bytes, bytes of preprocessing and its seconds."""
    rounds = online = prepared = 0
    seconds = 0.0
    for (_, kind), cost in session.transcript.steps.items():
        if kind is Phase.ONLINE:
            rounds, online = rounds + cost.rounds, online + cost.total_bytes
        else:
            prepared, seconds = prepared + cost.total_bytes, seconds + cost.seconds
    return rounds, online, prepared, seconds


def _peak_mb() -> float:
    """The most memory this process has had; Linux' ru_maxrss would also count the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return round(int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6, 1)
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
