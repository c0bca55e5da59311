"""Three institutions with small tables, as real daemons: in one process, or in a process each."""

import csv
import random
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pytest
import trio

from hansa.config.settings import NodeSettings, Settings, default_toml
from hansa.node.admin.client import AdminClient
from hansa.node.daemon import Daemon
from hansa.node.errors import DaemonNotRunning, RelayedError
from hansa.node.identity import create_identity, load_identity

pytest_plugins = ["support.tee.fixtures"]

NAMES = ("bank", "bureau", "telecom")
FEATURES = {"bank": ("age", "income"), "bureau": ("debt", "late"), "telecom": ("calls", "roaming")}
COMMON = 300
MINUTES = 120.0
FINAL = {"done", "failed", "refused", "expired", "cancelled"}


def make_job_text(
    name="credit", *, expires="1h", seed="00" * 16, epochs=3, label="default", extra="", outputs="", lr=""
):
    parties = "".join(
        f'[[party]]\nname = "{party}"\ndataset = "clients"\n' + (f'label = "{label}"\n' if party == "bank" else "")
        for party in NAMES
    )
    return (
        f'name = "{name}"\npurpose = "predict default"\nalgorithm = "lr"\nengine = "replicated"\n'
        f'expires_in = "{expires}"\nseed = "{seed}"\n{extra}'
        f"[lr]\nepochs = {epochs}\nbatch_size = 64\nlearning_rate = 0.5\n{lr}\n[outputs]\n{outputs}\n{parties}"
    )


