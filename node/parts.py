"""The parts of a node, each built from those before it:

Node     who it is, and what it remembers
Net      one port, and its peers
Tee      what it proves of itself, and what it accepts of others
Jobs     its data, what it agrees to and runs
admin    what its own people ask of it
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from hansa.config.errors import ConfigError
from hansa.config.policy import Policy, load_policy
from hansa.config.settings import Settings
from hansa.node.admin.methods.audit import AuditMethods
from hansa.node.admin.methods.correlations import CorrelationMethods
from hansa.node.admin.methods.data import DataMethods
from hansa.node.admin.methods.jobs import JobMethods
from hansa.node.admin.methods.models import ModelMethods
from hansa.node.admin.methods.node import NodeMethods
from hansa.node.admin.methods.peers import PeerMethods
from hansa.node.admin.methods.tee import TeeMethods
from hansa.node.admin.server import AdminServer
from hansa.node.audit import Audit
from hansa.node.contracts.proposals import Proposals
from hansa.node.correlations.idle import IdlePreprocessing
from hansa.node.data.catalog import Catalog
from hansa.node.identity import Identity
from hansa.node.jobs.context import JobContext
from hansa.node.jobs.registry import JobRegistry
from hansa.node.jobs.store import JobStore
from hansa.node.net.connection import Purpose
from hansa.node.net.discovery import Discovery
from hansa.node.net.doctor import Doctor
from hansa.node.net.gossip import Gossip
from hansa.node.net.invites import Invites
from hansa.node.net.listener import Listener
from hansa.node.net.mesh import Mesh
from hansa.node.net.peers import Peer, PeerBook
from hansa.node.own_record import OwnRecord
from hansa.node.store import Store
from hansa.node.tee.evidence.judge import Judge
from hansa.node.tee.evidence.prover import prover_from, worker_settings
from hansa.node.tee.keys.model_keys import ModelKeys
from hansa.node.tee.peers.attestations import Attestations
from hansa.node.tee.peers.cluster import Cluster
from hansa.node.tee.peers.epochs import SeenEpochs
from hansa.node.tee.peers.votes import Endorsements, VoteBook
from hansa.protocols.wire.attestation.statements.votes import Vote
from hansa.protocols.wire.consent.statements import End, Equivocation, Offer, ResumeOffer
from hansa.protocols.wire.messages import Failed, JobDone, ProgressNote
from hansa.protocols.wire.record import PeerRecord

log = logging.getLogger(__name__)

Service = Callable[..., Awaitable[None]]


class Node:
    """Who the node is, and what it remembers."""

    def __init__(self, home: Path, settings: Settings, identity: Identity) -> None:
        self.home, self.settings, self.identity = home, settings, identity
        self.me, self.name = identity.public, settings.node.name
        self.store = Store(home)
        self.audit = Audit(self.store, identity)


@dataclass(frozen=True)
class Net:
    """The one port and the peers; ``pinned`` is told of each new peer, in whatever way it was pinned."""

    own: OwnRecord
    book: PeerBook
    mesh: Mesh
    gossip: Gossip
    invites: Invites
    listener: Listener
    doctor: Doctor
    discovery: Discovery | None
    pinned: Callable[[Peer], None]


def build_net(node: Node) -> Net:
    """The listener hands connections to the mesh and the invitations, which both pin peers."""
    settings, identity, store = node.settings, node.identity, node.store
    suites = settings.channel.suites

    def pinned(peer: Peer) -> None:
        """On record, connected to, and introduced to the others."""
        node.audit.append("peer-pinned", {"peer": peer.name, "identity": peer.identity, "how": peer.how})
        mesh.watch_peer(peer.identity)
        gossip.spread()

    own = OwnRecord(store, identity, settings, port=lambda: listener.port)
    book = PeerBook(store, node.me, node.name)
    mesh = Mesh(identity, book, suites=suites, hello=own.hello)
    gossip = Gossip(
        mesh,
        book,
        own=own.record,
        accept_introductions=settings.peers.accept_introductions,
        pinned=pinned,
        outnumbered=own.outnumber,
    )
    invites = Invites(store, identity, book, suites=suites, record=own.record, pinned=pinned, learn=gossip.learn)
    listener = Listener({Purpose.CONTROL: mesh.accept, Purpose.MEET: invites.accept})
    return Net(
        own=own,
        book=book,
        mesh=mesh,
        gossip=gossip,
        invites=invites,
        listener=listener,
        doctor=Doctor(mesh, book, node.name),
        discovery=Discovery(settings.listen.host) if settings.discovery.zeroconf else None,
        pinned=pinned,
    )


@dataclass(frozen=True)
class Tee:
    """What this node proves of itself, what it accepts of others, and the enclaves that it shares keys with."""

    votes: VoteBook
    endorsements: Endorsements
    attestations: Attestations
    cluster: Cluster


def build_tee(node: Node, net: Net) -> Tee:
    """The attestations judge by the endorsements, which rest on the votes."""
    home, tee, mesh, book = node.home, node.settings.tee, net.mesh, net.book

    def peers() -> list[bytes]:
        return list(book.names())

    def on_record(vote: Vote) -> None:
        """Not the votes of introduced peers, which anybody among the peers can make up: no count here rests on them alone."""
        peer = book.get(vote.voter)
        if peer is None or not peer.introduced:
            voter = node.name if peer is None else peer.name
            codes = {"from": str(vote.code_from), "to": str(vote.code_to)}
            node.audit.append("vote", {"voter": voter, **codes, "until": vote.until})

    votes = VoteBook(
        home / "tee" / "votes.json",
        mesh,
        signing_key=node.identity.signing_key,
        me=node.me,
        peers=peers,
        record=on_record,
    )
    endorsements = Endorsements(votes, book, tee, me=node.me, own_name=node.name)
    prover = prover_from(worker_settings(home, tee, net.own.version))
    attestations = Attestations(
        mesh,
        node.audit,
        me=node.me,
        prover=prover,
        model_keys=ModelKeys(home, prover, node.me),
        epochs=SeenEpochs(home / "tee" / "epochs.json"),
        judge=Judge(home / tee.policy, tee.accept, endorsements.codes),
        name_of=book.name_of,
        reattest_s=tee.reattest_s,
    )
    return Tee(votes, endorsements, attestations, Cluster(mesh, attestations, votes, node.audit, peers))


@dataclass(frozen=True)
class Jobs:
    """The node's data, the jobs that it knows, and the contracts that it proposes."""

    catalog: Catalog
    registry: JobRegistry
    proposals: Proposals
    services: tuple[Service, ...]


