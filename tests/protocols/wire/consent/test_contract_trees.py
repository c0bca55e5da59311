"""What contracts of version 3 say of boosted trees, and that older ones mean what they meant."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.config.errors import HansaError
from hansa.config.params import PARAMS, Choice, misfit
from hansa.protocols.errors import ConsentError, PeerMisbehaved
from hansa.protocols.wire import canonical, limits
from hansa.protocols.wire.consent.contract import VERSION, Contract
from hansa.protocols.wire.consent.terms import Dealer, Outputs

FIRST = {
    "n_estimators": 20,
    "max_depth": 3,
    "learning_rate": 0.3,
    "reg_lambda": 1.0,
    "gamma": 0.0,
    "min_child_weight": 1.0,
    "max_bin": 16,
}
"""What every contract for trees states."""
OLD = FIRST | {"base_score": 0.5}


def trees(trio_of, extra=(), **changes):
    fields = {"version": VERSION, "algorithm": "gbdt", "params": FIRST | dict(extra)}
    return trio_of.contract(**(fields | changes))


def with_parties(trio_of, *, first=None, second=None):
    one, two, three = trio_of.base.parties
    return {"parties": (replace(one, **(first or {})), replace(two, **(second or {})), three)}


def put(contract, path, new):
    """The contract's bytes with one field replaced; ``...`` takes it out."""
    value = canonical.decode_untrusted(contract.encode(), limits.CONTRACT_MAX_BYTES)
    where = value
    for step in path[:-1]:
        where = where[step]
    if new is ...:
        del where[path[-1]]
    else:
        where[path[-1]] = new
    return canonical.encode(value)


def test_contracts_of_earlier_versions_keep_their_job_ids(trio_of):
    """Golden: these ids were made by the versions that wrote such contracts."""
    dealt = {"engine": "additive", "dealer": Dealer(trio_of.stranger, "exchange")}
    for contract, job_id in (
        (trio_of.contract(), "03963048530b328992a656682404792ec4db5bc9152f4db8d439c0604dc33940"),
        (trees(trio_of, OLD, version=1), "dbbf0c935ba715cda4958fd0e62f40eca22b5355476272ae4a254e5478f9a06a"),
        (trees(trio_of, OLD, version=2, **dealt), "7902ad3a422f8b76ddba5eb59ea8e6232635d5d8ca50b719ae823af9385ad3bd"),
    ):
        again = Contract.decode_untrusted(contract.encode())
        assert again == contract
        assert again.job_id.hex() == job_id
        assert (again.outputs.importance, again.outputs.training_metric) == ("none", "none")
        assert {(party.categorical, party.weight) for party in again.parties} == {((), None)}


def test_everything_new_survives_the_wire_and_is_part_of_the_job_id(trio_of):
    params = {
        "objective": "multi:softprob",
        "num_class": 3,
        "reg_alpha": 0.5,
        "subsample": 0.8,
        "colsample_bytree": 0.5,
        "missing": True,
        "max_cat_to_onehot": 8,
        "early_stopping_rounds": 5,
        "validation_fraction": 0.25,
        "eval_metric": "logloss",
    }
    base = trees(trio_of)
    variants = [
        *(
            trees(trio_of, {name: value} | ({"num_class": 3} if name == "objective" else {}))
            for name, value in params.items()
            if name not in {"num_class"}
        ),
        trees(trio_of, params),
        trees(trio_of, {"base_score": 0.4}),
        trees(trio_of, {"scale_pos_weight": 2.0}),
        trees(trio_of, **with_parties(trio_of, second={"categorical": ("age",)})),
        trees(trio_of, **with_parties(trio_of, first={"weight": "importance"})),
        trees(trio_of, outputs=Outputs("label-owner", "owner", "all", "owner")),
        trees(trio_of, outputs=Outputs("label-owner", "owner", "all", "none", "all")),
    ]
    for variant in (base, *variants):
        assert Contract.decode_untrusted(variant.encode()) == variant
    assert len({variant.job_id for variant in (base, *variants)}) == len(variants) + 1


def test_whole_numbers_are_the_job_id_of_their_floats(trio_of):
    one, other = (
        trees(trio_of, {"subsample": 1, "base_score": 0.5}),
        trees(trio_of, {"subsample": 1.0, "base_score": 0.5}),
    )
    assert one.job_id == other.job_id == Contract.decode_untrusted(one.encode()).job_id


