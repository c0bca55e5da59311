"""`hansa demo`: institutions with a daemon each, two models, one table; and nothing left behind."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hansa.config import jobfile
from hansa.config.vocabulary import ENCLAVE
from hansa.node.admin.client import AdminClient
from hansa.node.data.schema import Use, table_spec
from hansa.node.errors import JobError
from hansa.node.lab.demo.job_text import job_text, trees_text
from hansa.node.lab.demo.reference import Reference, reference
from hansa.node.lab.demo.tables import DemoTables, breast_cancer, from_folder
from hansa.node.lab.testnet.local_nodes import ACCEPTS_SIMULATED, IS_SIMULATED, SIMULATED, LocalNode, introduce, running

POLICY = """\
default = "refuse"

[[rule]]
action = "approve"
kinds = ["train"]
algorithms = ["lr", "gbdt"]
weights = ["owner"]
scores = ["label-owner"]
"""
INSIDE = f"""
[[rule]]
action = "approve"
enclaves = ["{SIMULATED}"]

[[rule]]
action = "approve"
roles = ["enclave"]
"""
"""More for the road through an enclave: whose word this node takes, and at the enclave that it may be one."""

Tell = Callable[[str], None]
Watch = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """One model: the label's owner's view of its job, the reference, and costs by party (rounds, bytes_sent, seconds,
    steps)."""

    job: dict[str, Any]
    costs: dict[str, dict[str, Any]]
    reference: Reference

    @property
    def train_seconds(self) -> float:
        """Of the step ``train``, at the party that submitted."""
        steps = next(iter(self.costs.values()))["steps"]
        return float(steps.get("train", {}).get("seconds", 0.0))


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo shows: logistic regression and boosted trees on the same tables and rows."""

    tables: DemoTables
    regression: Trained
    trees: Trained
    total_seconds: float

    @property
    def learnt(self) -> tuple[str, ...]:
        """What the two jobs open, in words, each sentence once."""
        return tuple(dict.fromkeys((*self.regression.job["leakage"], *self.trees.job["leakage"])))


def run(
    data: Path | None, label: str | None, *, tell: Tell, watch: Watch, engine: str | None = None, keep: bool = False
) -> DemoResult:
    """Run the whole story. ``engine``: another than the job file's. ``tell`` gets a line a stage, ``watch`` the job's
    events. With ``keep`` the homes stay."""
    began = time.monotonic()
    with _folder(keep, tell) as folder:
        tables = breast_cancer(_made(folder / "tables")) if data is None else from_folder(data, label)
        text, file = job_text(tables, given=data is not None, engine=engine)
        texts = text, trees_text(text)
        jobs = [jobfile.parse(each, file) for each in texts]
        datasets = {party.name: party.dataset for party in jobs[0].parties}
        nodes = [LocalNode(table.party, folder / table.party) for table in tables.tables]
        tell(f"{', '.join(node.name for node in nodes)}: daemons with keys, data and policies of their own")
        inside = [LocalNode(SIMULATED, folder / SIMULATED)] if engine == ENCLAVE else []
        for node in nodes:
            node.make(policy=POLICY + INSIDE * len(inside), settings=ACCEPTS_SIMULATED if inside else {})
        for node in inside:
            node.make(policy=POLICY + INSIDE, settings=IS_SIMULATED)
            tell(f"{SIMULATED}: one more, which only pretends to be in trusted hardware (INSECURE: it reads all data)")
        with running([*nodes, *inside]):
            introduce([*nodes, *inside])
            tell(f"{nodes[0].name} invited the others; all are connected over Noise channels")
            for node, table in zip(nodes, tables.tables, strict=True):
                owner = node.name == tables.owner
                extra = {"label": tables.label} if owner else {}
                name = datasets[node.name]
                node.call("data.add", path=str(table.path.resolve()), name=name, key=[tables.key], **extra)
            tell(f"each registered its table (key {tables.key}); {tables.owner} has the label '{tables.label}'")
            ended = []
            for text, what in zip(texts, ("logistic regression", "boosted trees"), strict=True):
                submitted = nodes[0].call("job.submit", file_text=text, file_name=file)["job"]
                tell(f"{nodes[0].name} submitted {file}, {what}; every party's policy checks and signs the contract")
                final = _follow(nodes[0], submitted, watch)
                ended.append((final, {node.name: _finished(node, submitted)["result"] for node in nodes}))
            files = {node.name: table.path.resolve() for node, table in zip(nodes, tables.tables, strict=True)}
            ranks = {party["name"]: party["rank"] for party in final["contract"]["parties"]}
            specs = [_spec(node, files[node.name], final) for node in sorted(nodes, key=lambda node: ranks[node.name])]
        regression, trees = (
            Trained(final, costs, reference(job, specs, bytes.fromhex(final["contract"]["seed"])))
            for job, (final, costs) in zip(jobs, ended, strict=True)
        )
    return DemoResult(tables, regression, trees, time.monotonic() - began)


def _follow(node: LocalNode, job: str, watch: Watch) -> dict[str, Any]:
    with AdminClient(node.home) as client:
        for kind, value in client.stream("job.watch", job=job):
            if kind == "job.event":
                watch(value)
            elif kind == "result":
                return _finished(node, job, value)
    raise JobError("the job's events ended early", remedy=f"hansa job show {job} --home {node.home}")


def _finished(node: LocalNode, job: str, shown: dict[str, Any] | None = None) -> dict[str, Any]:
    """The job at a node once it is done there; ``JobError`` with the common error if it ended otherwise."""
    until = time.monotonic() + 10
    while True:
        now = shown if shown is not None else node.call("job.show", job=job)
        if now["state"] == "done" and now["result"] is not None:
            return dict(now)
        if now["state"] in {"failed", "refused", "expired", "cancelled"} or time.monotonic() > until:
            error = now.get("error") or {}
            raise JobError(
                f"the job is {now['state']} at {node.name}: {error.get('message', 'no reason was given')}",
                remedy=error.get("remedy", "run the demo again with --keep and look at the logs"),
                job=job,
            )
        shown = None
        time.sleep(0.05)


def _spec(node: LocalNode, path: Path, job: dict[str, Any]) -> dict[str, Any]:
    party = next(p for p in job["contract"]["parties"] if p["name"] == node.name)
    dataset = node.call("data.show", name=party["dataset"])
    return table_spec(dataset | {"path": str(path)}, Use.of(job["contract"], party))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@contextmanager
def _folder(keep: bool, tell: Tell) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hansa-demo-"))
    try:
        yield folder
    finally:
        if keep:
            tell(f"homes and logs are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