def build_jobs(node: Node, net: Net, tee: Tee) -> Jobs:
    """The jobs hear what peers and proofs say of them. Raises ConfigError when policy.toml cannot be used."""
    settings, book, mesh = node.settings, net.book, net.mesh
    catalog = Catalog(node.store, node.home, mesh, settings.limits.max_rows)
    registry = JobRegistry(_job_context(node, net, tee, catalog))
    _let_hear(registry, mesh, tee.attestations)
    proposals = Proposals(
        me=node.me,
        name=node.name,
        catalog=catalog,
        mesh=mesh,
        peer_names=book.names,
        hardware=tee.attestations,
        busy=registry.jobs_helped_by,
        max_rows=settings.limits.max_rows,
    )
    idle = IdlePreprocessing(
        home=node.home.absolute(),
        me=node.me,
        names=lambda: {**book.names(), node.me: node.name},
        online=mesh.online,
        records=lambda: [job.record for job in registry.all()],
        submit=registry.submit,
    )
    services = (registry.serve, *((idle.serve,) if settings.correlations.when_idle else ()))
    return Jobs(catalog, registry, proposals, services)


def _job_context(node: Node, net: Net, tee: Tee, catalog: Catalog) -> JobContext:
    settings, identity, book = node.settings, node.identity, net.book

    def worker_tee() -> dict[str, object]:
        endorsed = [[code.platform, code.measurement] for code in tee.endorsements.codes()]
        return worker_settings(node.home, settings.tee, net.own.version) | {"endorsed": endorsed}

    return JobContext(
        me=node.me,
        name=node.name,
        signing_key=identity.signing_key,
        sealing_key=identity.sealing_key,
        home=node.home.absolute(),
        mesh=net.mesh,
        audit=node.audit,
        store=JobStore(node.store),
        data=catalog,
        policy=_policy_of(node.home / settings.policy.file),
        peer_names=book.names,
        addresses=book.addresses,
        suites=settings.channel.suites,
        max_jobs=settings.limits.max_jobs,
        max_rows=settings.limits.max_rows,
        routes=net.listener.worker_routes,
        hardware=tee.attestations,
        tee=worker_tee,
        max_correlations_mb=settings.correlations.max_mb,
    )


