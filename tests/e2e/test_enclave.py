"""Jobs in a simulated enclave over real daemons: train, score, release; a second enclave goes on; rollback and votes."""

import shutil
import time
from dataclasses import replace

import pytest
import trio

from hansa.config.settings import NodeSettings, Settings, TeeSettings
from hansa.node.contracts.explain import openings_of
from hansa.node.errors import UsageError
from hansa.node.jobs import review as job_review
from hansa.node.lab.testnet.local_nodes import LocalNode
from hansa.node.lab.testnet.network import LocalNetwork

pytest.importorskip("xgboost", reason="the extra 'enclave' is not installed")
WORD = "insecure-simulated"
NAMES = ("bank", "bureau", "telecom")
POLICY = f"""
default = "ask"
[[rule]]
action = "approve"
enclaves = ["telecom", "{"insecure-tee"}", "insecure-tee-2"]
[[rule]]
action = "approve"
dealers = ["tee:telecom"]
[[rule]]
action = "approve"
roles = ["enclave", "dealer"]
"""
SETTINGS = {
    name: replace(
        Settings(node=NodeSettings(name)), tee=TeeSettings(backend=WORD if name == "telecom" else "", accept=WORD)
    )
    for name in NAMES
}


def job_text(enclave="telecom", algorithm="gbdt", name="inside", road='engine = "enclave"\nenclave = "tee:{}"'):
    params = "n_estimators = 10" if algorithm == "gbdt" else "epochs = 3\nbatch_size = 64"
    return (
        f'name = "{name}"\npurpose = "predict default"\nalgorithm = "{algorithm}"\nseed = "{"00" * 16}"\n'
        f"{road.format(enclave)}\n"
        f'[{algorithm}]\n{params}\n[[party]]\nname = "bank"\ndataset = "clients"\nlabel = "default"\n'
        '[[party]]\nname = "bureau"\ndataset = "clients"\n'
    )


def entries(audit, kind):
    return [entry["body"] for entry in audit if entry["kind"] == kind]


async def test_a_model_is_trained_used_and_released_inside(league_of):
    async with league_of(policy=POLICY, settings=SETTINGS) as league:
        text = job_text()
        plan = await league.call("bank", "job.plan", file_text=text, file_name="job.toml")
        assert plan["trust"][0].startswith("INSECURE: telecom only pretends to be in trusted hardware")
        assert plan["cost"]["rounds"] == 5
        code = plan["contract"]["codes"][0]
        assert code["platform"] == WORD
        job = await league.submit(text)
        await league.settled(job, "done")
        results = [league.job(name, job).record.result for name in NAMES]
        assert [result["rows"] for result in results] == [300, 300, 0]
        assert results[0]["metrics"] == results[1]["metrics"]
        assert results[0]["metrics"]["auc"] > 0.8
        assert (results[1]["scores"], results[2]["metrics"], results[2]["scores"]) == ("", None, "")
        assert list(results[1]["importance"]) == ["bureau"]

        predicted = (await league.call("bureau", "model.predict", model=job, data="clients"))["job"]
        await league.settled(predicted, "done")
        assert (await league.call("bank", "model.scores", job=predicted))["rows"] == 300
        released = (await league.call("bank", "model.release", model=job))["job"]
        await league.settled(released, "done")
        assert league.job("bureau", released).record.result["released"]["format"] == "hansa-gbdt"
        with pytest.raises(UsageError, match="in which this node was the enclave"):
            await league.call("telecom", "model.show", model=job)

        audits = {name: await league.call(name, "audit.show") for name in NAMES}
        for name in ("bank", "bureau"):
            policies = entries(audits[name], "release-policy")
            assert [policy["role"] for policy in policies] == ["enclave", "scorer"]
            assert policies[0]["codes"] == [f"{WORD}:{code['measurement']}"]
            label = ["default"] if name == "bank" else []
            features = {"bank": ["age", "income"], "bureau": ["debt", "late"]}[name]
            assert [policy["columns"] for policy in policies] == [features + label, features]
            assert {e["role"] for e in entries(audits[name], "attestation") if "job" in e} == {"enclave", "scorer"}
        assert len(entries(audits["telecom"], "computed")) == 3
        openings = [
            [(e["what"], e["to"], e["elements"]) for e in entries(audits[name], "opening") if e["job"] == job]
            for name in NAMES
        ]
        assert openings[0] == openings[1] == openings[2]


