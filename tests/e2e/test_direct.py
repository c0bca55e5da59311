"""Jobs with nobody else in the room, over real daemons."""

import json
from pathlib import Path

import trio

NAMES = ("bank", "bureau")


LR = 'algorithm = "lr"\n[lr]\nepochs = 3\nbatch_size = 64\nlearning_rate = 0.5\n'
TREES = 'algorithm = "gbdt"\n[gbdt]\nn_estimators = 2\nmax_depth = 2\nmax_bin = 8\n'


def job_text(parties, algorithm=LR):
    head, _, params = algorithm.partition("\n")
    sections = "".join(
        f'[[party]]\nname = "{party}"\ndataset = "clients"\n' + ('label = "default"\n' if party == "bank" else "")
        for party in parties
    )
    return f'name = "alone"\npurpose = "predict default"\n{head}\nseed = "' + "00" * 16 + f'"\n{params}{sections}'


async def done(league, job):
    with trio.fail_after(120):
        while league.states(job)[:2] != ["done", "done"]:
            assert "failed" not in league.states(job)
            await trio.sleep(0.05)


async def test_two_parties_train_and_score_without_a_dealer(league_of):
    async with league_of() as league:
        plan = await league.call("bank", "job.plan", file_text=job_text(NAMES), file_name="job.toml")
        assert plan["engine"]["name"] == "additive"
        assert any("sent by each party for correlated random numbers" in note for note in plan["cost"]["notes"])
        job = await league.submit(job_text(NAMES))
        await done(league, job)
        results = [league.job(name, job).record.result for name in NAMES]
        assert [result["rows"] for result in results] == [300, 300]
        assert results[0]["metrics"] == results[1]["metrics"]
        assert results[0]["metrics"]["auc"] > 0.85
        assert all(result["preprocessing"]["bytes_sent"] > 100_000 for result in results)
        predicted = (await league.call("bureau", "model.predict", model=job, data="clients"))["job"]
        await done(league, predicted)
        assert (await league.call("bank", "model.scores", job=predicted))["rows"] == 300


async def test_two_parties_grow_trees_and_release_them(league_of):
    async with league_of() as league:
        text = job_text(NAMES, TREES)
        plan = await league.call("bank", "job.plan", file_text=text, file_name="job.toml")
        assert any("whose column it is" in line for line in plan["leakage"])
        job = await league.submit(text)
        await done(league, job)
        results = [league.job(name, job).record.result for name in NAMES]
        assert results[0]["metrics"] == results[1]["metrics"]
        assert results[0]["metrics"]["auc"] > 0.7
        assert [list(result["importance"]) for result in results] == [[name] for name in NAMES]
        own = [found for result in results for columns in result["importance"].values() for found in columns.values()]
        assert 0 < sum(found["splits"] for found in own) <= 2 * 3
        assert all(found["gain"] > 0 for found in own if found["splits"])
        released = (await league.call("bureau", "model.release", model=job))["job"]
        await done(league, released)
        files = [league.job(name, released).record.result["released"]["file"] for name in NAMES]
        models = [json.loads(Path(file).read_text()) for file in files]
        assert models[0] == models[1]
        assert models[0]["xgboost"]["learner"]["gradient_booster"]["model"]["gbtree_model_param"]["num_trees"] == "2"
