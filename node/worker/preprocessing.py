"""The worker's part in making correlations ahead: parcels, each sealed into the job's folder as soon as it is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio

from hansa.node.correlations.store import CorrelationStore, batch_of, forget_unpublished, preprocessing_folder
from hansa.node.worker.messages import Start
from hansa.node.worker.progress import Reporter
from hansa.protocols.mpc.additive.dealerless.preprocessing import make_parcels
from hansa.protocols.mpc.additive.stored.kinds import STORED_KINDS, ParcelId
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.wire.consent.contract import Contract


def store_of(start: Start, contract: Contract) -> CorrelationStore | None:
    """The store of the contract's parties; None where the engine takes nothing from one."""
    if not start.correlation_store:
        return None
    names = {party.identity: party.name for party in contract.parties}
    return CorrelationStore(Path(start.correlation_store), start.correlation_key, start.me, names)


async def preprocess(
    start: Start, contract: Contract, session: Session, store: CorrelationStore, reporter: Reporter
) -> dict[str, Any]:
    """Make what the contract names, in whole parcels; how many elements of each kind that are."""
    counts = {kind: stored.parcels(int(contract.params[kind])) for kind, stored in STORED_KINDS.items()}
    forget_unpublished(Path(start.folder))
    folder = preprocessing_folder(Path(start.folder), start.attempt)
    folder.mkdir(mode=0o700)
    batch = batch_of(contract.job_id, start.attempt)

    async def put(kind: str, place: int, data: bytes) -> None:
        await trio.to_thread.run_sync(store.put, folder, kind, ParcelId(batch, place), data)

    reporter.step("make", sum(counts.values()))
    await make_parcels(session, counts, put, reporter.advance)
    return {kind: count * STORED_KINDS[kind].elements for kind, count in counts.items() if count}
