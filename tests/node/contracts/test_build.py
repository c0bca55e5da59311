import dataclasses

import pytest

from hansa.config.jobfile import parse
from hansa.node.contracts.build import contract_from, contract_on_model, engine_of
from hansa.node.contracts.check import KnownParty
from hansa.node.contracts.explain import openings_of, trust_of, why_engine
from hansa.node.errors import UsageError
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.terms import Dealer, Enclave, Outputs
from hansa.protocols.wire.messages import DatasetInfo

NOW = 1_800_000_000
TEXT = """
name = "credit"
purpose = "predict default"
algorithm = "lr"
expires_in = "30m"
[split]
test = 0.25
[[party]]
name = "bank"
dataset = "clients"
label = "default"
[[party]]
name = "bureau"
dataset = "clients"
columns = ["income", "age"]
[[party]]
name = "telecom"
dataset = "clients"
"""


def info(*, name="clients", label=None, digest=b"d" * 32, extra=()):
    columns = (("id", "text"), ("age", "number"), ("income", "number"), ("city", "text"), *extra)
    return DatasetInfo(name, digest, columns, ("id",), label)


def offers():
    return {
        "bank": KnownParty("bank", b"a" * 32, (info(label="default", extra=(("default", "number"),)),)),
        "bureau": KnownParty("bureau", b"b" * 32, (info(), info(name="others"))),
        "telecom": KnownParty("telecom", b"c" * 32, (info(),)),
        "stranded": KnownParty("stranded", b"s" * 32, None),
    }


def build(text=TEXT, known=None):
    return contract_from(parse(text, "job.toml"), known or offers(), now=NOW, max_rows=1000)


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


TWO = TEXT[: TEXT.rindex("[[party]]")]


def known_with(*names):
    more = {name: KnownParty(name, name[0].encode() * 32, (info(),)) for name in names}
    return offers() | more


def test_replicated_takes_three_parties_or_more():
    with pytest.raises(UsageError, match="'replicated' takes 3 to 16 parties, the job file has 2"):
        build('engine = "replicated"\n' + TWO)
    with pytest.raises(UsageError, match="'additive' takes 2 to 16 parties, the job file has 1"):
        build(TWO[: TWO.rindex("[[party]]")])


def test_auto_is_additive_and_says_why():
    for text in (TWO, TEXT):
        contract = build(text)
        assert (contract.engine, contract.dealer, contract.computing) == ("additive", None, ())
        assert "nobody deals" in trust_of(contract)[0]
    job = parse(TEXT, "job.toml")
    assert engine_of(job) == "additive"
    assert why_engine(job) == "auto: the safest that fits, as any group of the others may collude, and nobody deals"
    dealt = parse('dealer = "exchange"\n' + TEXT, "job.toml")
    assert why_engine(dealt).startswith("auto: the job file names a dealer")
    assert why_engine(parse('engine = "replicated"\n' + TEXT, "job.toml")) == "the job file names it"


def test_a_dealer_is_a_peer_without_data():
    known = known_with("exchange")
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
    known = known_with("exchange")
    trained = build('dealer = "exchange"\n' + TEXT, known)
    contract = contract_on_model(trained, "release", {}, known, now=NOW, expires_in_s=60)
    assert (contract.dealer, contract.engine) == (trained.dealer, "additive")
    with pytest.raises(UsageError, match="exchange, who trained this model with you, is no longer"):
        contract_on_model(trained, "release", {}, offers(), now=NOW, expires_in_s=60)


def test_three_of_more_parties_compute():
    more = '[[party]]\nname = "lab"\ndataset = "clients"\n'
    known = known_with("lab")
    assert build('engine = "replicated"\n' + TEXT + more, known).computing == (0, 1, 2)
    chosen = 'engine = "replicated"\ncomputing = ["lab", "telecom", "bank"]\n' + TEXT + more
    contract = build(chosen, known)
    assert contract.computing == (0, 2, 3)
    assert trust_of(contract)[0].startswith("any two of bank, telecom and lab together could read")
    assert build('engine = "replicated"\n' + TEXT).computing == ()


def test_one_institution_under_two_names_is_refused():
    known = offers()
    known["telecom"] = dataclasses.replace(known["telecom"], identity=b"a" * 32)
    with pytest.raises(UsageError, match="one party stands twice"):
        build(known=known)


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


def test_openings_follow_the_outputs():
    parties = build().parties
    to_all = openings_of("train", "lr", Outputs("all", "all", "all"), parties, {})
    to_owner = openings_of("train", "lr", Outputs("label-owner", "owner", "label-owner"), parties, {})
    assert {o.to for o in to_all} == {(0, 1, 2)}
    assert (0,) in {o.to for o in to_owner}


TREES = TEXT.replace('"lr"', '"gbdt"')


def with_weights():
    known = offers()
    extra = (("default", "number"), ("w", "number"))
    known["bank"] = KnownParty("bank", b"a" * 32, (info(label="default", extra=extra),))
    return known


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


@pytest.mark.parametrize(
    ("votes", "said"),
    [
        (3, "once all 3 parties vote for that code"),
        (2, "once any 2 of the 3 parties vote for that code, whatever the others say"),
        (1, "once any 1 of the 3 parties votes for that code, whatever the others say"),
    ],
)
@pytest.mark.parametrize("platform", ["SGX", "insecure-simulated"])
def test_trust_says_how_many_votes_move_the_models_key(platform, votes, said):
    contract = build(TEXT.replace('algorithm = "lr"', 'algorithm = "lr"\nengine = "additive"'))
    code = Code(platform, bytes(32))
    inside = dataclasses.replace(contract, engine="enclave", enclave=Enclave(b"e" * 32, "vault", votes), codes=(code,))
    inside.check()
    assert any(said in sentence for sentence in trust_of(inside))
