"""Jobs and their events in the node's store, and which of them a node forgets: proposals that came to nothing, when they
are old, or when there are too many.

What this node has signed stays until its contract is long expired: shown again, it would be signed a second time with
another key, which is evidence against this node.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable

from hansa.config.errors import HansaError
from hansa.node.jobs.events import Event
from hansa.node.jobs.record import JobRecord
from hansa.node.store import Store

MAX_EVENTS = 5000
KEPT_S = 30 * 24 * 3600
KEPT_PROPOSALS = 200
KEPT_BYTES = 16 << 20
LONG_EXPIRED_S = 24 * 3600
"""A contract whose time has been over for so long is no proposal any more; less may be a clock that is wrong."""
log = logging.getLogger(__name__)


class JobStore:
    """The tables ``jobs`` and ``job_events``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def save_job(self, record: JobRecord) -> None:
        """Write the record; it is on disk when this returns."""
        self._store.write(
            "INSERT INTO jobs VALUES (?, ?, ?) ON CONFLICT (job_id) DO UPDATE SET record = excluded.record",
            record.job_id,
            record.created,
            record.encode(),
        )

    def load_jobs(self) -> list[JobRecord]:
        """Every job this node knows, the oldest first. What this version cannot read stays, and is passed over."""
        records = []
        for job_id, body in self._store.rows("SELECT job_id, record FROM jobs ORDER BY created, rowid"):
            try:
                records.append(JobRecord.decode(bytes(body)))
            except (HansaError, ValueError, KeyError, TypeError) as error:
                log.warning("the job %s cannot be read by this version: %s", bytes(job_id).hex()[:16], error)
        return records

    def delete_job(self, job_id: bytes) -> None:
        """Forget a job and its events."""
        with self._store.transaction():
            self._store.write("DELETE FROM jobs WHERE job_id = ?", job_id)
            self._store.write("DELETE FROM job_events WHERE job_id = ?", job_id)

    def append_event(self, job_id: bytes, event: Event) -> None:
        """Keep one event; the oldest give way beyond ``MAX_EVENTS`` a job."""
        with self._store.transaction():
            self._store.write("INSERT INTO job_events (job_id, event) VALUES (?, ?)", job_id, json.dumps(event))
            self._store.write(
                "DELETE FROM job_events WHERE job_id = ? AND id <= "
                "(SELECT id FROM job_events WHERE job_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                job_id,
                job_id,
                MAX_EVENTS,
            )

    def events(self, job_id: bytes) -> list[Event]:
        """The events kept of a job, the oldest first."""
        rows = self._store.rows("SELECT event FROM job_events WHERE job_id = ? ORDER BY id", job_id)
        return [json.loads(event) for (event,) in rows]


def forgettable(records: Iterable[JobRecord], now: int) -> list[bytes]:
    """The ids of those to forget; ``records`` from the oldest to the newest, ``now`` in unix seconds."""
    forget, kept, size = [], 0, 0
    for record in reversed([r for r in records if r.state.final and not r.certificate]):
        kept, size = kept + 1, size + len(record.contract_bytes)
        over = long_expired(record.contract.expires, now)
        many = kept > KEPT_PROPOSALS or size > KEPT_BYTES
        if (over and now - record.finished > KEPT_S) or (many and (over or not record.job_secret)):
            forget.append(record.job_id)
    return forget


def long_expired(expires: int, now: int) -> bool:
    """Whether a contract's expiry is so long ago that it is not even looked at."""
    return now - expires > LONG_EXPIRED_S