def write_tables(folder: Path, *, common=COMMON, seed=7):
    """One CSV a party, each with its own order and some clients of its own; the label depends on all parties."""
    rng = random.Random(seed)
    clients = [f"c{number:05d}" for number in range(common)]
    values = {client: {c: rng.gauss(0, 1) for cs in FEATURES.values() for c in cs} for client in clients}
    for party in NAMES:
        rows = [*clients, *(f"{party}-{number}" for number in range(40))]
        rng.shuffle(rows)
        with open(folder / f"{party}.csv", "w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["id", *FEATURES[party], *(["default"] if party == "bank" else [])])
            for client in rows:
                own = values.get(client) or {c: rng.gauss(0, 1) for c in FEATURES[party]}
                score = (
                    1.5 * own.get("age", 0) + sum(values[client][c] for c in values[client]) if client in values else 0
                )
                label = int(score + rng.gauss(0, 0.5) > 0)
                out.writerow(
                    [client, *(f"{own[c]:.6f}" for c in FEATURES[party]), *([label] if party == "bank" else [])]
                )


def edit_rows(path: Path, change):
    """Rewrite a table: ``change(rows)`` gets the list of rows, the header first."""
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    change(rows)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture(scope="session")
def job_text():
    """``job_text(name, epochs=..)``: a job file over the three tables."""
    return make_job_text


@pytest.fixture(scope="session")
def edit():
    """``edit(path, change)``: rewrite a table."""
    return edit_rows


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    write_tables(folder)
    return folder


class Daemons:
    """The daemons of a league in this process, by name."""

    def __init__(self, home, tables, settings):
        self.home, self.tables, self.settings = home, tables, settings
        self.daemons = {}
        self.scopes = {}

    async def start(self, name):
        home = self.home / name
        home.mkdir(exist_ok=True)
        identity = load_identity(home, None) if (home / "identity.key").exists() else create_identity(home)
        daemon = self.daemons[name] = Daemon(home, self.settings.get(name, Settings(node=NodeSettings(name))), identity)

        async def live(task_status=trio.TASK_STATUS_IGNORED):
            with trio.CancelScope() as self.scopes[name]:
                await daemon.run(task_status)

        await self.nursery.start(live)

    async def stop(self, name):
        self.scopes[name].cancel()
        with trio.fail_after(20):
            while (self.home / name / "daemon.json").exists():
                await trio.sleep(0.02)

    def call(self, party, method, /, **params):
        return self.daemons[party].admin.methods[method](**params)

    async def together(self):
        for newcomer in NAMES[1:]:
            code = (await self.call("bank", "peer.invite"))["code"]
            await self.call(newcomer, "peer.join", code=code)
        await self.until_connected()

    async def until_connected(self):
        with trio.fail_after(MINUTES):
            while not all(self._connected(name) for name in NAMES):
                await trio.sleep(0.05)

    def _connected(self, name):
        daemon = self.daemons[name]
        peers = daemon.net.book.all()
        return len(peers) == len(NAMES) - 1 and all(daemon.net.mesh.online(peer.identity) for peer in peers)

    async def add_data(self, name, file=None, dataset="clients", **more):
        path = str(file or self.tables / f"{name}.csv")
        label = {"label": "default"} if name == "bank" else {}
        return await self.call(name, "data.add", path=path, name=dataset, key=["id"], **label, **more)

    async def submit(self, text, by="bank"):
        return (await self.call(by, "job.submit", file_text=text, file_name="job.toml"))["job"]

    def job(self, name, job):
        try:
            return self.daemons[name].jobs.registry.find(job)
        except Exception:
            return None

    def states(self, job):
        return [found.record.state.value if (found := self.job(name, job)) else None for name in NAMES]

    async def settled(self, job, state, within=MINUTES):
        with trio.move_on_after(within):
            while self.states(job) != [state] * len(NAMES) and not set(self.states(job)) & FINAL - {state}:
                await trio.sleep(0.05)
            while self.states(job) != [state] * len(NAMES) and set(self.states(job)) - FINAL:
                await trio.sleep(0.05)
        shows = {name: found.record.error for name in NAMES if (found := self.job(name, job))}
        assert self.states(job) == [state] * len(NAMES), shows

    def common_error(self, job):
        errors = [self.job(name, job).record.error for name in NAMES]
        assert errors[0] is not None
        assert errors == [errors[0]] * len(NAMES)
        return errors[0]

    def worker(self, name, job):
        """The process id of the job's worker at a node."""
        return self.job(name, job).running.worker.pid


@pytest.fixture
def league_of(tmp_path, tables):
    """``async with league_of() as league``: three connected daemons that approve everything, with their tables."""

    @asynccontextmanager
    async def make(*, data=True, policy='default = "approve"\n', settings=MappingProxyType({})):
        league = Daemons(tmp_path, tables, settings)
        async with trio.open_nursery() as league.nursery:
            for name in NAMES:
                (tmp_path / name).mkdir()
                (tmp_path / name / "policy.toml").write_text(policy)
                await league.start(name)
            await league.together()
            if data:
                async with trio.open_nursery() as nursery:
                    for name in NAMES:
                        nursery.start_soon(league.add_data, name)
            yield league
            league.nursery.cancel_scope.cancel()

    return make


RUN = "import sys, pathlib; from hansa.node.daemon import main; main(pathlib.Path(sys.argv[1]), ready=lambda *_: None)"


class Processes:
    """A daemon process a party, driven through the admin socket as any client would."""

    def __init__(self, home):
        self.home = home
        self.running = {}

    def start(self, name):
        home = self.home / name
        if not home.exists():
            home.mkdir()
            create_identity(home)
            (home / "hansa.toml").write_text(default_toml(name))
            (home / "policy.toml").write_text('default = "approve"\n')
        with open(home / "daemon.log", "ab") as log:
            self.running[name] = subprocess.Popen([sys.executable, "-c", RUN, str(home)], stdout=log, stderr=log)
        self.until(partial(self._answers, name))

    def kill(self, name):
        self.running[name].kill()
        self.running.pop(name).wait()

    def call(self, party, method, /, **params):
        with AdminClient(self.home / party) as client:
            return client.call(method, **params)

    def until(self, condition, within=MINUTES):
        deadline = time.monotonic() + within
        while not (value := condition()):
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.1)
        return value

    def online(self):
        return all(
            len(peers := self.call(name, "peer.list")) == 2 and all(peer["online"] for peer in peers) for name in NAMES
        )

    def _answers(self, name):
        assert self.running[name].poll() is None, (self.home / name / "daemon.log").read_text()
        try:
            return self.call(name, "node.status")
        except DaemonNotRunning:
            return None

    def settled(self, job, state, names=NAMES):
        def same():
            try:
                shown = [self.call(name, "job.show", job=job) for name in names]
            except RelayedError:
                return None  # not every party has heard of it yet
            ended = {show["state"] for show in shown} & FINAL - {state}
            assert not ended, [(show["state"], show["error"]) for show in shown]
            return shown if all(show["state"] == state for show in shown) else None

        return self.until(same)


@pytest.fixture
def processes(tmp_path, tables):
    """Three daemon processes, met by invitation, each with its table."""

    @contextmanager
    def make():
        league = Processes(tmp_path)
        try:
            for name in NAMES:
                league.start(name)
            for newcomer in NAMES[1:]:
                league.call(newcomer, "peer.join", code=league.call("bank", "peer.invite")["code"])
            league.until(league.online)
            for name in NAMES:
                label = {"label": "default"} if name == "bank" else {}
                league.call(name, "data.add", path=str(tables / f"{name}.csv"), name="clients", key=["id"], **label)
            yield league
        finally:
            for name in list(league.running):
                league.kill(name)

    return make
