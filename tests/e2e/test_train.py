"""Three real daemons in three processes train a model, use it and release it, through the admin API alone."""

import csv
import json
from pathlib import Path

NAMES = ("bank", "bureau", "telecom")


def test_three_institutions_train_score_and_release(processes, job_text):
    with processes() as league:
        plan = league.call("bureau", "job.plan", file_text=job_text(), file_name="job.toml")
        assert plan["cost"]["rounds"] > 0
        assert any("weights" in line for line in plan["leakage"])
        job = league.call("bureau", "job.submit", file_text=job_text(), file_name="job.toml")["job"]
        shown = league.settled(job, "done")
        assert [show["result"]["rows"] for show in shown] == [300] * 3
        assert shown[0]["metrics"] == shown[1]["metrics"]
        assert shown[0]["metrics"]["auc"] > 0.9
        assert shown[0]["scores"]
        assert shown[1]["scores"] is None

        model = league.call("telecom", "model.show", model=job)
        assert {column["name"] for column in model["columns"]} == {"calls", "roaming"}
        assert all(column["coefficient"] is not None for column in model["columns"])
        assert model["intercept"] is None
        assert league.call("bank", "model.show", model=job)["intercept"] is not None
        assert [m["model"] for m in league.call("bureau", "model.list")] == [job]

        predicted = league.call("telecom", "model.predict", model=job, data="clients")["job"]
        league.settled(predicted, "done")
        scores = league.call("bank", "model.scores", job=predicted)
        with open(scores["path"], newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == scores["rows"] == 300
        assert set(rows[0]) == {"id", "score"}
        assert all(0 <= float(row["score"]) <= 1 for row in rows)

        released = league.call("bank", "model.release", model=job)["job"]
        league.settled(released, "done")
        models = [league.call(name, "model.show", model=job)["released"] for name in NAMES]
        files = [json.loads(Path(model.pop("file")).read_text()) for model in models]
        assert models[0] == models[1] == models[2]
        assert files == models
        assert len(models[0]["sklearn"]["coef_"][0]) == 6

        for name in NAMES:
            verified = league.call(name, "audit.verify")
            assert verified["ok"]
            kinds = {entry["kind"] for entry in league.call(name, "audit.show")}
            assert {"contract", "consent", "job-started", "opening", "job-done"} <= kinds
