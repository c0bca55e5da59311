"""A job file becomes a contract, and a trained model's contract one that uses the model."""

import pytest
from support.contracts import NOW, TEXT, TREES, build, info, offers, with_weights

from hansa.node.contracts.build import contract_on_model
from hansa.node.contracts.check import KnownParty
from hansa.node.contracts.explain import openings_of, trust_of
from hansa.node.errors import UsageError
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.terms import Dealer
from hansa.protocols.wire.messages import DatasetInfo


def test_a_job_file_becomes_a_contract_that_every_party_can_decode():
    contract = build()
    assert Contract.decode_untrusted(contract.encode()) == contract
    assert [party.name for party in contract.parties] == ["bank", "bureau", "telecom"]
    assert contract.parties[0].columns == ("age", "income")
    assert contract.parties[0].label == "default"
    assert contract.parties[1].columns == ("income", "age")
    assert (contract.created, contract.expires) == (NOW, NOW + 1800)
    assert contract.test_fraction == 0.25
    assert contract.limits.max_rows == 1000
    assert contract.openings == openings_of("train", "lr", contract.outputs, contract.parties, {})


def test_seed_and_nonce_are_fresh_unless_the_file_fixes_the_seed():
    one, other = build(), build()
    assert one.seed != other.seed
    assert one.nonce != other.nonce
    fixed = build('seed = "000102030405060708090a0b0c0d0e0f"\n' + TEXT)
    assert fixed.seed == bytes(range(16))


def test_a_dealer_is_a_peer_without_data():
    known = offers("exchange")
    text = 'dealer = "exchange"\n' + TEXT
    contract = build(text, known)
    assert contract.dealer == Dealer(b"e" * 32, "exchange")
    assert Contract.decode_untrusted(contract.encode()) == contract
    assert trust_of(contract)[0].startswith("exchange deals random numbers")
    with pytest.raises(UsageError, match=r"the dealer 'exchange' is neither this node nor one of its peers"):
        build(text)
    known["exchange"] = KnownParty("exchange", b"b" * 32, None)
    with pytest.raises(UsageError, match="the dealer 'exchange' is a party of the job too"):
        build(text, known)


def test_a_model_made_with_a_dealer_is_used_with_it():
    known = offers("exchange")
    trained = build('dealer = "exchange"\n' + TEXT, known)
    contract = contract_on_model(trained, "release", {}, known, now=NOW, expires_in_s=60)
    assert (contract.dealer, contract.engine) == (trained.dealer, "additive")
    with pytest.raises(UsageError, match="exchange, who trained this model with you, is no longer"):
        contract_on_model(trained, "release", {}, offers(), now=NOW, expires_in_s=60)


def test_three_of_more_parties_compute():
    more = '[[party]]\nname = "lab"\ndataset = "clients"\n'
    known = offers("lab")
    assert build('engine = "replicated"\n' + TEXT + more, known).computing == (0, 1, 2)
    chosen = 'engine = "replicated"\ncomputing = ["lab", "telecom", "bank"]\n' + TEXT + more
    contract = build(chosen, known)
    assert contract.computing == (0, 2, 3)
    assert trust_of(contract)[0].startswith("any two of bank, telecom and lab together could read")
    assert build('engine = "replicated"\n' + TEXT).computing == ()


def test_a_label_is_never_a_feature_of_star():
    known = offers()
    known["bureau"] = KnownParty("bureau", b"b" * 32, (info(label="age"),))
    text = TEXT.replace('columns = ["income", "age"]\n', "")
    assert build(text, known).parties[1].columns == ("income",)


@pytest.mark.parametrize("kind", ["predict", "release"])
def test_a_contract_on_a_model_keeps_what_it_was_trained_under(kind):
    trained = build()
    datasets = dict.fromkeys(("bank", "telecom"), "clients") | {"bureau": "others"}
    contract = contract_on_model(trained, kind, datasets, offers(), now=NOW, expires_in_s=60)
    assert Contract.decode_untrusted(contract.encode()) == contract
    assert contract.model == trained.job_id
    assert [p.columns for p in contract.parties] == [p.columns for p in trained.parties]
    assert contract.parties[1].dataset == ("others" if kind == "predict" else "clients")
    assert contract.label_rank == trained.label_rank
    assert contract.openings != trained.openings


def test_prediction_needs_the_models_columns_but_no_label():
    trained = build()
    known = offers()
    known["bank"] = KnownParty("bank", b"a" * 32, (info(name="new"),))
    datasets = {"bank": "new", "bureau": "clients", "telecom": "clients"}
    contract = contract_on_model(trained, "predict", datasets, known, now=NOW, expires_in_s=60)
    assert contract.parties[0].dataset == "new"
    narrow = DatasetInfo("new", b"n" * 32, (("id", "text"), ("age", "number")), ("id",), None)
    known["bank"] = KnownParty("bank", b"a" * 32, (narrow,))
    with pytest.raises(UsageError, match="'new' has no column 'income'"):
        contract_on_model(trained, "predict", datasets, known, now=NOW, expires_in_s=60)


def test_categories_and_sample_weights_of_trees():
    text = TREES.replace('label = "default"', 'label = "default"\nweight = "w"\ncategorical = ["city"]')
    text = text.replace('["income", "age"]', '["city", "age"]\ncategorical = ["age", "city"]')
    contract = build(text, with_weights())
    assert Contract.decode_untrusted(contract.encode()) == contract
    bank, bureau, telecom = contract.parties
    assert (bank.columns, bank.categorical, bank.weight) == (("age", "income", "city"), ("city",), "w")
    assert (bureau.columns, bureau.categorical, bureau.weight) == (("city", "age"), ("age", "city"), None)
    assert (telecom.columns, telecom.categorical) == (("age", "income"), ())
    assert (contract.outputs.importance, contract.outputs.training_metric) == ("owner", "none")
    known = with_weights()
    known["bank"] = KnownParty("bank", b"a" * 32, (info(name="new"),))
    datasets = {"bank": "new", "bureau": "clients", "telecom": "clients"}
    later = contract_on_model(contract, "predict", datasets, known, now=NOW, expires_in_s=60)
    assert Contract.decode_untrusted(later.encode()) == later
    assert [party.categorical for party in later.parties] == [party.categorical for party in contract.parties]
    assert later.params == contract.params
