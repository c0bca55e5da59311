"""policy.toml: reading it, and refusing what it cannot mean."""

from __future__ import annotations

import tomllib

import pytest

from hansa.config.errors import ConfigError
from hansa.config.policy import DEFAULT_TEXT, Policy, Rule, load_policy


def load(tmp_path, text):
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return load_policy(path)


def test_a_missing_file_asks_about_everything(tmp_path):
    assert load_policy(tmp_path / "none.toml") == Policy("ask", ())


def test_the_file_that_init_writes(tmp_path):
    assert load(tmp_path, DEFAULT_TEXT) == Policy("ask", ())


def test_its_commented_example_is_good(tmp_path):
    rule = DEFAULT_TEXT.partition("# [[rule]]")[2]
    text = "[[rule]]" + rule.replace("\n# ", "\n")
    tomllib.loads(text)
    policy = load(tmp_path, text)
    assert policy.rules[0].action == "approve"
    assert policy.rules[0].max_rows == 1_000_000
    assert policy.rules[0].roles == ("party",)
    assert policy.rules[0].dealers == ("tee:exchange",)
    assert policy.rules[0].enclave_votes is None


def test_a_rule_is_about_a_party_unless_it_says_otherwise(tmp_path):
    rules = load(tmp_path, '[[rule]]\naction = "ask"\n[[rule]]\naction = "ask"\nroles = ["dealer"]\n').rules
    assert [rule.roles for rule in rules] == [("party",), ("dealer",)]
    assert load(tmp_path, '[[rule]]\naction = "approve"\nroles = []\n').rules[0].roles == ("party",)


@pytest.mark.parametrize(("said", "votes"), [("", None), ('enclave_votes = "all"', None), ("enclave_votes = 2", 2)])
def test_the_votes_that_an_approved_contract_must_ask_for(said, votes, tmp_path):
    assert load(tmp_path, f'[[rule]]\naction = "approve"\n{said}\n').rules[0].enclave_votes == votes


def test_rules_keep_their_order(tmp_path):
    text = 'default = "refuse"\n[[rule]]\naction = "ask"\nkinds = ["release"]\n[[rule]]\naction = "approve"\n'
    assert load(tmp_path, text) == Policy("refuse", (Rule("ask", kinds=("release",)), Rule("approve")))


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ('default = "yes"\n', 1, "default must be one of approve, ask, refuse"),
        ('[[rule]]\npeers = ["a"]\n', 1, r"rule\.action is missing"),
        ('[[rule]]\naction = "aprove"\n', 2, r"\(did you mean 'approve'\?\)"),
        ('[[rule]]\naction = "ask"\n[[rule]]\naction = "ask"\npeer = ["a"]\n', 5, r"rule\.peer .*did you mean 'peers'"),
        ('[[rule]]\naction = "ask"\nkinds = ["training"]\n', 3, "holds 'training'; known: train, predict, release"),
        ('[[rule]]\naction = "ask"\nweights = ["none"]\n', 3, "holds 'none'; known: owner, all"),
        ('[[rule]]\naction = "ask"\nimportance = ["label-owner"]\n', 3, "holds 'label-owner'; known: owner, all, none"),
        ('[[rule]]\naction = "ask"\ntraining_metric = ["owner"]\n', 3, "holds 'owner'; known: none, label-owner, all"),
        ('[[rule]]\naction = "ask"\nengines = ["auto"]\n', 3, "holds 'auto'; known: additive, replicated"),
        ('[[rule]]\naction = "ask"\nroles = ["viewer"]\n', 3, "holds 'viewer'; known: party, dealer"),
        ('[[rule]]\naction = "approve"\nenclave_votes = 0\n', 3, "must be 'all' or an integer from 1 to 16"),
        ('[[rule]]\naction = "approve"\nenclave_votes = 17\n', 3, "must be 'all' or an integer from 1 to 16"),
        ('[[rule]]\naction = "approve"\nenclave_votes = "most"\n', 3, "must be 'all' or an integer from 1 to 16"),
        ('[[rule]]\naction = "approve"\nenclave_votes = true\n', 3, "must be 'all' or an integer from 1 to 16"),
        ('[[rule]]\naction = "refuse"\nenclave_votes = "all"\n', 3, "enclave_votes is for rules that approve"),
        ('[[rule]]\naction = "ask"\npeers = "a"\n', 3, r"rule\.peers must be a list of strings"),
        ('[[rule]]\naction = "ask"\nmax_rows = 0\n', 3, r"rule\.max_rows must be an integer from 1"),
        ('[rule]\naction = "ask"\n', 1, r"must be written as \[\[rule\]\] sections"),
        ("default =\n", 1, "is not valid TOML"),
    ],
)
def test_errors_name_the_line(tmp_path, text, line, why):
    with pytest.raises(ConfigError, match=why) as caught:
        load(tmp_path, text)
    assert caught.value.fields["line"] == line


def test_an_unreadable_file(tmp_path):
    (tmp_path / "policy.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_policy(tmp_path / "policy.toml")
