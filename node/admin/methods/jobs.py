"""The admin methods job.*, and what `status` shows of jobs."""

from __future__ import annotations

import builtins

from hansa.node.admin import views as job_views
from hansa.node.admin.server import Handler, Notify, text_param
from hansa.node.admin.views import Json
from hansa.node.contracts.proposals import Proposals
from hansa.node.jobs.job import Job
from hansa.node.jobs.registry import JobRegistry
from hansa.node.worker.process import read_log
from hansa.protocols.errors import ConsentError

KEPT_AT_A_GLANCE_S = 3600
MAX_GLANCE = 12


class JobMethods:
    """Answers about the jobs of one node."""

    def __init__(self, jobs: JobRegistry, proposals: Proposals) -> None:
        self._jobs, self._proposals = jobs, proposals

    def methods(self) -> dict[str, Handler]:
        """Name to handler."""
        return {
            "job.plan": self.plan,
            "job.submit": self.submit,
            "job.list": self.list,
            "job.show": self.show,
            "job.logs": self.logs,
            "job.approve": self.approve,
            "job.refuse": self.refuse,
            "job.cancel": self.cancel,
            "job.watch": self.watch,
        }

    def status(self) -> Json:
        """Jobs under way and lately ended, and what waits for this node's operator."""
        now = self._jobs.context.now()
        jobs = [job for job in self._jobs.all() if _recent(job, now)][-MAX_GLANCE:]
        return {
            "jobs": [job_views.at_a_glance(job, now) for job in jobs],
            "approvals": [job_views.approval(job, now) for job in self._jobs.all() if job.record.awaits_operator],
        }

    async def plan(self, file_text: str, file_name: str) -> Json:
        """The dry run of a job file."""
        return await self._proposals.plan(text_param("file_text", file_text), file_name)

    async def submit(self, file_text: str, file_name: str) -> Json:
        """Propose a job file's contract, signed by this node."""
        contract = await self._proposals.from_file(text_param("file_text", file_text), file_name)
        job = await self._jobs.submit(contract)
        return {"job": job.record.short}

    async def list(self) -> list[Json]:
        """Every job, the newest first."""
        return [job_views.summary(job) for job in reversed(self._jobs.all())]

    async def show(self, job: str) -> Json:
        """Everything about one job."""
        return job_views.full(self._jobs.find(text_param("job", job)))

    async def logs(self, job: str) -> builtins.list[Json]:
        """The job's events in words, then what its worker wrote."""
        found = self._jobs.find(text_param("job", job))
        record, context = found.record, found.context
        lines = [
            {"time": event["time"], "text": f"{event['party']}: {event.get('text') or event.get('step')}"}
            for event in context.events.history(record.job_id)
        ]
        written = read_log(context.folder(record.job_id) / "log").splitlines()
        return lines + [{"time": None, "text": line} for line in written]

    async def approve(self, job: str) -> Json:
        """Sign."""
        found = self._jobs.find(text_param("job", job))
        if not found.record.awaits_operator:
            raise ConsentError(
                f"the job {found.record.short} does not wait for this node's approval: it is {found.record.state.value}",
                remedy="see `hansa status` for pending approvals",
                job=found.record.short,
            )
        self._jobs.refuse_one_more()
        await self._jobs.refuse_unproven(found)
        await found.approve()
        found.record.decision = "approved by the operator"
        found.save()
        return job_views.summary(found)

    async def refuse(self, job: str, reason: str = "no reason given") -> Json:
        """Say no to all."""
        found = self._jobs.find(text_param("job", job))
        await found.refuse(text_param("reason", reason))
        return job_views.summary(found)

    async def cancel(self, job: str, reason: str = "no reason given") -> Json:
        """End the job at every party."""
        found = self._jobs.find(text_param("job", job))
        await found.cancel(text_param("reason", reason))
        return job_views.summary(found)

    async def watch(self, job: str, notify: Notify) -> Json:
        """Everything that happens in a job, from its beginning, until it ends."""
        found = self._jobs.find(text_param("job", job))
        record, events = found.record, found.context.events
        with events.watch(record.job_id) as happening:
            for event in [*events.history(record.job_id), *events.latest(record.job_id).values()]:
                await notify("job.event", event)
            while not record.state.final:
                await notify("job.event", await happening.receive())
            while happening.statistics().current_buffer_used:
                await notify("job.event", await happening.receive())
        return job_views.full(found)


def _recent(job: Job, now: int) -> bool:
    return not job.record.state.final or now - job.record.finished < KEPT_AT_A_GLANCE_S
