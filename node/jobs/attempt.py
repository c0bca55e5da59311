"""One attempt of one job at this node: its worker, what all parties say of it, and how it ends for all alike.

worker ──Finished──▶ JobDone to all ──everybody's JobDone──▶ done
   │
   └─Broke, death; a peer's Failed; a peer's daemon gone ──▶ Failed to all, collect, the common verdict
"""

from __future__ import annotations

import logging
import socket

import trio
from trio.socket import SocketType

from hansa.config.errors import HansaError
from hansa.node.errors import JobError
from hansa.node.jobs import failure
from hansa.node.jobs.context import JobContext
from hansa.node.jobs.failure import COLLECT_S, Agreement
from hansa.node.jobs.lifecycle import AllDone, CommonVerdict
from hansa.node.jobs.record import JobRecord
from hansa.node.jobs.start import start_of
from hansa.node.sealing import write_whole
from hansa.node.worker.links import route_token
from hansa.node.worker.messages import Attested, Broke, Finished, FromWorker, Opened, Stepped
from hansa.node.worker.process import WorkerProcess
from hansa.node.worker.verdict import FailureVerdict, Priority, own_failure
from hansa.protocols.wire import canonical
from hansa.protocols.wire.attestation.platforms import INSECURE_SIMULATED
from hansa.protocols.wire.channel.preamble import Preamble
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.messages import Failed, JobDone, ProgressNote
from hansa.protocols.wire.signing import tagged_hash

log = logging.getLogger(__name__)

DOWN_GRACE_S = 1.0  # a control connection may blink; a daemon that died takes longer than this to come back


class Attempt:
    """The attempt that ``record`` describes."""

    def __init__(self, context: JobContext, record: JobRecord) -> None:
        self.context = context
        self.record = record
        self.attempt = record.attempt
        self.scope = trio.CancelScope()  # to stop it at any time, also before it has begun
        self.agreement = Agreement()
        self.worker: WorkerProcess | None = None
        self._nursery: trio.Nursery | None = None
        self._ended = trio.Event()

    async def run(self) -> CommonVerdict | AllDone | None:
        """Run to the end; None if it was stopped by its ``scope`` before every party had its result."""
        context, record = self.context, self.record
        others = record.others(context.me)
        try:
            with self.scope:
                body = {"job": record.short, "attempt": self.attempt, "role": record.role(context.me)}
                context.audit.append("job-started", body)
                await context.share_head(others)
                return await self._execute(others)
        except Exception:  # the border of a job: whatever it was, the daemon and its other jobs go on
            log.exception("job %s", record.short)
            return await self._internal()
        return AllDone() if self._done_by_all else None

    async def _execute(self, others: list[bytes]) -> CommonVerdict | AllDone:
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._work)
            for identity in others:
                self.peer_down(identity)
            await self._ended.wait()
            if self.agreement.common is not None:
                await trio.sleep(COLLECT_S)
            self._nursery.cancel_scope.cancel()
        common = self.agreement.common
        return AllDone() if self._done_by_all or common is None else CommonVerdict(common)

    @property
    def _done_by_all(self) -> bool:
        """Every party has its result, and of the same rows."""
        record = self.record
        return record.done_by_all(self.attempt) and other_result(record, self.attempt, self.context.me) is None

    async def _internal(self) -> CommonVerdict:
        record, me = self.record, self.context.me
        error = JobError("the daemon failed to run the job", remedy=f"see `hansa job logs {record.short}` there")
        verdict = own_failure(error, me, record.name_of(me), step=record.step, job=record.short)
        await self.fail(verdict)
        return CommonVerdict(self.agreement.common or verdict)

    def peer_down(self, identity: bytes) -> None:
        """A peer's daemon may be gone: unless it is back within a moment, the attempt fails."""
        nursery = self._nursery
        if nursery is None or nursery.cancel_scope.cancel_called:  # over: a nursery that closes takes no more tasks
            return
        if not self.context.mesh.online(identity):
            nursery.start_soon(self._lost_unless_back, identity)

    async def _lost_unless_back(self, identity: bytes) -> None:
        await trio.sleep(DOWN_GRACE_S)
        if not self.context.mesh.online(identity):
            await self.lost(identity)

    async def lost(self, identity: bytes) -> None:
        """A party's node is out of this attempt."""
        record = self.record
        name = record.name_of(identity)
        await self.fail(failure.node_lost(identity, name, step=record.step, job=record.short))

    async def fail(self, verdict: FailureVerdict) -> None:
        """Our own verdict: everyone hears of it."""
        self.agreement.add(verdict)
        self._ended.set()
        await self.context.mesh.broadcast(self.record.others(self.context.me), failed_message(self.record, verdict))

    async def heard(self, verdict: FailureVerdict) -> None:
        """A peer's verdict: passed on where it changes the common one, for those that the peer cannot reach."""
        changed = self.agreement.add(verdict)
        self._ended.set()
        if changed:
            await self.context.mesh.broadcast(self.record.others(self.context.me), failed_message(self.record, verdict))

    async def check_done(self) -> None:
        """The attempt is done once every party has said so, and of the same rows."""
        record = self.record
        odd = other_result(record, self.attempt, self.context.me)
        if odd is not None:
            await self.fail(failure.other_result(odd, record.name_of(odd), job=record.short))
        elif record.done_by_all(self.attempt):
            self._ended.set()

    async def _work(self) -> None:
        context, record = self.context, self.record
        name = record.name_of(context.me)
        try:
            start = start_of(context, record)
        except HansaError as error:
            await self.fail(own_failure(error, context.me, name, step=record.step, job=record.short))
            return
        worker = self.worker = context.make_worker(start, context.folder(record.job_id) / "log")
        tokens = [
            route_token(record.job_id, self.attempt, context.me, identity) for identity in record.others(context.me)
        ]

        async def hand_over(sock: SocketType, preamble: Preamble) -> None:
            await worker.route(socket.socket(fileno=sock.detach()), preamble.raw)

        context.routes.update(dict.fromkeys(tokens, hand_over))
        try:
            how = await worker.run(self._on_worker)
        finally:
            for token in tokens:
                context.routes.pop(token, None)
        if how is not None and record.result_attempt != self.attempt:
            await self.fail(failure.worker_lost(context.me, name, how, step=record.step, job=record.short))

    async def _on_worker(self, message: FromWorker) -> None:
        match message:
            case Stepped():
                await self._on_step(message)
            case Opened():
                await self._on_opening(message)
            case Attested():
                self._on_attested(message)
            case Finished():
                await self._on_finished(message)
            case Broke():
                culprit = message.culprit or None
                await self.fail(FailureVerdict(Priority(message.priority), culprit, message.step, message.error))

    async def _on_step(self, stepped: Stepped) -> None:
        record = self.record
        new = stepped.step != record.step
        if new:
            record.step = stepped.step
            self.context.store.save_job(record)
        note = {"note": stepped.note} if stepped.note else {}  # for this node alone: a metric may be opened to it only
        self._publish("step" if new else "progress", **progress_facts(stepped), **note)
        progress = ProgressNote(
            job_id=record.job_id,
            attempt=self.attempt,
            step=stepped.step,
            done=stepped.done,
            total=stepped.total,
            rounds=stepped.rounds,
            bytes_sent=stepped.bytes_sent,
            elapsed_ms=stepped.elapsed_ms,
        )
        await self.context.mesh.broadcast(record.others(self.context.me), progress)

    async def _on_opening(self, opened: Opened) -> None:
        record = self.record
        to = [record.contract.parties[rank].name for rank in opened.to]
        body = {"job": record.short, "what": opened.what, "to": to, "elements": opened.elements}
        self.context.audit.append("opening", body)
        text = f"{opened.elements} numbers opened to {', '.join(to)}"
        self._publish("opening", step=record.step, what=opened.what, to=to, elements=opened.elements, text=text)

    def _on_attested(self, attested: Attested) -> None:
        record = self.record
        peer = record.name_of(attested.member)
        self.context.audit.append(
            "attestation", {"job": record.short, "peer": peer, "role": attested.role, **attested.verdict}
        )
        how = "accepted" if attested.verdict["verdict"] == "accept" else "refused"
        platform = str(attested.verdict["platform"])
        if platform == INSECURE_SIMULATED:
            platform = f"INSECURE: {peer} only pretends to have any"
        text = f"the hardware of {peer} is {how} as {attested.role}: {platform}"
        self._publish("log", step=record.step, text=text)

    async def _on_finished(self, finished: Finished) -> None:
        """Written down before anybody hears of it: whoever says done can give the result again after a crash."""
        context, record = self.context, self.record
        if finished.model:
            file = context.model_file(record.job_id)
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(file, finished.model)
        record.result, record.result_attempt = finished.result, self.attempt
        context.store.save_job(record)
        self._publish("log", step=record.step, text="this party's part is finished")
        await context.mesh.broadcast(record.others(context.me), done_message(record))
        await self.check_done()

    def _publish(self, kind: str, **facts: str | int | float | list[str] | None) -> None:
        self.context.events.publish(self.record.job_id, self.record.name_of(self.context.me), kind, **facts)


