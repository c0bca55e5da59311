"""Correlations made ahead for a benchmark: made, sealed and stored as for jobs, before what is measured."""

from __future__ import annotations

import time
from pathlib import Path

import trio

from hansa.config.vocabulary import FRAC_BITS
from hansa.node.correlations.store import CorrelationStore
from hansa.node.lab.bench.catalogue import Plan
from hansa.node.lab.bench.operation import Build
from hansa.protocols.mpc.additive.dealerless.preprocessing import make_parcels
from hansa.protocols.mpc.additive.stored.kinds import BATCH_BYTES, STORED_KINDS, ParcelId
from hansa.protocols.mpc.engines import open_engine
from hansa.protocols.mpc.session.session import Session

_BATCH = bytes(BATCH_BYTES)


async def stocked(session: Session, plan: Plan, build: Build, folder: Path) -> tuple[CorrelationStore, float]:
    """A store with what all repetitions draw, and the seconds that it took to make that for one.

    One run without a store says how much that is, set-up included.
    """
    async with open_engine(session, plan.engine, parties=plan.parties, computing=(), frac_bits=FRAC_BITS) as engine:
        operation = await build(engine, plan.size)
        await operation.timed()
    runs = plan.repeat + 2  # set-up and the check of the results draw some too
    counts = {kind: STORED_KINDS[kind].parcels(runs * elements) for kind, elements in session.transcript.drawn.items()}
    store = CorrelationStore(
        folder, bytes(32), bytes([session.rank]), {bytes([rank]): "" for rank in range(plan.parties)}
    )
    (folder / _BATCH.hex()).mkdir(parents=True)

    async def put(kind: str, place: int, data: bytes) -> None:
        await trio.to_thread.run_sync(store.put, folder / _BATCH.hex(), kind, ParcelId(_BATCH, place), data)

    began = time.perf_counter()
    await make_parcels(session, counts, put, lambda done: None)
    return store, (time.perf_counter() - began) / (runs * operation.times)