def _policy_of(file: Path) -> Callable[[], Policy]:
    """The policy, read anew for each decision, so that an operator's edit counts at once."""

    def policy() -> Policy:
        try:
            return load_policy(file)
        except ConfigError as error:
            log.warning("every job waits for approval: %s", error.message)
            return Policy("ask")

    load_policy(file)
    return policy


def _let_hear(jobs: JobRegistry, mesh: Mesh, attestations: Attestations) -> None:
    mesh.handle(Offer, jobs.on_offer)
    mesh.handle(End, jobs.on_end)
    mesh.handle(Equivocation, jobs.on_equivocation)
    mesh.handle(ResumeOffer, jobs.on_resume_offer)
    mesh.handle(ProgressNote, jobs.on_progress)
    mesh.handle(Failed, jobs.on_failed)
    mesh.handle(JobDone, jobs.on_done)
    mesh.on_up(jobs.peer_up)
    mesh.on_down(jobs.peer_down)
    attestations.on_judged(jobs.hardware_judged)
    attestations.hardware_in_use = jobs.hardware_in_use


def build_admin(node: Node, net: Net, tee: Tee, jobs: Jobs, stop: Callable[[], None]) -> AdminServer:
    """The methods of the admin socket, each over the parts that it answers about."""
    hardware = TeeMethods(
        tee.attestations, tee.votes, net.mesh, net.book, own_name=node.name, voters=node.settings.tee.voters
    )
    peers = PeerMethods(
        net.book,
        net.mesh,
        net.invites,
        node.audit,
        pinned=net.pinned,
        hardware=hardware.of,
        configured=node.settings.peer,
    )
    of_jobs = JobMethods(jobs.registry, jobs.proposals)
    of_node = NodeMethods(
        net.own,
        net.listener,
        net.doctor,
        net.discovery,
        peers=peers,
        tee=hardware,
        jobs=of_jobs,
        catalog=jobs.catalog,
        stop=stop,
    )
    return AdminServer(
        of_node.methods()
        | peers.methods()
        | AuditMethods(node.audit, net.mesh, net.book).methods()
        | hardware.methods()
        | DataMethods(jobs.catalog).methods()
        | of_jobs.methods()
        | ModelMethods(jobs.registry, jobs.proposals).methods()
        | CorrelationMethods(jobs.registry, net.book).methods()
    )


def pin_configured(node: Node, net: Net) -> None:
    """Pin the peers of the settings; one list of them may serve every member."""
    for entry in node.settings.peer:
        identity, static = (bytes.fromhex(part) for part in entry.key.split("."))
        if identity == node.me:
            continue
        known = net.book.get(identity)
        record = PeerRecord.by_hand(identity, static, entry.name, entry.address)
        if known is None or known.record.static_key != static or _differs_unmet(known.record, record):
            net.pinned(net.book.pin(record, "config"))


def _differs_unmet(known: PeerRecord, typed: PeerRecord) -> bool:
    """Whether an operator corrected an entry whose peer has not told its own record yet."""
    return known.sequence == 0 and known.encode() != typed.encode()