async def test_no_party_has_a_model_opened_without_the_others(league_of, monkeypatch):
    """Both hold the closed model, and the enclave's policy takes everybody's jobs: the vault itself must say no."""
    real = job_review.reason_to_refuse

    def reason_to_refuse(contract, context, find, active):
        colludes = contract.name == "theirs" and context.name in {"bureau", "mallory"}
        return None if colludes else real(contract, context, find, active)

    monkeypatch.setattr(job_review, "reason_to_refuse", reason_to_refuse)
    mallory = {"mallory": replace(Settings(node=NodeSettings("mallory")), tee=TeeSettings(accept=WORD))}
    async with league_of(policy=POLICY, settings=SETTINGS | mallory) as league:
        await league.start("mallory")
        code = (await league.call("bank", "peer.invite"))["code"]
        await league.call("mallory", "peer.join", code=code)
        job = await league.submit(job_text(algorithm="lr"))
        await league.settled(job, "done")
        trained = league.job("bureau", job).record.contract
        bank, bureau = trained.parties
        parties = (
            replace(bank, identity=league.daemons["mallory"].node.identity.public, name="mallory", label=None),
            replace(bureau, label="y"),
        )
        now = int(time.time())
        openings = openings_of("release", "lr", trained.outputs, parties, trained.params, engine="enclave")
        theirs = replace(
            trained, kind="release", name="theirs", parties=parties, model=trained.job_id, openings=openings,
            nonce=b"t" * 16, created=now, expires=now + 3600,
        )  # fmt: skip
        with trio.fail_after(30):
            while not all(league.daemons["mallory"].net.mesh.online(each.identity) for each in trained.members):
                await trio.sleep(0.05)
            submitted = await league.daemons["bureau"].jobs.registry.submit(theirs)
            while not submitted.record.state.final:
                await trio.sleep(0.05)
        there = league.job("telecom", theirs.job_id.hex()).record
        assert (submitted.record.state.value, there.state.value) == ("refused", "refused")
        assert "stays shut: it does not fit the contract under which the model was trained" in there.decision


async def test_one_word_switches_the_road(league_of):
    async with league_of(policy=POLICY, settings=SETTINGS) as league:
        metrics = {}
        for road in ('engine = "enclave"\nenclave = "tee:{}"', 'engine = "additive"\ndealer = "tee:{}"'):
            job = await league.submit(job_text(algorithm="lr", name=road[:15].split('"')[1], road=road))
            await league.settled(job, "done")
            metrics[road] = league.job("bureau", job).record.result["metrics"]
            attested = [
                e for e in entries(await league.call("bank", "audit.show"), "attestation") if e.get("job") == job
            ]
            assert [entry["verdict"] for entry in attested] == ["accept"]
        inside, dealt = metrics.values()
        assert inside["auc"] == pytest.approx(dealt["auc"], abs=0.02)


async def test_simulated_hardware_needs_the_word_on_both_sides(league_of):
    strict = {**SETTINGS, "bank": Settings(node=NodeSettings("bank"))}
    async with league_of(policy=POLICY, settings=strict) as league:
        with pytest.raises(UsageError, match="insecure-simulated"):
            await league.submit(job_text())
        job = (await league.call("bureau", "job.submit", file_text=job_text(), file_name="job.toml"))["job"]
        await league.settled(job, "refused")
        assert "insecure-simulated" in league.common_error(job)["message"]


async def test_an_enclave_that_forgot_its_keys_says_so(league_of):
    async with league_of(policy=POLICY, settings=SETTINGS) as league:
        job = await league.submit(job_text())
        await league.settled(job, "done")
        await league.stop("telecom")
        (league.home / "telecom" / "tee" / "keys.sealed").unlink()
        await league.start("telecom")
        await league.until_connected()
        with pytest.raises(
            UsageError, match="refused as scorer: rollback: its sealed state was rolled back: it shows epoch 0"
        ):
            await league.call("bank", "model.predict", model=job, data="clients")
        standing = (await league.call("bureau", "tee.status"))["peers"]
        assert [peer["verdict"] for peer in standing] == ["refuse"]


@pytest.fixture
def net_of(tmp_path, tables):
    """``net_of(4, 1)``: the network to kill and wake nodes in, so many institutions with tables, and enclaves. The fourth's table
    is another one with the label."""
    net = LocalNetwork(tmp_path / "net")

    def make(institutions, enclaves):
        state = net.up(institutions, [], enclaves)
        nodes = {node["name"]: LocalNode(node["name"], tmp_path / "net" / node["name"]) for node in state["nodes"]}
        for name, node in nodes.items():
            (node.home / "policy.toml").write_text(POLICY)
            table = {"insurer": "bank"}.get(name, name)
            if table in NAMES:
                label = {"label": "default"} if table == "bank" else {}
                node.call("data.add", path=str(tables / f"{table}.csv"), name="clients", key=["id"], **label)
        return net, *nodes.values()

    yield make
    net.down(keep=False)


@pytest.fixture
def net(net_of):
    """Two institutions and two enclaves."""
    return net_of(2, 2)


ANOTHER_PAIR = f"""
name = "elsewhere"
purpose = "predict default"
algorithm = "lr"
engine = "additive"
seed = "{"00" * 16}"
[lr]
epochs = 12
batch_size = 64
[[party]]
name = "insurer"
dataset = "clients"
label = "default"
[[party]]
name = "telecom"
dataset = "clients"
"""


