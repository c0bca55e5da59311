"""What three daemons say of a job file with categories and weights before anybody is asked."""

import csv

import pytest

from hansa.node.errors import UsageError

TOWNS = ("Ulm", "Bonn", "Kiel")


def with_towns(old, new):
    """A table with a column of text and one of weights behind."""
    with open(old, newline="") as file:
        head, *rows = csv.reader(file)
    with open(new, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow([*head, "town", "w"])
        out.writerows([*row, TOWNS[place % 3], 1 + place % 2] for place, row in enumerate(rows))


async def test_a_plan_with_categories_and_weights(league_of, job_text):
    text = job_text().replace('"lr"', '"gbdt"')
    text = text[: text.index("[lr]")] + '[gbdt]\nobjective = "reg:squarederror"\n' + text[text.index("[outputs]") :]
    weighted = text.replace('label = "default"', 'label = "default"\nweight = "w"')
    taken = weighted.replace('label = "default"', 'label = "default"\ncategorical = ["town"]')
    opened = taken.replace("[outputs]\n", '[outputs]\nimportance = "all"\ntraining_metric = "all"\n')
    async with league_of() as league:
        path = league.home / "towns.csv"
        with_towns(league.tables / "bank.csv", path)
        await league.call("bank", "data.remove", name="clients")
        await league.add_data("bank", file=path)

        async def plan(wanted):
            return await league.call("bank", "job.plan", file_text=wanted, file_name="job.toml")

        told = await plan(weighted)
        bank = told["contract"]["parties"][0]
        assert "town" not in bank["columns"]
        assert "w" not in bank["columns"]
        assert (bank["weight"], bank["categorical"]) == ("w", [])
        assert told["contract"]["params"]["objective"] == "reg:squarederror"
        assert "bank's columns of text are left out: town; `categorical` takes them in" in told["warnings"]
        assert told["cost"]["rounds"] > 0

        told = await plan(opened)
        bank = told["contract"]["parties"][0]
        assert (bank["columns"][-1], bank["categorical"]) == ("town", ["town"])
        warned = " ".join(told["warnings"])
        assert "left out" not in warned
        assert "the importance of every party's columns is opened to all" in warned
        assert "the metric on the training rows is told to all parties" in warned
        with pytest.raises(UsageError, match=r'holds text, not numbers\n.*write categorical = \["town"\]'):
            await plan(text.replace('label = "default"', 'label = "default"\ncolumns = ["town"]'))
