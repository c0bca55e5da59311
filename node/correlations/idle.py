"""Making correlations when nothing else is to be done: as many as the last job used and the store has no more.

Of the parties, only the node that proposed that job proposes to make them, and once a job: who refuses, or has no room, is not
asked again.
"""

from __future__ import annotations

import logging

import trio

from hansa.config.errors import HansaError
from hansa.config.vocabulary import PREPROCESSING
from hansa.node.correlations import store
from hansa.node.correlations.propose import CorrelationMethods, drawn_by
from hansa.node.jobs.context import JobContext
from hansa.node.jobs.record import JobRecord
from hansa.node.jobs.registry import JobRegistry

IDLE_S = 300
LOOK_S = 30.0
log = logging.getLogger(__name__)


class IdlePreprocessing:
    """The service that a daemon runs with ``correlations.when_idle``."""

    def __init__(self, jobs: JobRegistry, context: JobContext, making: CorrelationMethods) -> None:
        self._jobs, self._context, self._making = jobs, context, making
        self._tried = b""

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look every now and then, until cancelled."""
        task_status.started()
        while True:
            await trio.sleep(LOOK_S)
            try:
                await self.look()
            except HansaError as error:
                log.info("no correlations were made ahead: %s", error.message)

    async def look(self) -> None:
        """Propose to make some if now is the time. Raises UsageError where this node cannot."""
        records = [job.record for job in self._jobs.all()]
        last = self._last(records)
        if last is None or self._busy(records) or not self._online(last):
            return
        held = store.contents(store.store_folder(self._context.home, last.identities)).amounts
        wanted = {kind: drawn - held[kind] for kind, drawn in drawn_by(last).items() if drawn > held[kind]}
        if wanted and self._tried != last.job_id:
            self._tried = last.job_id
            called = {member.identity: member.name for member in last.contract.members}
            names = {**called, **self._context.peer_names(), self._context.me: self._context.name}
            await self._making.propose({identity: names[identity] for identity in last.identities}, wanted)

    def _last(self, records: list[JobRecord]) -> JobRecord | None:
        """The last job that used correlations, if this node proposed it and has not proposed to make some since."""
        using = [record for record in records if drawn_by(record)]
        last = max(using, key=lambda record: record.finished, default=None)
        if last is None or last.proposer != self._context.me:
            return None
        asked = any(
            record.contract.kind == PREPROCESSING
            and record.created >= last.finished
            and set(record.identities) == set(last.identities)
            for record in records
        )
        return None if asked else last

    def _busy(self, records: list[JobRecord]) -> bool:
        now = self._context.now()
        return any(not record.state.final or now - record.finished < IDLE_S for record in records)

    def _online(self, record: JobRecord) -> bool:
        return all(self._context.mesh.online(identity) for identity in record.others(self._context.me))
