"""Three nodes' jobs in one trio run: real state machines and stores, an in-memory mesh, scripted workers.

``league.kill(i)`` is kill -9 of a daemon: nothing of it goes on but its store; ``league.start(i)`` starts it again.
"""

import os
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio
from nacl.signing import SigningKey

from hansa.config.policy import Policy
from hansa.node.contracts.explain import openings_of
from hansa.node.jobs.context import JobContext
from hansa.node.jobs.registry import JobRegistry
from hansa.node.jobs.store import JobStore
from hansa.node.store import Store
from hansa.node.worker.messages import Finished, Stepped
from hansa.protocols.errors import HansaError, PeerLost
from hansa.protocols.wire import messages
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.statements import End, Equivocation, Offer, ResumeOffer
from hansa.protocols.wire.consent.terms import Align, Limits, Outputs, Party
from hansa.protocols.wire.messages import DatasetInfo, Failed, JobDone, ProgressNote

NAMES = ("bank", "bureau", "telecom")
LATENCY_S = 0.01


class FakeWorker:
    """Plays the league's script for its rank and attempt, then stays as a finished worker does."""

    def __init__(self, league, rank, start):
        self.league, self.rank, self.start = league, rank, start
        self.death = None

    async def run(self, heard):
        self.league.starts.append((self.rank, self.start.attempt, self.start.resume_epoch))
        self.league.workers[self.rank] = self
        self.died = trio.Event()
        with self.league.at_work(self.rank, self.start.attempt):
            try:
                return await self._play(heard)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(self.league.lingers.get(self.rank, 0))

    async def _play(self, heard):
        async with trio.open_nursery() as nursery:

            async def play():
                for action in self.league.script(self.rank, self.start.attempt):
                    if callable(action):
                        await action(self)
                    elif isinstance(action, (int, float)):
                        await trio.sleep(action)
                    else:
                        await heard(action)

            nursery.start_soon(play)
            await self.died.wait()
            nursery.cancel_scope.cancel()
        return self.death

    def die(self, how="killed by signal 9 (SIGKILL)"):
        self.death = how
        self.died.set()


class Mesh:
    """One node's view of the in-memory network; ordered, and everything crosses as bytes."""

    def __init__(self, league, rank):
        self.league, self.rank = league, rank

    def online(self, identity):
        other = self.league.rank_of(identity)
        return self.league.up[other] and (self.rank, other) not in self.league.cut

    async def send(self, identity, message):
        if not self.online(identity):
            raise PeerLost("offline", remedy="wait")
        other = self.league.rank_of(identity)
        self.league.sent.append((self.rank, other, messages.tag_of(message)))
        self.league.wires[self.rank, other].send_nowait(messages.encode(message))

    async def broadcast(self, identities, message):
        for identity in identities:
            if self.online(identity):
                await self.send(identity, message)


class Hardware:
    """What one node makes of the proofs of others: what the league says (a verdict, an error, or how one comes to it)."""

    def __init__(self, league, rank):
        self.league, self.rank = league, rank

    async def ask(self, identity, role, codes=None):
        self.league.asked.append((self.rank, self.league.rank_of(identity), str(role), tuple(codes)))
        verdict = self.league.verdicts[self.rank]
        if isinstance(verdict, Exception):
            raise verdict
        return await verdict() if callable(verdict) else verdict

    def enclaves(self):
        return []

    async def own_code(self):
        return self.league.codes.get(self.rank)


class Audit:
    def __init__(self):
        self.entries = []

    def append(self, kind, body):
        self.entries.append((kind, body))

    def head(self):
        return None


class Data:
    """Two number columns, a text one, a key and (at the bank) a label."""

    def __init__(self, rank):
        self.infos = {
            "clients": DatasetInfo(
                "clients",
                bytes([rank]) * 32,
                (("id", "text"), ("age", "number"), ("income", "number"), ("city", "text"), ("default", "number")),
                ("id",),
                "default" if rank == 0 else None,
            )
        }

    def info(self, name, schema_digest):
        return self.infos.get(name)

    def table_spec(self, name, use):
        return {"path": "/nowhere", "columns": list(use.columns)}