@pytest.mark.slow
def test_an_enclave_that_dies_interrupts_its_job_and_no_other(net_of):
    net, bank, bureau, telecom, insurer, tee = net_of(4, 1)
    for node in (telecom, insurer):
        (node.home / "policy.toml").write_text('default = "approve"')
    net.slow("60ms", "")
    other = insurer.call("job.submit", file_text=ANOTHER_PAIR, file_name="j")["job"]
    until(lambda: insurer.call("job.show", job=other)["state"] == "running")
    job = bank.call("job.submit", file_text=job_text(tee.name), file_name="j")["job"]
    until(lambda: step_of(bank, job) in {"attest", "send", "wait"})
    net.kill(tee.name)
    until(lambda: all(node.call("job.show", job=job)["state"] == "interrupted" for node in (bank, bureau)))
    errors = [node.call("job.show", job=job)["error"] for node in (bank, bureau)]
    assert errors[0] == errors[1]
    assert (errors[0]["code"], errors[0]["fields"]["culprit"]) == ("peer-lost", tee.name)
    assert errors[0]["message"].startswith(f"the node of {tee.name} went away in step")
    assert all(node.call("job.show", job=other)["state"] == "running" for node in (telecom, insurer))

    net.up(0, [])
    done(bank, job)
    assert [node.call("job.show", job=job)["attempt"] for node in (bank, bureau, tee)] == [1] * 3
    net.slow("", "")
    done(insurer, other)
    for node in (telecom, insurer):
        shown = node.call("job.show", job=other)
        assert (shown["attempt"], shown["error"]) == (0, None)


def step_of(node, job):
    return next(party["step"] for party in node.call("job.show", job=job)["parties"] if party["me"])


@pytest.mark.slow
def test_a_second_enclave_goes_on_and_rollback_is_found(tmp_path, net):
    net, bank, _, first, second = net
    sealed = first.home / "tee" / "keys.sealed"
    jobs = [done(bank, bank.call("job.submit", file_text=job_text("insecure-tee", name="one"), file_name="j")["job"])]
    shutil.copy(sealed, tmp_path / "older")
    jobs += [done(bank, bank.call("job.submit", file_text=job_text("insecure-tee", name="two"), file_name="j")["job"])]
    until(lambda: second.call("tee.status")["own"]["sealed"]["keys"] == 2)

    served = set()
    for _ in range(12):  # by either enclave, by chance
        scored = done(bank, bank.call("model.predict", model=jobs[0], data="clients")["job"])
        served.add(bank.call("job.show", job=scored)["contract"]["enclave"])
    assert served == {"insecure-tee", "insecure-tee-2"}

    net.kill("insecure-tee")
    until(lambda: not any(p["name"] == "insecure-tee" and p["online"] for p in bank.call("peer.list")))
    scored = done(bank, bank.call("model.predict", model=jobs[1], data="clients")["job"])
    assert bank.call("job.show", job=scored)["contract"]["enclave"] == "insecure-tee-2"

    shutil.copy(tmp_path / "older", sealed)
    net.up(0, [])
    until(lambda: entries(first.call("audit.show"), "sealed-state-refused"))
    assert (
        "epoch 1, and a member has seen epoch 2"
        in entries(first.call("audit.show"), "sealed-state-refused")[0]["reason"]
    )
    until(lambda: entries(second.call("audit.show"), "keys-handed-over"))
    until(lambda: first.call("tee.status")["own"]["sealed"] == {"keys": 2, "epoch": 3, "shut": None, "unread": None})


@pytest.mark.slow
def test_keys_go_to_other_code_once_both_parties_voted(net):
    net, bank, bureau, first, second = net
    net.kill("insecure-tee-2")
    settings = second.home / "hansa.toml"
    settings.write_text(settings.read_text().replace('# simulated_code = ""', 'simulated_code = "the next one"'))
    net.up(0, [])
    until(lambda: [peer["verdict"] for peer in bank.call("tee.status")["peers"]] == ["accept"] * 2)
    job = done(bank, bank.call("job.submit", file_text=job_text("insecure-tee"), file_name="j")["job"])
    own = [node.call("tee.status")["own"] for node in (first, second)]
    old, new = (f"{each['platform']}:{each['code']}" for each in own)
    assert old != new
    bank.call("tee.vote", code_from=old, code_to=new, days=3)
    until(lambda: len(second.call("tee.status")["votes"]) == 1)
    time.sleep(1)
    assert second.call("tee.status")["own"]["sealed"]["keys"] == 0
    bureau.call("tee.vote", code_from=old, code_to=new, days=3)
    until(lambda: [each["voter"] for each in entries(bank.call("audit.show"), "vote")] == ["bank", "bureau"])
    until(lambda: second.call("tee.status")["own"]["sealed"]["keys"] == 1)
    net.kill("insecure-tee")
    until(lambda: not any(p["name"] == "insecure-tee" and p["online"] for p in bank.call("peer.list")))
    scored = done(bank, bank.call("model.predict", model=job, data="clients")["job"])
    assert bank.call("job.show", job=scored)["contract"]["enclave"] == "insecure-tee-2"


def done(node, job):
    until(lambda: node.call("job.show", job=job)["state"] == "done")
    return job


def until(condition, within=60.0):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
