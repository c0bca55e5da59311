"""The worker's part in making correlations ahead: parcels, each sealed into the job's folder as soon as it is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio

from hansa.node.correlations.store import CorrelationStore, batch_of, forget_making, making_folder
from hansa.node.worker.messages import Start
from hansa.node.worker.progress import Reporter
from hansa.protocols.mpc.additive.stored.kinds import STORED_KINDS, ParcelId
from hansa.protocols.mpc.additive.stored.preprocessing import make_parcels
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.wire.consent.contract import Contract


def shelf_of(start: Start, contract: Contract) -> CorrelationStore | None:
    """The shelf of the contract's parties; None where the engine takes nothing from one."""
    if not start.shelf:
        return None
    names = {party.identity: party.name for party in contract.parties}
    return CorrelationStore(Path(start.shelf), start.shelf_key, start.me, names)


async def make_ahead(
    start: Start, contract: Contract, session: Session, shelf: CorrelationStore, reporter: Reporter
) -> dict[str, Any]:
    """Make what the contract names, in whole parcels; how many elements of each ware that are."""
    counts = {ware: kind.parcels(int(contract.params[ware])) for ware, kind in STORED_KINDS.items()}
    forget_making(Path(start.folder))
    folder = making_folder(Path(start.folder), start.attempt)
    folder.mkdir(mode=0o700)
    batch = batch_of(contract.job_id, start.attempt)

    async def put(ware: str, place: int, data: bytes) -> None:
        await trio.to_thread.run_sync(shelf.put, folder, ware, ParcelId(batch, place), data)

    reporter.step("make", sum(counts.values()))
    await make_parcels(session, counts, put, reporter.advance)
    return {ware: count * STORED_KINDS[ware].elements for ware, count in counts.items() if count}
