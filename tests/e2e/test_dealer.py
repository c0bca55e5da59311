"""Jobs with a dealer over real daemons: two banks and an exchange that deals, then four institutions and one."""

import csv
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import trio

from hansa.node.errors import UsageError
from hansa.node.lab.testnet.local_nodes import LocalNode
from hansa.node.lab.testnet.network import LocalNetwork

POLICY = """
default = "refuse"
[[rule]]
action = "approve"
peers = ["*"]
[[rule]]
action = "approve"
roles = ["dealer"]
peers = ["bank", "bureau"]
"""
ASKING = 'default = "ask"\n[[rule]]\naction = "approve"\ndealers = ["telecom"]\n'
NAMES = ("bank", "bureau", "telecom")


def job_text(parties, dealer, *, name="dealt", epochs=3, seed="00" * 16):
    sections = "".join(
        f'[[party]]\nname = "{party}"\ndataset = "clients"\n' + ('label = "default"\n' if party == "bank" else "")
        for party in parties
    )
    return (
        f'name = "{name}"\npurpose = "predict default"\nalgorithm = "lr"\ndealer = "{dealer}"\nseed = "{seed}"\n'
        f"[lr]\nepochs = {epochs}\nbatch_size = 64\nlearning_rate = 0.5\n{sections}"
    )


TWO = job_text(NAMES[:2], "telecom")


async def test_two_parties_and_a_dealer_train_and_score(league_of):
    async with league_of(policy=POLICY) as league:
        plan = await league.call("bank", "job.plan", file_text=TWO, file_name="job.toml")
        assert plan["engine"]["name"] == "additive"
        assert "names a dealer" in plan["engine"]["why"]
        assert plan["trust"][1].startswith("telecom together with any one of bank and bureau could read all inputs")
        job = await league.submit(TWO)
        await league.settled(job, "done")
        results = [league.job(name, job).record.result for name in NAMES]
        assert [result["rows"] for result in results] == [300, 300, 0]
        assert results[0]["metrics"] == results[1]["metrics"]
        assert results[0]["metrics"]["auc"] > 0.85
        assert (results[2]["metrics"], results[2]["weights"], results[2]["scores"]) == (None, {}, "")
        assert results[2]["preprocessing"]["bytes_sent"] > 10 * results[0]["preprocessing"]["bytes_sent"]

        assert await league.call("telecom", "model.list") == []
        with pytest.raises(UsageError, match=r"has made no model here: .*, in which this node dealt"):
            await league.call("telecom", "model.show", model=job)
        shown = await league.call("telecom", "job.show", job=job)
        assert (shown["model"], shown["trust"]) == (None, plan["trust"])
        assert [(party["name"], party["role"]) for party in shown["parties"]] == [
            ("bank", "party"),
            ("bureau", "party"),
            ("telecom", "dealer"),
        ]

        predicted = (await league.call("bureau", "model.predict", model=job, data="clients"))["job"]
        await league.settled(predicted, "done")
        scores = await league.call("bank", "model.scores", job=predicted)
        assert scores["rows"] == 300
        assert Path(scores["path"]).read_text().count("\n") == 301

        audits = {name: await league.call(name, "audit.show") for name in NAMES}
        dealt = [entry["body"] for entry in audits["telecom"] if entry["kind"] == "dealt"]
        assert dealt[0] == {"job": job, "attempt": 0, "to": ["bank", "bureau"]}
        assert [entry["job"] for entry in dealt] == [job, predicted]
        assert "opening" not in {entry["kind"] for entry in audits["telecom"]}
        for name in NAMES:
            contract = next(entry["body"] for entry in audits[name] if entry["kind"] == "contract")
            assert (contract["dealer"], contract["trust"]) == ("telecom", plan["trust"])
            assert contract["role"] == ("dealer" if name == "telecom" else "party")