@pytest.mark.parametrize(
    ("path", "new"),
    [
        (("params", "objective"), "rank:pairwise"),
        (("params", "objective"), 1),
        (("params", "missing"), 1),
        (("params", "missing"), "true"),
        (("params", "num_class"), 33),
        (("params", "num_class"), True),
        (("params", "reg_alpha"), 1000.1),
        (("params", "reg_alpha"), True),
        (("params", "subsample"), 0.04),
        (("params", "subsample"), 1.01),
        (("params", "colsample_bytree"), 0.0),
        (("params", "base_score"), 1e10),
        (("params", "base_score"), None),
        (("params", "scale_pos_weight"), 128.5),
        (("params", "max_cat_to_onehot"), 0),
        (("params", "max_cat_to_onehot"), 256),
        (("params", "early_stopping_rounds"), -1),
        (("params", "validation_fraction"), 0.51),
        (("params", "eval_metric"), "error"),
        (("params", "n_estimators"), ...),
        (("params", "tree_method"), "hist"),
        (("outputs", "importance"), "label-owner"),
        (("outputs", "importance"), ...),
        (("outputs", "training_metric"), "owner"),
        (("parties", 0, "weight"), 1),
        (("parties", 0, "weight"), ""),
        (("parties", 0, "weight"), ...),
        (("parties", 1, "categorical"), "age"),
        (("parties", 1, "categorical"), ["c" * 257]),
        (("parties", 1, "categorical"), ["c"] * (limits.CONTRACT_MAX_COLUMNS + 1)),
        (("version",), 2),
    ],
)
def test_nothing_outside_the_vocabulary_is_read(trio_of, path, new):
    with pytest.raises(PeerMisbehaved, match="from a peer"):
        Contract.decode_untrusted(put(trees(trio_of), path, new))


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"objective": "multi:softprob"}, "num_class must be from 2 to 32"),
        ({"base_score": 0.995}, "base_score must be a probability from 0.01 to 0.99"),
        ({"early_stopping_rounds": 21}, "early_stopping_rounds is 21, more than the 20 trees"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_as_in_a_job_file(trio_of, params, match):
    with pytest.raises(ConsentError, match=f"'credit' has a parameter that does not fit: {match}"):
        Contract.decode_untrusted(trees(trio_of, params).encode())


def test_what_belongs_to_trees_only_or_elsewhere(trio_of):
    regression = {"version": VERSION, "algorithm": "lr", "params": trio_of.base.params}
    cases = [
        (regression | with_parties(trio_of, second={"categorical": ("age",)}), "has categories, which only gbdt takes"),
        (regression | with_parties(trio_of, first={"weight": "w"}), "has sample weights, which only gbdt takes"),
        (regression | {"outputs": Outputs("all", "all", "all", "owner")}, "opens importance or a training metric"),
        (
            regression | {"outputs": Outputs("all", "all", "all", "none", "all")},
            "opens importance or a training metric",
        ),
        (with_parties(trio_of, second={"categorical": ("city",)}), "has a category that is no feature"),
        (with_parties(trio_of, second={"categorical": ("age", "age")}), "names a category twice"),
        (with_parties(trio_of, second={"weight": "w"}), "has sample weights without the label"),
        (with_parties(trio_of, first={"weight": "default"}), "uses its sample weights as the label or a feature"),
        (with_parties(trio_of, first={"weight": "age"}), "uses its sample weights as the label or a feature"),
    ]
    for change, match in cases:
        with pytest.raises(ConsentError, match=match):
            Contract.decode_untrusted(trees(trio_of, **change).encode())


def test_people_can_read_it(trio_of):
    outputs = Outputs("label-owner", "owner", "all", "owner", "label-owner")
    parties = with_parties(trio_of, first={"weight": "w"}, second={"categorical": ("age",)})
    shown = trees(trio_of, {"missing": True}, outputs=outputs, **parties).describe()
    assert shown["params"]["missing"] is True
    assert (shown["outputs"]["importance"], shown["outputs"]["training_metric"]) == ("owner", "label-owner")
    assert (shown["parties"][0]["weight"], shown["parties"][1]["categorical"]) == ("w", ["age"])
    assert trio_of.contract().describe()["outputs"]["importance"] == "none"


JUNK = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=9)
)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_any_value_of_any_parameter_ends_in_our_errors(trio_of, data):
    names = data.draw(st.lists(st.sampled_from(sorted(PARAMS["gbdt"])), max_size=5))
    value = canonical.decode_untrusted(trees(trio_of).encode(), limits.CONTRACT_MAX_BYTES)
    for name in names:
        kind = PARAMS["gbdt"][name]
        likely = st.sampled_from(kind.choices) if isinstance(kind, Choice) else st.floats(0, 40) | st.integers(0, 40)
        value["params"][name] = data.draw(JUNK | likely)
    try:
        contract = Contract.decode_untrusted(canonical.encode(value))
    except HansaError:
        return
    assert canonical.decode_untrusted(contract.encode(), limits.CONTRACT_MAX_BYTES) == value
    assert misfit("gbdt", contract.params) is None
