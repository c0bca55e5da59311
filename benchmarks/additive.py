"""The additive engine: every party, and the dealer if there is one, a process of its own, real channels over loopback.

python benchmarks/additive.py [less mul sigmoid matmul lr] [--parties 2] [--no-dealer [--ahead]] [--repeat 5] [--n N] [--json]

Seconds are the slowest computing party's median, preprocessing included. Bytes of that kind are what the dealer sends, or
without one each party to all others. With ``--ahead`` what all runs need is made before and stored, as `hansa correlations
make` does: the seconds for that are told apart.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import trio

from hansa.config.vocabulary import FRAC_BITS
from hansa.node.bench_ops import OPERATIONS, Size
from hansa.node.channel import Conn, HandshakeParams, Purpose, accept, dial, read_preamble
from hansa.node.shelf import Shelf
from hansa.protocols.mpc.additive.dealer import serve
from hansa.protocols.mpc.additive.dealt import Dealt
from hansa.protocols.mpc.additive.direct import Direct
from hansa.protocols.mpc.additive.engine import Additive
from hansa.protocols.mpc.additive.making import make_parcels
from hansa.protocols.mpc.additive.masked import Masked
from hansa.protocols.mpc.additive.pairwise import Pairwise
from hansa.protocols.mpc.additive.wares import BATCH_BYTES, WARES, ParcelId
from hansa.protocols.mpc.kernels.__main__ import warm
from hansa.protocols.mpc.session import Session, open_session
from hansa.protocols.mpc.transcript import Kind, Transcript
from hansa.protocols.wire.noise import KeyPair

SUITE = "AESGCM_SHA256"


async def connect(rank: int, secret: bytes, publics: list[bytes], pipe: Connection) -> dict[int, Conn]:
    """Links to all other processes; the lower rank listens."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    pipe.send(listener.socket.getsockname()[1])
    ports = await trio.to_thread.run_sync(pipe.recv)
    links: dict[int, Conn] = {}

    def params(other: int) -> HandshakeParams:
        return HandshakeParams("KK", secret, (SUITE,), remote_static=publics[other])

    async def answer() -> None:
        for _ in range(rank + 1, len(publics)):
            sock = (await listener.accept()).socket
            preamble = await read_preamble(sock)
            links[preamble.token[0]] = await accept(sock, preamble, params=params(preamble.token[0]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        for other in range(rank):
            links[other] = await dial(
                "127.0.0.1", ports[other], purpose=Purpose.WORKER, token=bytes([rank]), params=params(other)
            )
    return links


def sent(transcript: Transcript, kind: Kind) -> int:
    return sum(cost.total_bytes for (_, k), cost in transcript.steps.items() if k is kind)


def rounds(transcript: Transcript, kind: Kind) -> int:
    return sum(cost.rounds for (_, k), cost in transcript.steps.items() if k is kind)


async def stocked(session: Session, operation: str, size: Size, runs: int, folder: Path) -> tuple[Shelf, float]:
    """A shelf with what so many runs draw, made by all; and the seconds that it took."""
    engine = await Direct.start(session, await Pairwise.start(session), FRAC_BITS)
    work = await OPERATIONS[operation][0](engine, size)
    await work.timed()
    drawn = dict(session.transcript.drawn)  # of setting up and one run: more than enough a run
    counts = {ware: WARES[ware].parcels(runs * elements) for ware, elements in drawn.items()}
    shelf = Shelf(folder, bytes(32), bytes([session.rank]), {bytes([rank]): "" for rank in range(session.n_parties)})
    (folder / bytes(BATCH_BYTES).hex()).mkdir(parents=True)

    async def put(ware: str, place: int, data: bytes) -> None:
        parcel = ParcelId(bytes(BATCH_BYTES), place)
        await trio.to_thread.run_sync(shelf.put, folder / parcel.batch.hex(), ware, parcel, data)

    began = time.perf_counter()
    await make_parcels(session, counts, put, lambda done: None)
    return shelf, time.perf_counter() - began


async def compute(
    session: Session, operation: str, size: Size, repeat: int, dealer: bool, ahead: Path | None
) -> dict[str, Any]:
    """A computing party: an untimed run, then ``repeat`` timed ones."""
    transcript = session.transcript
    shelf, making = None, 0.0
    if ahead is not None:
        shelf, making = await stocked(session, operation, size, repeat + 2, ahead)
    began = time.perf_counter()
    engine: Additive
    if dealer:
        source = await Dealt.start(session)
        engine = await Masked.start(session.among(range(session.n_parties - 1)), source, FRAC_BITS)
    else:
        engine = await Direct.start(session, await Pairwise.start(session, shelf), FRAC_BITS)
    work = await OPERATIONS[operation][0](engine, size)
    setup = time.perf_counter() - began
    seconds, waited, online, made = [], [], (0, 0), 0
    for _ in range(repeat + 1):
        await engine.session.check_public("bench", operation)
        online = sent(transcript, Kind.ONLINE), rounds(transcript, Kind.ONLINE)
        made = sent(transcript, Kind.PREPROCESSING)
        dealt = transcript.cost("correlations", Kind.PREPROCESSING).seconds
        start = time.perf_counter()
        await work.timed()
        seconds.append(time.perf_counter() - start)
        online = sent(transcript, Kind.ONLINE) - online[0], rounds(transcript, Kind.ONLINE) - online[1]
        made = sent(transcript, Kind.PREPROCESSING) - made
        waited.append(transcript.cost("correlations", Kind.PREPROCESSING).seconds - dealt)
    facts = await work.facts()
    await engine.correlations.finish()
    return {
        "seconds": statistics.median(seconds[1:]),
        "preprocessing_seconds": statistics.median(waited[1:]),
        "rounds": online[1],
        "bytes_sent": online[0],
        "preprocessing_bytes": made,
        "setup_seconds": setup,
        "making_seconds": making,
        **facts,
    }


async def deal(session: Session, repeat: int) -> dict[str, Any]:
    """The dealer: what it sent in all runs, divided by their number."""
    await serve(session)
    return {"dealer_bytes_a_run": sent(session.transcript, Kind.PREPROCESSING) // (repeat + 1)}


async def take_part(
    rank: int, secret: bytes, publics: list[bytes], pipe: Connection, options: argparse.Namespace, operation: str
) -> None:
    links = await connect(rank, secret, publics, pipe)
    default = OPERATIONS[operation][1]
    size = replace(default, n=options.n or default.n, batch=options.batch or default.batch)
    async with open_session(rank, links, context=b"bench") as session:
        if rank == options.parties:
            found = await deal(session, options.repeat)
        else:
            with tempfile.TemporaryDirectory() as folder:
                ahead = Path(folder) if options.ahead else None
                found = await compute(session, operation, size, options.repeat, options.dealer, ahead)
    for link in links.values():
        await link.close()
    found["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
    pipe.send(found)


def process(*arguments: Any) -> None:
    warm()
    trio.run(take_part, *arguments)


def measure(operation: str, options: argparse.Namespace) -> dict[str, Any]:
    """One operation, in fresh processes."""
    keys = [KeyPair.generate() for _ in range(options.parties + options.dealer)]
    publics = [key.public for key in keys]
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in keys]
    processes = [
        context.Process(target=process, args=(rank, key.secret, publics, pipes[rank][1], options, operation))
        for rank, key in enumerate(keys)
    ]
    for each in processes:
        each.start()
    for _, there in pipes:
        there.close()  # so that a process that ends early is noticed
    ports = [here.recv() for here, _ in pipes]
    for here, _ in pipes:
        here.send(ports)
    found = [here.recv() for here, _ in pipes]
    for each in processes:
        each.join()
    computing = found[: options.parties]
    slowest = max(computing, key=lambda party: party["seconds"])
    return {
        "bench": operation,
        "engine": "additive",
        "dealer": options.dealer,
        "parties": options.parties,
        **slowest,
        "dealer_bytes_a_run": found[-1].get("dealer_bytes_a_run", 0),
        "preprocessing_bytes_per_party": [party["preprocessing_bytes"] for party in computing],
        "preprocessing_seconds": max(party["preprocessing_seconds"] for party in computing),
        "bytes_sent_per_party": [party["bytes_sent"] for party in computing],
        "peak_rss_mb": [party["peak_rss_mb"] for party in found],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("operations", nargs="*", default=["less", "mul", "sigmoid", "matmul", "lr"])
    parser.add_argument("--parties", type=int, default=2)
    parser.add_argument("--no-dealer", dest="dealer", action="store_false")
    parser.add_argument("--ahead", action="store_true")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--n", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for operation in options.operations:
        found = measure(operation, options)
        if options.json:
            print(json.dumps(found))
            continue
        beside = [found["dealer_bytes_a_run"]] if options.dealer else found["preprocessing_bytes_per_party"]
        megabytes = "/".join(f"{count / 1e6:.3g}" for count in found["bytes_sent_per_party"])
        made = f", all made ahead in {found['making_seconds']:.2f} s" if options.ahead else ""
        print(
            f"{operation:8} {found['seconds']:.3f} s (preprocessing {found['preprocessing_seconds']:.3f}), "
            f"{found['rounds']} rounds, {megabytes} MB online, "
            f"{'/'.join(f'{count / 1e6:.3g}' for count in beside)} MB preprocessing, "
            f"error {found['max_abs_error']:.2g}, set-up {found['setup_seconds']:.2f} s, "
            f"peak {found['peak_rss_mb']} MB{made}"
        )


if __name__ == "__main__":
    main()
