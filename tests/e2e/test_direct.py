"""Jobs with nobody else in the room, over real daemons."""

import trio

NAMES = ("bank", "bureau")


def job_text(parties):
    sections = "".join(
        f'[[party]]\nname = "{party}"\ndataset = "clients"\n' + ('label = "default"\n' if party == "bank" else "")
        for party in parties
    )
    return (
        'name = "alone"\npurpose = "predict default"\nalgorithm = "lr"\nseed = "' + "00" * 16 + '"\n'
        f"[lr]\nepochs = 3\nbatch_size = 64\nlearning_rate = 0.5\n{sections}"
    )


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
