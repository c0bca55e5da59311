"""The admin methods around one trained model: what is shown, streamed and refused."""

import pytest

from hansa.node.admin import answers, job_answers
from hansa.node.errors import UsageError
from hansa.protocols.errors import ConsentError


def check_shape(value, shape):
    """Fail where an answer lacks a field of its type, or has another."""
    assert shape.__required_keys__ <= set(value) <= shape.__required_keys__ | shape.__optional_keys__, shape.__name__


async def check_answers(league, job, text):
    """What a node says around a trained model has the fields that the typed client promises."""
    (dataset,) = await league.call("bank", "data.list")
    (model,) = await league.call("bank", "model.list")
    full, view = await league.call("bank", "job.show", job=job), await league.call("bank", "model.show", model=job)
    plan = await league.call("bank", "job.plan", file_text=text, file_name="job.toml")
    for value, shape in [
        (plan, job_answers.JobPlan),
        (plan["cost"], job_answers.Cost),
        (plan["engine"], job_answers.EngineChoice),
        (dataset, answers.Dataset),
        *((column, answers.ColumnView) for column in dataset["columns"]),
        (full, job_answers.JobView),
        *((member, job_answers.Member) for member in full["parties"]),
        *((event, job_answers.JobEvent) for event in full["events"]),
        *((line, job_answers.LogLine) for line in await league.call("bank", "job.logs", job=job)),
        (model, job_answers.ModelSummary),
        (view, job_answers.ModelView),
        (view["label"], job_answers.LabelView),
        *((column, job_answers.Coefficient) for column in view["columns"]),
        (await league.call("bank", "tee.status"), answers.HardwareStatus),
    ]:
        check_shape(value, shape)


async def test_watch_show_logs_and_what_is_refused(league_of, job_text):
    async with league_of() as league:
        job = await league.submit(job_text(), by="telecom")
        seen = []

        async def notify(method, event):
            assert method == "job.event"
            seen.append(event)

        ended = await league.call("telecom", "job.watch", job=job, notify=notify)
        await league.settled(job, "done")
        assert ended["state"] == "done"
        assert {event["party"] for event in seen if event["kind"] == "step"} == {"bank", "bureau", "telecom"}
        assert [event["text"] for event in seen if event["kind"] == "state"][-1] == "done"
        for event in seen:
            check_shape(event, job_answers.JobEvent)
        await check_answers(league, job, job_text())
        again = []

        async def note(method, event):
            again.append(event)

        await league.call("telecom", "job.watch", job=job[:6], notify=note)
        assert again[-1]["text"] == "done"

        shown = await league.call("bureau", "job.show", job="credit")
        assert [party["consent"] for party in shown["parties"]] == ["signed"] * 3
        assert [party["name"] for party in shown["parties"] if party["me"]] == ["bureau"]
        assert shown["decision"].startswith("approve by policy")
        assert shown["error"] is None
        assert len(shown["leakage"]) == len(league.job("bank", job).record.contract.openings)
        texts = [line["text"] for line in await league.call("bureau", "job.logs", job=job)]
        assert any("numbers opened to bank" in text for text in texts)

        status = await league.call("bank", "node.status")
        assert [(line["job"], line["state"]) for line in status["jobs"]] == [(job, "done")]
        assert status["datasets"] == 1

        for method, params, error, match in [
            ("job.approve", {"job": job}, ConsentError, "does not wait for this node's approval"),
            ("job.cancel", {"job": job}, ConsentError, "done already"),
            ("job.show", {"job": "ffffff"}, UsageError, "no job is called"),
            ("model.show", {"model": "ffffff"}, UsageError, "no job is called"),
            ("model.scores", {"job": job}, UsageError, "opened no scores to this node"),
            ("model.predict", {"model": job, "data": "none"}, UsageError, "shows no dataset 'none'"),
            ("model.predict", {"model": job, "data": "clients", "with": {"x": "y"}}, UsageError, "'x' is not a party"),
        ]:
            with pytest.raises(error, match=match):
                await league.call("bureau", method, **params)

        predicted = (await league.call("bureau", "model.predict", model=job, data="clients"))["job"]
        await league.settled(predicted, "done")
        with pytest.raises(UsageError, match="has made no model here: it is a predict job"):
            await league.call("bank", "model.show", model=predicted)
        scores = await league.call("bank", "model.scores", job=predicted)
        check_shape(scores, job_answers.ScoresFile)
        assert scores["rows"] == 300
        assert [len(await league.call(name, "model.list")) for name in league.daemons] == [1, 1, 1]
