"""The job file's [[party]] and [outputs] for boosted trees: categories, sample weights, importance."""

import pytest

from hansa.config.errors import ConfigError
from hansa.config.jobfile import parse

HEAD = 'name = "n"\npurpose = "p"\nalgorithm = "gbdt"\n'
PARTY = '[[party]]\nname = "bank"\ndataset = "clients"\nlabel = "default"\n'
OTHER = '[[party]]\nname = "lab"\ndataset = "tests"\n'


def test_categories_and_weights():
    text = PARTY + 'weight = "w"\ncategorical = ["town"]\n' + OTHER + 'columns = ["a", "b"]\ncategorical = ["b"]\n'
    bank, lab = parse(HEAD + text, "job.toml").parties
    assert (bank.columns, bank.categorical, bank.weight) == (("*",), ("town",), "w")
    assert (lab.columns, lab.categorical, lab.weight) == (("a", "b"), ("b",), None)


def test_who_learns_what_of_trees():
    outputs = parse(HEAD + PARTY, "job.toml").outputs
    assert (outputs.importance, outputs.training_metric) == ("owner", "none")
    written = '[outputs]\nimportance = "all"\ntraining_metric = "label-owner"\n'
    outputs = parse(HEAD + written + PARTY, "job.toml").outputs
    assert (outputs.importance, outputs.training_metric) == ("all", "label-owner")
    outputs = parse(HEAD.replace("gbdt", "lr") + '[outputs]\nimportance = "none"\n' + PARTY, "job.toml").outputs
    assert (outputs.importance, outputs.training_metric) == ("none", "none")


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (PARTY + 'categorical = "town"\n', 8, r"party\.categorical must be a list of strings"),
        (
            PARTY + 'categorical = ["default"]\n',
            8,
            r"party\.categorical names 'default', which is not among the features",
        ),
        (PARTY + 'categorical = ["a", "a"]\n', 8, r"party\.categorical names 'a' twice"),
        (
            PARTY + 'columns = ["a"]\ncategorical = ["b"]\n',
            9,
            r"names 'b', which is not among the features \(`columns`\)",
        ),
        (PARTY + 'weight = ""\n', 8, r"party\.weight cannot be ''"),
        (PARTY + 'weight = "default"\n', 8, r"party\.weight is 'default', the label"),
        (PARTY + 'columns = ["w"]\nweight = "w"\n', 9, r"party\.weight is 'w', a feature"),
        (PARTY + 'categorical = ["w"]\nweight = "w"\n', 9, r"party\.weight is 'w', a feature"),
        (PARTY + OTHER + 'weight = "w"\n', 11, r"party\.weight belongs into the section with the label"),
        (PARTY + '[outputs]\nimportance = "label-owner"\n', 9, r"outputs\.importance must be one of owner, all, none"),
        (
            PARTY + '[outputs]\ntraining_metric = "owner"\n',
            9,
            r"outputs\.training_metric must be one of none, label-owner",
        ),
    ],
)
def test_what_is_wrong_is_named(text, line, why):
    with pytest.raises(ConfigError, match=why) as caught:
        parse(HEAD + text, "job.toml")
    assert caught.value.fields["line"] == line


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        (PARTY + 'categorical = ["a"]\n', 8, r"party\.categorical"),
        (PARTY + 'weight = "w"\n', 8, r"party\.weight"),
        ('[outputs]\nimportance = "owner"\n' + PARTY, 5, r"outputs\.importance"),
        ('[outputs]\ntraining_metric = "all"\n' + PARTY, 5, r"outputs\.training_metric"),
    ],
)
def test_what_only_trees_take(text, line, key):
    with pytest.raises(ConfigError, match=f"{key} goes with the algorithm gbdt only, not with lr") as caught:
        parse(HEAD.replace("gbdt", "lr") + text, "job.toml")
    assert caught.value.fields["line"] == line
