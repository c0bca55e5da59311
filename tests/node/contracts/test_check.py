"""What a job file names that is not there, or does not fit, is refused by name."""

import dataclasses

import pytest
from support.contracts import NOW, TEXT, TREES, build, offers, with_weights

from hansa.node.contracts.build import contract_on_model
from hansa.node.contracts.check import KnownParty
from hansa.node.errors import UsageError
from hansa.protocols.wire.messages import DatasetInfo

TWO = TEXT[: TEXT.rindex("[[party]]")]


@pytest.mark.parametrize(
    ("before", "after", "match"),
    [
        ('name = "telecom"', 'name = "telekom"', r"'telekom' is neither this node nor .*did you mean 'telecom'\?"),
        ('name = "telecom"', 'name = "stranded"', "the node of stranded cannot be reached"),
        (
            'dataset = "clients"\ncolumns',
            'dataset = "other"\ncolumns',
            r"bureau shows no dataset 'other' \(did you mean",
        ),
        ('"income", "age"', '"income", "agee"', r"no column 'agee' \(did you mean 'age'\?\)"),
        ('"income", "age"', '"income", "city"', "'city' of bureau's dataset 'clients' holds text"),
        ('"income", "age"', '"income", "id"', "'id' of bureau is a key"),
        ('"income", "age"', '"income", "income"', "name one twice"),
        ('label = "default"', 'label = "defualt"', r"no column 'defualt' \(did you mean 'default'\?\)"),
        ('label = "default"', 'label = "city"', "the label 'city' of bank's dataset 'clients' holds text"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(before, after, match):
    with pytest.raises(UsageError, match=match):
        build(TEXT.replace(before, after))


def test_replicated_takes_three_parties_or_more():
    with pytest.raises(UsageError, match="'replicated' takes 3 to 16 parties, the job file has 2"):
        build('engine = "replicated"\n' + TWO)
    with pytest.raises(UsageError, match="'additive' takes 2 to 16 parties, the job file has 1"):
        build(TWO[: TWO.rindex("[[party]]")])


def test_one_institution_under_two_names_is_refused():
    known = offers()
    known["telecom"] = dataclasses.replace(known["telecom"], identity=b"a" * 32)
    with pytest.raises(UsageError, match="one party stands twice"):
        build(known=known)


def test_a_models_number_column_that_is_text_now():
    trained, known = build(), offers()
    now = DatasetInfo("new", b"n" * 32, (("id", "text"), ("age", "number"), ("income", "text")), ("id",), None)
    known["bank"] = KnownParty("bank", b"a" * 32, (now,))
    datasets = {"bank": "new", "bureau": "clients", "telecom": "clients"}
    with pytest.raises(UsageError, match=r"'income' of bank's dataset 'new' holds text \(or nothing\), not numbers"):
        contract_on_model(trained, "predict", datasets, known, now=NOW, expires_in_s=60)


def test_a_party_that_is_no_peer_any_more_is_named():
    trained, known = build(), offers()
    del known["bureau"]
    with pytest.raises(UsageError, match="bureau, who trained this model with you, is no longer"):
        contract_on_model(trained, "release", {}, known, now=NOW, expires_in_s=60)


@pytest.mark.parametrize(
    ("before", "after", "match"),
    [
        (
            '["income", "age"]',
            '["income", "city"]',
            r'holds text, not numbers\n.* write categorical = \["city"\], or leave',
        ),
        ('columns = ["income", "age"]', 'categorical = ["town"]', "no column 'town'"),
        ('columns = ["income", "age"]', 'categorical = ["id"]', "'id' of bureau is a key and cannot be a feature"),
        ('label = "default"', 'label = "default"\nweight = "weihgt"', "no column 'weihgt'"),
        ('label = "default"', 'label = "default"\nweight = "city"', "the weight 'city' of bank's .* holds text"),
        (
            'label = "default"',
            'label = "income"\nweight = "default"',
            "the weight 'default' of bank is the dataset's label",
        ),
    ],
)
def test_categories_and_weights_that_do_not_exist(before, after, match):
    with pytest.raises(UsageError, match=match):
        build(TREES.replace(before, after), with_weights())


def test_a_key_weighs_nothing():
    known = with_weights()
    keyed = DatasetInfo("clients", b"d" * 32, (("id", "number"), ("age", "number"), ("y", "number")), ("id",), None)
    known["bank"] = KnownParty("bank", b"a" * 32, (keyed,))
    with pytest.raises(UsageError, match="the weight 'id' of bank is a key"):
        build(TREES.replace('label = "default"', 'label = "y"\nweight = "id"'), known)