def progress_facts(progress: Stepped | ProgressNote) -> dict[str, str | int | float | list[str] | None]:
    """Progress as an event's facts."""
    return {
        "step": progress.step,
        "done": progress.done,
        "total": progress.total,
        "rounds": progress.rounds,
        "bytes_sent": progress.bytes_sent,
        "elapsed_s": progress.elapsed_ms / 1000,
    }


def failed_message(record: JobRecord, verdict: FailureVerdict) -> Failed:
    """A verdict on the record's attempt, for the peers."""
    return Failed(
        job_id=record.job_id,
        attempt=record.attempt,
        priority=int(verdict.priority),
        culprit=verdict.culprit,
        step=verdict.step,
        error=canonical.encode(verdict.error),
    )


def done_message(record: JobRecord) -> JobDone:
    """Our result stands: the digest is over what all parties must have alike."""
    return JobDone(record.job_id, record.result_attempt, done_digest(record.contract, record.result or {}))


def other_result(record: JobRecord, attempt: int, me: bytes) -> bytes | None:
    """A party whose result of this attempt is not of the same rows as ours, or a dealer with a result of its own.

    A dealer has no rows to compare with: it compares those of the parties.
    """
    contract = record.contract
    if record.result_attempt != attempt:
        return None
    known = {**record.done_by, me: done_digest(contract, record.result or {})}
    first = me if contract.party(me) else next((p.identity for p in contract.parties if p.identity in known), me)
    for member in contract.members:
        wanted = known[first] if contract.party(member.identity) else done_digest(contract, {})
        if known.get(member.identity, wanted) != wanted:
            return member.identity
    return None


def done_digest(contract: Contract, result: dict[str, object]) -> bytes:
    """Over the job and the number of rows it used."""
    rows = canonical.encode([result.get("rows", 0), result.get("test_rows", 0)])
    return tagged_hash("hansa-done", contract.job_id, rows)
