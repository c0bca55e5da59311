"""Boosted trees between three daemons, from tables with categories, weights and empty cells to scores and a released model."""

import csv
import json
import random
from pathlib import Path

import pytest

TOWNS = ("Ulm", "Bonn", "Kiel")
NAMES = ("bank", "bureau", "telecom")
EVERYTHING = """
objective = "{objective}"
{more}
n_estimators = 3
max_depth = 2
max_bin = 8
reg_alpha = 0.1
subsample = 0.9
colsample_bytree = 0.9
missing = true
early_stopping_rounds = 2
validation_fraction = 0.25
"""
OPENED = 'importance = "all"\ntraining_metric = "all"\n'
LABELS = {
    "binary:logistic": (lambda y, n: y, "scale_pos_weight = 2.0", ("auc", "ks", "accuracy", "log_loss")),
    "reg:squarederror": (lambda y, n: 100 * y + n % 7, "", ("rmse", "mae", "r2")),
    "multi:softprob": (lambda y, n: 2 * y if n % 2 else 1, "num_class = 3", ("accuracy", "log_loss")),
    "count:poisson": (lambda y, n: 5 * y + n % 3, "", ("rmse", "mae", "deviance")),
}


def job_of(job_text, objective):
    text = job_text("trees", outputs=OPENED).replace('"lr"', '"gbdt"')
    params = EVERYTHING.format(objective=objective, more=LABELS[objective][1])
    text = text[: text.index("[lr]")] + "[gbdt]" + params + text[text.index("[outputs]") :]
    return text.replace('label = "default"', 'label = "default"\nweight = "w"\ncategorical = ["town"]')


def widened(old, new, label, towns=TOWNS):
    """The bank's table with another label, a column of towns, empty cells among both, and weights."""
    rng = random.Random(5)
    with open(old, newline="") as file:
        head, *rows = csv.reader(file)
    with open(new, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow([*head, "town", "w"])
        for number, row in enumerate(rows):
            y = int(row[-1])
            town = "" if rng.random() < 0.1 else towns[1 if y and rng.random() < 0.7 else rng.randrange(len(towns))]
            age = "NA" if rng.random() < 0.1 else row[1]
            out.writerow([row[0], age, *row[2:-1], label(y, number), town, 1 + number % 2])


@pytest.mark.parametrize(
    "objective",
    ["binary:logistic", *(pytest.param(name, marks=pytest.mark.slow) for name in LABELS if name != "binary:logistic")],
)
async def test_training_scoring_and_release(league_of, job_text, objective):
    label, _, measured = LABELS[objective]
    async with league_of() as league:
        path = league.home / "towns.csv"
        widened(league.tables / "bank.csv", path, label)
        await league.call("bank", "data.remove", name="clients")
        await league.add_data("bank", file=path)
        job = await league.submit(job_of(job_text, objective))
        await league.settled(job, "done")
        shown = {name: await league.call(name, "job.show", job=job) for name in NAMES}
        results = {name: show["result"] for name, show in shown.items()}
        assert set(results["bank"]["metrics"]) == set(measured)
        assert results["bank"]["metrics"] == results["telecom"]["metrics"]
        assert results["bank"]["importance"] == results["bureau"]["importance"]
        assert "town" in results["bureau"]["importance"]["bank"]
        assert "w" not in results["bureau"]["importance"]["bank"]
        assert results["bank"]["training_metric"] == results["telecom"]["training_metric"] != []

        later = league.home / "later.csv"
        widened(league.tables / "bank.csv", later, label, (*TOWNS, "Trier"))
        await league.add_data("bank", file=later, dataset="later")
        others = dict.fromkeys(NAMES[1:], "clients")
        found = await league.call("bank", "model.predict", model=job, data="later", **{"with": others})
        await league.settled(found["job"], "done")
        scores = (await league.call("bank", "job.show", job=found["job"]))["scores"]
        head, *rows = csv.reader(Path(scores).read_text().splitlines())
        assert len(head) == (4 if objective == "multi:softprob" else 2)
        assert len(rows) == 300
        if objective == "multi:softprob":
            assert all(abs(sum(map(float, row[1:])) - 1) < 1e-3 for row in rows)

        found = await league.call("telecom", "model.release", model=job)
        await league.settled(found["job"], "done")
        released = (await league.call("telecom", "job.show", job=found["job"]))["result"]["released"]
        model = json.loads(Path(released["file"]).read_text())
        assert model["xgboost"]["learner"]["objective"]["name"] == objective