async def test_a_dealer_is_asked_first_and_told_what_it_would_be(league_of):
    async with league_of(policy=ASKING) as league:
        job = await league.submit(TWO)
        with trio.fail_after(30):
            while (found := league.job("telecom", job)) is None or not found.record.awaits_operator:
                await trio.sleep(0.02)
        (approval,) = (await league.call("telecom", "node.status"))["approvals"]
        assert (approval["job"], approval["role"]) == (job, "dealer")
        assert approval["trust"][0] == "telecom deals random numbers: it sees no data and no opened value, only sizes"
        await league.call("telecom", "job.refuse", job=job, reason="not today")
        await league.settled(job, "refused")
        assert league.common_error(job)["message"] == "telecom refused the job: not today"


@pytest.mark.slow
async def test_a_dealer_that_dies_is_named_and_the_job_goes_on(league_of):
    async with league_of(policy=POLICY) as league:
        job = await league.submit(job_text(NAMES[:2], "telecom", name="broken", epochs=40))
        folder = league.daemons["bank"].jobs.registry.context.folder(league.job("bank", job).record.job_id)
        with trio.fail_after(60):
            while not list(folder.glob("checkpoint-0-1?.sealed")):
                await trio.sleep(0.002)
        began = trio.current_time()
        os.kill(league.worker("telecom", job), signal.SIGKILL)
        with trio.fail_after(10):
            while [len(errors(league, name, job)) for name in NAMES] != [1, 1, 1]:
                await trio.sleep(0.02)
        assert trio.current_time() - began < 5
        said = [errors(league, name, job)[0] for name in NAMES]
        assert said[0] == said[1] == said[2]
        assert said[0].startswith("the worker of telecom died in step 'deal': killed by signal 9")
        await league.settled(job, "done")
        record = league.job("bank", job).record
        assert (record.attempt, record.resume_epoch >= 10) == (1, True)
        assert record.result["metrics"]["auc"] > 0.85


def errors(league, name, job):
    events = league.daemons[name].jobs.registry.context.events.history(league.job(name, job).record.job_id)
    return [event["text"] for event in events if event["kind"] == "error"]


@pytest.mark.slow
def test_four_institutions_and_a_dealer_over_a_network_by_hand(tmp_path):
    net = LocalNetwork(tmp_path / "net")
    try:
        state = net.up(5, [])
        names = [node["name"] for node in state["nodes"]]
        assert all(node["peers_online"] == 4 for node in state["nodes"])
        nodes = [LocalNode(name, tmp_path / "net" / name) for name in names]
        tables(tmp_path, names[:4])
        for name, node in zip(names[:4], nodes, strict=False):
            label = {"label": "default"} if name == "bank" else {}
            node.call("data.add", path=str(tmp_path / f"{name}.csv"), name="clients", key=["id"], **label)
        job = nodes[3].call("job.submit", file_text=job_text(names[:4], names[4]), file_name="job.toml")["job"]
        for node in (*nodes[:3], nodes[4]):
            until(lambda node=node: any(a["job"] == job for a in node.call("node.status")["approvals"]))
            node.call("job.approve", job=job)
        until(lambda: all(node.call("job.show", job=job)["state"] == "done" for node in nodes))
        results = [node.call("job.show", job=job)["result"] for node in nodes]
        assert [result["rows"] for result in results] == [200] * 4 + [0]
        assert results[0]["metrics"]["auc"] > 0.85
        assert [len(node.call("model.list")) for node in nodes] == [1, 1, 1, 1, 0]
        assert all(node.call("audit.verify")["ok"] for node in nodes)
    finally:
        net.down(keep=False)


def tables(folder, names):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 2 * len(names)))
    y = (x.sum(axis=1) + 0.5 * rng.normal(size=200) > 0).astype(int)
    for rank, name in enumerate(names):
        with open(folder / f"{name}.csv", "w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["id", f"{name}_a", f"{name}_b", *(["default"] if name == "bank" else [])])
            for row in rng.permutation(200):
                label = [y[row]] if name == "bank" else []
                out.writerow([f"c{row:04}", *(f"{v:.5f}" for v in x[row, 2 * rank : 2 * rank + 2]), *label])


def until(condition, within=60.0):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
