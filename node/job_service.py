"""The jobs of a daemon, put together: what they need of it, and what they add to its methods and status."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hansa.config.errors import ConfigError
from hansa.config.policy import Policy, load_policy
from hansa.node.admin.methods.correlations import CorrelationMethods
from hansa.node.admin.methods.data import DataMethods
from hansa.node.admin.methods.jobs import JobMethods
from hansa.node.admin.methods.models import ModelMethods
from hansa.node.contracts.proposals import Proposals
from hansa.node.correlations.idle import IdlePreprocessing
from hansa.node.data.catalog import Catalog
from hansa.node.jobs.context import JobContext
from hansa.node.jobs.registry import JobRegistry
from hansa.node.jobs.store import JobStore
from hansa.node.software import software_version
from hansa.node.tee.tee_settings import worker_settings
from hansa.protocols.wire.messages import End, Equivocation, Failed, JobDone, Offer, ProgressNote, ResumeOffer

if TYPE_CHECKING:
    from hansa.node.daemon import Daemon

log = logging.getLogger(__name__)


def add_jobs(daemon: Daemon) -> JobRegistry:
    """Give a daemon its datasets, jobs and models. Raises ConfigError when policy.toml cannot be used."""
    settings, identity, book, mesh = daemon.settings, daemon.identity, daemon.book, daemon.mesh
    policy_file = daemon.home / settings.policy.file
    load_policy(policy_file)

    def policy() -> Policy:
        """Read anew for each decision, so that an operator's edit counts at once."""
        try:
            return load_policy(policy_file)
        except ConfigError as error:
            log.warning("every job waits for approval: %s", error.message)
            return Policy("ask")

    def addresses(peer: bytes) -> list[str]:
        known = book.get(peer)
        return list(known.record.addresses) if known is not None else []

    catalog = Catalog(daemon.store, daemon.home, mesh, settings.limits.max_rows)
    context = JobContext(
        me=identity.public,
        name=settings.node.name,
        signing_key=identity.signing_key,
        sealing_key=identity.sealing_key,
        home=daemon.home.absolute(),
        mesh=mesh,
        audit=daemon.audit,
        store=JobStore(daemon.store),
        data=catalog,
        policy=policy,
        peer_names=lambda: {peer.identity: peer.name for peer in book.all()},
        addresses=addresses,
        suites=settings.channel.suites,
        max_jobs=settings.limits.max_jobs,
        max_rows=settings.limits.max_rows,
        routes=daemon.listener.worker_routes,
        hardware=daemon.attestations,
        tee=lambda: (
            worker_settings(daemon.home, settings.tee, software_version())
            | {"endorsed": [[code.platform, code.measurement] for code in daemon.endorsed()]}
        ),
        max_correlations_mb=settings.correlations.max_mb,
    )
    jobs = JobRegistry(context)
    mesh.handle(Offer, jobs.on_offer)
    mesh.handle(End, jobs.on_end)
    mesh.handle(Equivocation, jobs.on_evidence)
    mesh.handle(ResumeOffer, jobs.on_resume_offer)
    mesh.handle(ProgressNote, jobs.on_progress)
    mesh.handle(Failed, jobs.on_failed)
    mesh.handle(JobDone, jobs.on_done)
    daemon.attestations.on_judged(jobs.hardware_judged)
    daemon.attestations.relied_on = jobs.relied_on
    mesh.on_up(jobs.peer_up)
    mesh.on_down(jobs.peer_down)
    proposals = Proposals(
        me=context.me,
        name=context.name,
        catalog=catalog,
        mesh=mesh,
        peer_names=context.peer_names,
        hardware=context.hardware,
        busy=jobs.relying_on,
        max_rows=context.max_rows,
    )
    methods = JobMethods(jobs, proposals)
    daemon.admin.methods |= methods.methods()
    daemon.admin.methods |= DataMethods(catalog).methods()
    daemon.admin.methods |= ModelMethods(jobs, proposals).methods()
    daemon.admin.methods |= CorrelationMethods(jobs, book).methods()
    daemon.status_of_jobs = lambda: methods.status() | {"datasets": len(catalog.all())}
    daemon.services.append(jobs.serve)
    if settings.correlations.when_idle:
        idle = IdlePreprocessing(
            home=context.home,
            me=context.me,
            names=lambda: {**context.peer_names(), context.me: context.name},
            online=mesh.online,
            records=lambda: [job.record for job in jobs.all()],
            submit=jobs.submit,
            now=context.now,
        )
        daemon.services.append(idle.serve)
    return jobs
