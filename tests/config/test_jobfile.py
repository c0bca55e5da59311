"""The job file: the grammar of docs/job.md, its bounds, and errors with line and key."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.config.errors import ConfigError
from hansa.config.jobfile import duration_s, parse
from hansa.config.params import ALGORITHMS, PARAMS

DOCS = Path(__file__).parents[2] / "docs"
HEAD = 'name = "n"\npurpose = "p"\nalgorithm = "lr"\n'
PARTY = '[[party]]\nname = "bank"\ndataset = "clients"\nlabel = "default"\n'


def test_the_least_job_file_has_the_defaults():
    job = parse(HEAD + PARTY, "job.toml")
    assert (job.engine, job.expires_in_s, job.seed) == ("auto", 3600, None)
    assert job.params == {"epochs": 10, "batch_size": 1024, "learning_rate": 0.5, "l2": 0.0}
    assert (job.align.normalise, job.split.test) == ("trim", 0.2)
    assert (job.outputs.scores, job.outputs.weights, job.outputs.metrics) == ("label-owner", "owner", "all")
    assert job.parties[0].columns == ("*",)


def test_a_dealer_and_the_parties_that_compute():
    job = parse(HEAD + 'engine = "additive"\ndealer = "exchange"\n' + PARTY, "job.toml")
    assert (job.engine, job.dealer, job.computing) == ("additive", "exchange", ())
    parties = "".join(f'[[party]]\nname = "{name}"\ndataset = "d"\n' for name in "abc")
    job = parse(HEAD + 'engine = "replicated"\ncomputing = ["c", "bank", "a"]\n' + PARTY + parties, "job.toml")
    assert (job.dealer, job.computing) == (None, ("c", "bank", "a"))


def test_the_example_in_the_docs():
    example = re.search(r"```toml\n(.*?)```", (DOCS / "job.md").read_text(), re.DOTALL)[1]
    job = parse(example, "job.toml")
    assert len(job.parties) == 3
    assert job.seed == bytes.fromhex("00112233445566778899aabbccddeeff")


def test_the_example_of_trees_in_the_docs():
    _, example = re.findall(r"```toml\n(.*?)```", (DOCS / "job.md").read_text(), re.DOTALL)
    insurer, bureau = parse(example, "job.toml").parties
    assert (insurer.columns, insurer.categorical, insurer.weight) == (("*",), ("town",), "years")
    assert bureau.categorical == ("trade",)


def test_the_examples_shipped():
    texts = {path: path.read_text() for path in (DOCS.parent / "examples").glob("**/*.toml")}
    parsed = [parse(text, str(path)) for path, text in texts.items() if "[[party]]" in text]
    assert len(parsed) >= 2


def test_every_key_is_in_the_docs():
    text = (DOCS / "job.md").read_text()
    keys = "name purpose algorithm engine dealer computing expires_in seed normalise test scores weights metrics importance"
    keys += " training_metric dataset label columns categorical weight"
    for key in [*keys.split(), *(name for algorithm in ALGORITHMS for name in PARAMS[algorithm])]:
        assert f"`{key}`" in text


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (PARTY, None, "name is missing"),
        ('name = ""\n' + PARTY, 1, "name cannot be ''"),
        (f'name = "{"n" * 129}"\n' + PARTY, 1, "name cannot be"),
        ('name = "n"\npurpose = "\\u202ep"\n' + PARTY, 2, "purpose cannot be"),
        ('name = "n"\npurpose = "p"\nalgorithm = "svm"\n' + PARTY, 3, "algorithm must be one of lr, gbdt"),
        (
            HEAD.replace('"lr"', '"gbdt"') + "[gbdt]\nmax_depth = 11\n" + PARTY,
            5,
            r"gbdt\.max_depth must be an integer from 1",
        ),
        (
            HEAD.replace('"lr"', '"gbdt"') + "[gbdt]\nmax_bin = 256\n" + PARTY,
            5,
            r"gbdt\.max_bin must be an integer from 2",
        ),
        (HEAD.replace('"lr"', '"gbdt"') + "[gbdt]\nreg_lambda = 0\n" + PARTY, 5, r"gbdt\.reg_lambda must be a number"),
        (HEAD.replace('"lr"', '"gbdt"') + "[lr]\nepochs = 3\n" + PARTY, 4, "lr is not a key hansa knows"),
        (HEAD + 'engine = "spdz"\n' + PARTY, 4, "engine must be one of auto, additive, replicated, enclave"),
        (
            HEAD + 'engine = "enclave"\nenclave = "tee:x"\nenclave_votes = 9\n' + PARTY,
            6,
            r"enclave_votes is 9, and the job has \d parties to vote",
        ),
        (HEAD + 'engine = "enclave"\n' + PARTY, None, 'needs it: write enclave = "tee:PEER"'),
        (HEAD + 'engine = "replicated"\ndealer = "x"\n' + PARTY, 5, "dealer goes with the engine additive only"),
        (HEAD + 'dealer = "bank"\n' + PARTY, 4, "dealer is 'bank', a party of the job"),
        (HEAD + 'dealer = ""\n' + PARTY, 4, "dealer cannot be ''"),
        (HEAD + 'computing = ["bank"]\n' + PARTY, 4, "computing goes with the engine replicated only"),
        (HEAD + 'engine = "replicated"\ncomputing = ["bank"]\n' + PARTY, 5, "computing must name 3 different parties"),
        (HEAD + 'engine = "replicated"\ncomputing = ["a", "b", "c"]\n' + PARTY, 5, "names 'a', which is no party"),
        (HEAD + 'expires_in = "soon"\n' + PARTY, 4, "expires_in cannot be 'soon': write 90s, 15m, 2h or 7d"),
        (HEAD + 'expires_in = "31d"\n' + PARTY, 4, "at most 30d"),
        (HEAD + 'seed = "12"\n' + PARTY, 4, "seed cannot be '12'"),
        (HEAD + "epochs = 3\n" + PARTY, 4, "epochs is not a key hansa knows"),
        (HEAD + "[lr]\nepochs = 0\n" + PARTY, 5, r"lr\.epochs must be an integer from 1 to 1000"),
        (HEAD + "[lr]\nepochs = 1001\n" + PARTY, 5, r"lr\.epochs must be"),
        (HEAD + "[lr]\nepoch = 10\n" + PARTY, 5, r"lr\.epoch .*did you mean 'epochs'"),
        (HEAD + "[lr]\nbatch_size = 1000001\n" + PARTY, 5, r"lr\.batch_size must be"),
        (HEAD + "[lr]\nlearning_rate = 0\n" + PARTY, 5, r"lr\.learning_rate must be a number from 1e-06 to 100"),
        (HEAD + "[lr]\nlearning_rate = nan\n" + PARTY, 5, r"lr\.learning_rate must be a number"),
        (HEAD + "[lr]\nl2 = -0.1\n" + PARTY, 5, r"lr\.l2 must be a number from 0 to 100"),
        (HEAD + "[split]\ntest = 0.95\n" + PARTY, 5, r"split\.test must be a number from 0 to 0\.9"),
        (HEAD + '[align]\nnormalise = "upper"\n' + PARTY, 5, r"align\.normalise must be one of exact"),
        (HEAD + '[outputs]\nweights = "none"\n' + PARTY, 5, r"outputs\.weights must be one of owner, all"),
        (HEAD + '[outputs]\nscores = "none"\n' + PARTY, 5, r"nobody can compute the test metrics"),
        (HEAD, None, r"party is missing: write one \[\[party\]\] section"),
        (HEAD + PARTY.replace('label = "default"\n', ""), 4, r"in exactly one section, not in 0"),
        (HEAD + PARTY + PARTY.replace("bank", "lab"), 4, r"in exactly one section, not in 2"),
        (HEAD + PARTY + PARTY.replace('label = "default"\n', ""), 4, r"names 'bank' twice"),
        (HEAD + PARTY + "colums = ['a']\n", 8, r"party\.colums .*did you mean 'columns'"),
        (HEAD + PARTY + "columns = 'a'\n", 8, r"party\.columns must be a list of strings"),
        (HEAD + PARTY + '[[party]]\nname = "lab"\n', 8, r"party\.dataset is missing"),
        (HEAD + PARTY + "[lr]\nepochs = \n", 9, "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(text, line, why):
    with pytest.raises(ConfigError, match=why) as caught:
        parse(text, "job.toml")
    assert caught.value.fields["line"] == line
    assert caught.value.fields["file"] == "job.toml"


def test_no_test_part_needs_no_scores():
    job = parse(HEAD + '[split]\ntest = 0\n[outputs]\nscores = "none"\n' + PARTY, "job.toml")
    assert (job.split.test, job.outputs.scores) == (0.0, "none")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), ("30d", 2592000)])
def test_durations(text, seconds):
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "0s", "-1h", "1.5h", "2592001s", "1w", " 1h", "1h ", "99999999s"])
def test_no_durations(text):
    with pytest.raises(ValueError, match="write 90s, 15m, 2h or 7d"):
        duration_s(text)


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=100))
def test_any_text_is_a_job_or_our_own_error(text):
    for candidate in (text, HEAD + PARTY + text, HEAD + text + PARTY):
        with suppress(ConfigError):
            parse(candidate, "job.toml")