class League:
    def __init__(self, folder):
        self.signing_keys = [bytes([rank + 1]) * 32 for rank in range(3)]
        self.identities = [bytes(SigningKey(key).verify_key) for key in self.signing_keys]
        self.homes = [folder / name for name in NAMES]
        for home in self.homes:
            home.mkdir()
        self.stores = [Store(home) for home in self.homes]
        self.up = [False] * 3
        self.cut = set()
        self.sent, self.starts, self.workers, self.working = [], [], {}, []
        self.lingers = {}  # by rank, the seconds that a worker takes to end
        self.policies = [Policy("approve")] * 3
        self.data = [Data(rank) for rank in range(3)]
        self.audits = [Audit() for _ in range(3)]
        self.jobs = [None] * 3
        self.scopes = [None] * 3
        self.wires = {}
        self.clock = 1_800_000_000
        self.scripts = {}
        self.max_jobs = 4
        self.refused = []
        self.asked, self.verdicts, self.codes = [], {}, {}

    async def after(self, rank, message):
        """Comes in the same tick in which a node has handled a message; tests put their own here."""

    @contextmanager
    def at_work(self, rank, attempt):
        """``working`` are the workers that run now, as (rank, attempt)."""
        self.working.append((rank, attempt))
        try:
            yield
        finally:
            self.working.remove((rank, attempt))

    def rank_of(self, identity):
        return self.identities.index(identity)

    def script(self, rank, attempt):
        return self.scripts.get((rank, attempt), self.honest())

    def honest(self, rows=10):
        return [
            Stepped("align", 0, 1, 1, 100, 10),
            0.5,
            Stepped("train", 0, 4, 2, 200, 20),
            0.5,
            Stepped("train", 2, 4, 3, 300, 30),
            0.5,
            Finished({"rows": rows, "test_rows": 2}, b"sealed model"),
        ]

    def now(self):
        return self.clock + int(trio.current_time() - self.began)

    def context(self, rank):
        others = {identity: NAMES[i] for i, identity in enumerate(self.identities) if i != rank}
        return JobContext(
            me=self.identities[rank],
            name=NAMES[rank],
            signing_key=self.signing_keys[rank],
            sealing_key=lambda about: b"k" * 32,
            home=self.homes[rank],
            mesh=Mesh(self, rank),
            audit=self.audits[rank],
            store=JobStore(self.stores[rank]),
            data=self.data[rank],
            policy=lambda: self.policies[rank],
            peer_names=lambda: others,
            addresses=lambda identity: ["127.0.0.1:1"],
            suites=("AESGCM_SHA256",),
            max_jobs=self.max_jobs,
            max_rows=1000,
            routes={},
            hardware=Hardware(self, rank),
            tee=dict,
            now=self.now,
            make_worker=lambda start, log: FakeWorker(self, rank, start),
        )

    async def start(self, rank):
        self.jobs[rank] = JobRegistry(self.context(rank))
        started = trio.Event()

        async def live(task_status=trio.TASK_STATUS_IGNORED):
            with trio.CancelScope() as self.scopes[rank]:
                async with trio.open_nursery() as nursery:
                    await nursery.start(self.jobs[rank].serve)
                    for other in range(3):
                        send, receive = trio.open_memory_channel(1000)
                        self.wires[other, rank] = send
                        nursery.start_soon(self._deliver, other, rank, receive)
                    started.set()
                    await trio.sleep_forever()

        self.nursery.start_soon(live)
        await started.wait()
        self.up[rank] = True
        for other in range(3):
            if other != rank and self.up[other] and (rank, other) not in self.cut:
                await self.meet(rank, other)

    async def meet(self, one, other):
        await self.jobs[one].peer_up(self.identities[other])
        await self.jobs[other].peer_up(self.identities[one])

    async def kill(self, rank):
        self.up[rank] = False
        self.scopes[rank].cancel()
        for other in range(3):
            if other != rank and self.up[other]:
                await self.jobs[other].peer_down(self.identities[rank])

    async def part(self, one, other):
        self.cut |= {(one, other), (other, one)}
        await self.jobs[one].peer_down(self.identities[other])
        await self.jobs[other].peer_down(self.identities[one])

    async def heal(self):
        pairs = {tuple(sorted(pair)) for pair in self.cut}
        self.cut.clear()
        for one, other in pairs:
            await self.meet(one, other)

    async def _deliver(self, frm, to, receive):
        jobs = self.jobs[to]
        handlers = {
            Offer: jobs.on_offer,
            End: jobs.on_end,
            Equivocation: jobs.on_equivocation,
            ResumeOffer: jobs.on_resume_offer,
            ProgressNote: jobs.on_progress,
            Failed: jobs.on_failed,
            JobDone: jobs.on_done,
        }
        async for data in receive:
            await trio.sleep(LATENCY_S)
            message = messages.decode_untrusted(data)
            try:
                await handlers[type(message)](self.identities[frm], message)
            except HansaError as error:
                self.refused.append(error)
            await self.after(to, message)

    def contract(self, **changes):
        parties = tuple(
            Party(
                self.identities[rank],
                NAMES[rank],
                "clients",
                bytes([rank]) * 32,
                ("age", "income"),
                "default" if rank == 0 else None,
            )
            for rank in range(3)
        )
        outputs = Outputs("label-owner", "owner", "all")
        fields = {
            "version": 1,
            "kind": "train",
            "name": "credit",
            "purpose": "predict default",
            "parties": parties,
            "align": Align("trim"),
            "algorithm": "lr",
            "params": {"epochs": 2, "batch_size": 64, "learning_rate": 0.5, "l2": 0.0},
            "test_fraction": 0.2,
            "seed": bytes(16),
            "frac_bits": 18,
            "engine": "replicated",
            "outputs": outputs,
            "model": None,
            "openings": openings_of("train", "lr", outputs, parties, {}),
            "limits": Limits(1000),
            "created": self.now(),
            "expires": self.now() + 3600,
            "nonce": os.urandom(16),
        } | changes
        return Contract(**fields)

    def record(self, rank, job_id):
        job = self.jobs[rank].get(job_id)
        return None if job is None else job.record

    def states(self, job_id):
        return [r.state.value if (r := self.record(rank, job_id)) else None for rank in range(3)]

    def errors(self, job_id):
        return [r.error if (r := self.record(rank, job_id)) else None for rank in range(3)]

    async def until(self, condition, seconds=120):
        """Let time pass (the clock jumps) until the condition holds."""
        with trio.move_on_after(seconds):
            while not condition():
                await trio.sleep(0.05)
        assert condition()

    async def settled(self, job_id, state):
        await self.until(lambda: self.states(job_id) == [state] * 3)


@pytest.fixture
def league_of(tmp_path):
    """``async with league_of() as league``: three nodes, up and connected."""

    @asynccontextmanager
    async def make(**settings):
        league = League(tmp_path)
        for name, value in settings.items():
            setattr(league, name, value)
        league.began = trio.current_time()
        async with trio.open_nursery() as league.nursery:
            for rank in range(3):
                await league.start(rank)
            yield league
            league.nursery.cancel_scope.cancel()
        for store in league.stores:
            store.close()

    return make
