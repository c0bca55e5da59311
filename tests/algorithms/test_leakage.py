"""The leakage statement: golden, and never less than what a contract's outputs say."""

import itertools
from types import SimpleNamespace

import pytest

from hansa.algorithms import leakage
from hansa.algorithms.errors import DataError

NAMES = ("bank", "bureau", "telecom")


def outputs(scores="label-owner", weights="owner", metrics="all", importance="owner", training="none"):
    return SimpleNamespace(
        scores=scores, weights=weights, metrics=metrics, importance=importance, training_metric=training
    )


def stated(kind, out, label_rank=0):
    return [(what, to) for what, to, _ in leakage.openings(kind, "lr", out, NAMES, label_rank, {})]


def test_the_default_contract_opens_exactly_this():
    everyone = (0, 1, 2)
    assert leakage.openings("train", "lr", outputs(), NAMES, 0, {}) == (
        (
            "alignment",
            everyone,
            "each party learns which of its own rows all have in common, every set's size, and how many rows any group "
            "of parties has in common",
        ),
        ("weights of party 0", (0,), "bank learns the weights of its own columns, and the intercept"),
        ("weights of party 1", (1,), "bureau learns the weights of its own columns"),
        ("weights of party 2", (2,), "telecom learns the weights of its own columns"),
        ("test scores", (0,), "only bank learns the scores of the common rows held out for the test"),
        ("metrics", everyone, "all learn AUC, KS, accuracy and log-loss of the test, from bank"),
    )


ASSUMED = "all are taken to follow the protocol and to be no more than curious (semi-honest)"


def test_whom_each_engine_trusts():
    assert leakage.trust("additive", NAMES, (), None) == (
        "each of bank, bureau and telecom keeps its inputs even from all the others together; nobody deals",
        ASSUMED,
    )
    assert leakage.trust("additive", NAMES[:2], (), "exchange") == (
        "exchange deals random numbers: it sees no data and no opened value, only sizes",
        "exchange together with any one of bank and bureau could read all inputs; without exchange, each keeps its "
        "inputs even from all the others together",
        ASSUMED,
    )
    assert leakage.trust("replicated", NAMES, (), None) == (
        "any two of bank, bureau and telecom together could read all inputs; no other group of institutions can",
        ASSUMED,
    )
    assert leakage.trust("replicated", (*NAMES, "lab", "shop"), (0, 1, 3), None)[:2] == (
        "any two of bank, bureau and lab together could read all inputs; no other group of institutions can",
        "telecom and shop only share their inputs in and receive",
    )


def test_the_label_owner_may_be_anybody():
    assert ("test scores", (2,)) in stated("train", outputs(), 2)
    assert leakage.openings("train", "lr", outputs(), NAMES, 2, {})[3][2].endswith("and the intercept")


@pytest.mark.parametrize(
    ("scores", "weights", "metrics"),
    list(itertools.product(("label-owner", "all", "none"), ("owner", "all"), ("all", "label-owner"))),
)
def test_every_choice_of_outputs(scores, weights, metrics):
    found = dict(stated("train", outputs(scores, weights, metrics), 1))
    assert ("weights" in found) == (weights == "all")
    assert found.get("test scores") == {"all": (0, 1, 2), "label-owner": (1,), "none": None}[scores]
    told = None if scores == "none" else {"all": (0, 1, 2), "label-owner": (1,)}[metrics]
    assert found.get("metrics") == told


def test_predictions_and_releases():
    assert stated("predict", outputs()) == [("alignment", (0, 1, 2)), ("scores", (0,))]
    assert stated("predict", outputs("all"))[1] == ("scores", (0, 1, 2))
    assert stated("release", outputs())[-2:] == [("coefficients", (0, 1, 2)), ("intercept", (0, 1, 2))]
    released = {what: text for what, _, text in leakage.openings("release", "lr", outputs(), NAMES, 1, {})}
    assert "deviation" not in released["coefficients"]
    assert (
        "bureau can tell the sum of coefficient times mean over the columns of all other parties"
        in released["intercept"]
    )
    two = {what: text for what, _, text in leakage.openings("release", "lr", outputs(weights="all"), NAMES[:2], 1, {})}
    assert "its standard deviation" in two["coefficients"]
    assert "all can tell the sum of coefficient times mean over the columns of the other party" in two["intercept"]
    with pytest.raises(DataError, match="opens scores to nobody"):
        leakage.openings("predict", "lr", outputs("none"), NAMES, 0, {})
    with pytest.raises(DataError, match="no leakage statement for 'svm'"):
        leakage.openings("train", "svm", outputs(), NAMES, 0, {})


def test_trees():
    everyone = (0, 1, 2)
    stated = [(what, to) for what, to, _ in leakage.openings("train", "gbdt", outputs(), NAMES, 0, {})]
    assert stated == [
        ("alignment", everyone),
        ("split owners", everyone),
        *((f"splits of party {rank}", (rank,)) for rank in everyone),
        *((f"importance of party {rank}", (rank,)) for rank in everyone),
        ("test scores", (0,)),
        ("metrics", everyone),
    ]
    released = [(what, to) for what, to, _ in leakage.openings("release", "gbdt", outputs(), NAMES, 0, {})]
    assert released == [("leaves", everyone), ("released splits", everyone)]
    with pytest.raises(DataError, match="no weights to open"):
        leakage.openings("train", "gbdt", outputs(weights="all"), NAMES, 0, {})


def what_of(kind, params, **choices):
    return {what: to for what, to, _ in leakage.openings(kind, "gbdt", outputs(**choices), NAMES, 1, params)}


def test_what_trees_open_besides():
    everyone = (0, 1, 2)
    assert not any("importance" in what for what in what_of("train", {}, importance="none"))
    assert what_of("train", {}, importance="all")["importance of party 2"] == everyone
    assert what_of("train", {"early_stopping_rounds": 3})["stop"] == everyone
    assert "stop" not in what_of("train", {"early_stopping_rounds": 0})
    assert what_of("train", {}, training="label-owner")["training metric"] == (1,)
    assert what_of("train", {}, training="all")["training metric"] == everyone


def test_a_label_in_its_own_unit_is_told_with_what_shows_it():
    real = {"objective": "reg:squarederror"}
    assert "label unit" not in what_of("train", real)
    assert "label unit" not in what_of("predict", real)
    for kind, choice in (("train", {"scores": "all"}), ("train", {"training": "all"}), ("predict", {"scores": "all"})):
        assert what_of(kind, real, **choice)["label unit"] == (0, 1, 2)
        assert "label unit" not in what_of(kind, {}, **choice)
    assert "label unit" in what_of("release", real)
    count = {"objective": "count:poisson"}
    assert "base margin" in what_of("release", count)
    assert "base margin" not in what_of("release", count | {"base_score": 1.0})
