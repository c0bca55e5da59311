"""Preprocessing when the node is idle: it proposes to make the correlations that the last job used and the store lacks.

Only the proposer of that job proposes this, once for each job: a party that refuses, or has no room, is not asked again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import trio

from hansa.config.errors import HansaError
from hansa.config.vocabulary import PREPROCESSING
from hansa.node.correlations import store
from hansa.node.correlations.propose import preprocessing_contract
from hansa.protocols.wire.consent.contract import Contract

IDLE_S = 300
LOOK_S = 30.0
log = logging.getLogger(__name__)


class State(Protocol):
    """Where a job stands."""

    @property
    def final(self) -> bool:
        """It has ended here; only what outranks this end can still change it."""


class PastJob(Protocol):
    """What is read of a job's record."""

    @property
    def job_id(self) -> bytes:
        """The job's id."""

    @property
    def contract(self) -> Contract:
        """What its members signed."""

    @property
    def identities(self) -> list[bytes]:
        """All members, in rank order."""

    @property
    def proposer(self) -> bytes:
        """Who proposed it."""

    @property
    def created(self) -> int:
        """When this node first saw it, in unix seconds."""

    @property
    def finished(self) -> int:
        """When it ended, in unix seconds."""

    @property
    def state(self) -> State:
        """Where it stands."""

    @property
    def drawn(self) -> Mapping[str, int]:
        """How many correlations of each kind it used."""


class IdlePreprocessing:
    """The service that a daemon runs with ``correlations.when_idle``.

    ``home`` is where its stores lie, ``me`` its identity, ``names`` what it calls itself and its peers, ``online`` says which
    peers are connected, ``records`` gives its jobs, ``submit`` proposes a contract.
    """

    def __init__(
        self,
        *,
        home: Path,
        me: bytes,
        names: Callable[[], Mapping[bytes, str]],
        online: Callable[[bytes], bool],
        records: Callable[[], Sequence[PastJob]],
        submit: Callable[[Contract], Awaitable[object]],
        now: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        self._home, self._me, self._names, self._online = home, me, names, online
        self._records, self._submit, self._now = records, submit, now
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
        records = self._records()
        last = self._last(records)
        if last is None or self._busy(records) or not self._all_online(last):
            return
        held = store.contents(store.store_folder(self._home, last.identities)).amounts
        wanted = {kind: drawn - held[kind] for kind, drawn in last.drawn.items() if drawn > held[kind]}
        if wanted and self._tried != last.job_id:
            self._tried = last.job_id
            called = {member.identity: member.name for member in last.contract.members}
            names = {**called, **self._names()}
            parties = {identity: names[identity] for identity in last.identities}
            await self._submit(preprocessing_contract(parties, wanted, now=self._now()))

    def _last(self, records: Sequence[PastJob]) -> PastJob | None:
        """The last job that used correlations, if this node proposed it and has not proposed to make some since."""
        using = [record for record in records if record.drawn]
        last = max(using, key=lambda record: record.finished, default=None)
        if last is None or last.proposer != self._me:
            return None
        asked = any(
            record.contract.kind == PREPROCESSING
            and record.created >= last.finished
            and set(record.identities) == set(last.identities)
            for record in records
        )
        return None if asked else last

    def _busy(self, records: Sequence[PastJob]) -> bool:
        now = self._now()
        return any(not record.state.final or now - record.finished < IDLE_S for record in records)

    def _all_online(self, record: PastJob) -> bool:
        return all(identity == self._me or self._online(identity) for identity in record.identities)
