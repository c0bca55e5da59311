import dataclasses

import pytest

from hansa.config.policy import Policy, Rule
from hansa.node.contracts.explain import openings_of
from hansa.node.contracts.policy_match import decide
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.terms import Align, Dealer, Enclave, Limits, Outputs, Party

ME, B, C = b"a" * 32, b"b" * 32, b"c" * 32
NAMES = {B: "bureau", C: "telecom"}
OUTPUTS = Outputs("label-owner", "owner", "all")
PARTIES = tuple(
    Party(identity, f"called-{i}", "clients", b"d" * 32, ("x",), "y" if i == 0 else None)
    for i, identity in enumerate((ME, B, C))
)
CONTRACT = Contract(
    version=1,
    kind="train",
    name="n",
    purpose="credit risk 2026",
    parties=PARTIES,
    align=Align("trim"),
    algorithm="lr",
    params={},
    test_fraction=0.2,
    seed=bytes(16),
    frac_bits=18,
    engine="replicated",
    outputs=OUTPUTS,
    model=None,
    openings=openings_of("train", "lr", OUTPUTS, PARTIES, {}),
    limits=Limits(1000),
    created=0,
    expires=60,
    nonce=bytes(16),
)


def action(rule, contract=CONTRACT, names=None):
    return decide(Policy("ask", (rule,)), contract, ME, NAMES if names is None else names).action


def test_the_first_rule_that_matches_decides():
    policy = Policy("ask", (Rule("refuse", kinds=("predict",)), Rule("approve"), Rule("refuse")))
    decision = decide(policy, CONTRACT, ME, NAMES)
    assert decision.action == "approve"
    assert decision.reason == "rule 2 of policy.toml says approve"


def test_the_default_decides_where_none_matches():
    decision = decide(Policy("refuse", (Rule("approve", datasets=("other",)),)), CONTRACT, ME, NAMES)
    assert decision.action == "refuse"
    assert "its default says refuse" in decision.reason


@pytest.mark.parametrize(
    ("fields", "matches"),
    [
        ({"importance": ("none",)}, True),
        ({"importance": ("owner", "all")}, False),
        ({"training_metric": ("none", "label-owner")}, True),
        ({"training_metric": ("all",)}, False),
        ({"peers": ("bureau", "telecom")}, True),
        ({"peers": ("bureau",)}, False),
        ({"peers": ("called-1", "called-2")}, False),
        ({"peers": ("*",)}, True),
        ({"datasets": ("clients",)}, True),
        ({"datasets": ("cli*",)}, True),
        ({"datasets": ("patients",)}, False),
        ({"kinds": ("train", "predict")}, True),
        ({"kinds": ("release",)}, False),
        ({"algorithms": ("lr",)}, True),
        ({"algorithms": ("gbdt",)}, False),
        ({"purposes": ("credit risk*",)}, True),
        ({"purposes": ("marketing*",)}, False),
        ({"scores": ("label-owner", "none")}, True),
        ({"scores": ("all",)}, False),
        ({"weights": ("owner",)}, True),
        ({"weights": ("all",)}, False),
        ({"engines": ("replicated",)}, True),
        ({"engines": ("additive",)}, False),
        ({"roles": ("party", "dealer")}, True),
        ({"roles": ("dealer",)}, False),
        ({"dealers": ("exchange",)}, True),
        ({"max_rows": 1000}, True),
        ({"max_rows": 999}, False),
    ],
)
def test_every_line_of_a_rule_must_match(fields, matches):
    assert action(Rule("approve", **fields)) == ("approve" if matches else "ask")


def test_a_stranger_matches_no_rule():
    assert action(Rule("approve"), names={B: "bureau"}) == "ask"


def test_a_release_gives_weights_to_all_and_asks_for_no_dataset():
    released = dataclasses.replace(CONTRACT, kind="release", model=b"m" * 32)
    assert action(Rule("approve", weights=("owner",)), released) == "ask"
    assert action(Rule("approve", weights=("all",), datasets=("other",)), released) == "approve"


D = b"d" * 32
DEALT = dataclasses.replace(CONTRACT, version=2, engine="additive", dealer=Dealer(D, "called-d"))
WITH_DEALER = {**NAMES, D: "exchange"}


@pytest.mark.parametrize(
    ("fields", "matches"),
    [
        ({}, False),
        ({"peers": ("bureau", "telecom")}, False),
        ({"peers": ("bureau", "telecom", "exchange")}, True),
        ({"peers": ("*",)}, True),
        ({"dealers": ("exchange",)}, True),
        ({"dealers": ("exch*",)}, True),
        ({"dealers": ("called-d",)}, False),
        ({"dealers": ("market",), "peers": ("*",)}, False),
        ({"dealers": ("exchange",), "peers": ("bureau",)}, False),
        ({"dealers": ("exchange",), "engines": ("replicated",)}, False),
        ({"dealers": ("exchange",), "roles": ("dealer",)}, False),
    ],
)
def test_an_approval_must_name_the_dealer(fields, matches):
    assert action(Rule("approve", **fields), DEALT, WITH_DEALER) == ("approve" if matches else "ask")


def test_an_unknown_dealer_is_approved_by_no_rule():
    assert action(Rule("approve", dealers=("*",)), DEALT, NAMES) == "ask"


@pytest.mark.parametrize("forbidden", ["refuse", "ask"])
def test_naming_a_dealer_is_no_way_around_a_rule(forbidden):
    policy = Policy("approve", (Rule(forbidden, scores=("label-owner",)), Rule("approve", dealers=("exchange",))))
    assert decide(policy, DEALT, ME, WITH_DEALER).action == forbidden


def test_a_dealer_can_be_refused_by_name():
    policy = Policy("approve", (Rule("refuse", dealers=("exchange",)),))
    assert decide(policy, DEALT, ME, WITH_DEALER).action == "refuse"
    assert decide(policy, CONTRACT, ME, WITH_DEALER).action == "approve"
    other = decide(policy, DEALT, ME, {**NAMES, D: "market"})
    assert (other.action, other.reason) == ("ask", "no rule of policy.toml approves of the dealer")


def test_nobody_becomes_a_dealer_unasked():
    names = {ME: "bank", **NAMES}
    rules = (Rule("approve", peers=("*",)), Rule("refuse", kinds=("train",)))
    asked = decide(Policy("approve", rules), DEALT, D, names)
    assert (asked.action, asked.reason) == ("ask", "no rule of policy.toml lets this node be the dealer")
    assert decide(Policy("refuse", rules), DEALT, D, names).action == "refuse"
    willing = Rule("approve", roles=("dealer",), peers=("bank", "bureau", "telecom"))
    assert decide(Policy("refuse", (willing,)), DEALT, D, names).action == "approve"
    assert decide(Policy("refuse", (willing,)), DEALT, D, {**names, C: "other"}).action == "refuse"
    assert decide(Policy("ask", (willing,)), CONTRACT, ME, NAMES).action == "ask"


def test_what_trees_open_can_be_allowed_as_scores_can():
    outputs = dataclasses.replace(OUTPUTS, importance="all", training_metric="label-owner")
    contract = dataclasses.replace(CONTRACT, algorithm="gbdt", outputs=outputs)
    assert action(Rule("approve", importance=("all",), training_metric=("label-owner",)), contract) == "approve"
    assert action(Rule("approve", importance=("owner", "none")), contract) == "ask"
    assert action(Rule("refuse", training_metric=("label-owner", "all")), contract) == "refuse"


PROVEN = dataclasses.replace(DEALT, version=4, codes=(Code("SGX", bytes(32)),))


@pytest.mark.parametrize(
    ("fields", "proven", "unproven"),
    [
        ({"dealers": ("tee:exchange",)}, True, False),
        ({"dealers": ("tee:*",)}, True, False),
        ({"dealers": ("exchange",)}, False, True),
        ({"dealers": ("exch*",)}, False, True),
        ({"dealers": ("exchange", "tee:exchange")}, True, True),
        ({"dealers": ("*",)}, True, True),
        ({"dealers": ("tee:market",)}, False, False),
        ({"peers": ("bureau", "telecom", "exchange")}, True, True),
        ({"peers": ("bureau", "telecom", "tee:exchange")}, False, False),
        ({"dealers": ("tee:exchange",), "peers": ("*",)}, True, False),
    ],
)
def test_a_rule_for_a_proven_dealer_approves_none_that_proves_nothing(fields, proven, unproven):
    rule = Rule("approve", **fields)
    assert action(rule, PROVEN, WITH_DEALER) == ("approve" if proven else "ask")
    assert action(rule, DEALT, WITH_DEALER) == ("approve" if unproven else "ask")


@pytest.mark.parametrize(("named", "unproven"), [("exchange", True), ("tee:exchange", False)])
def test_proving_its_code_is_no_way_around_a_refusal(named, unproven):
    rule = Rule("refuse", dealers=(named,))
    assert action(rule, PROVEN, WITH_DEALER) == "refuse"
    assert action(rule, DEALT, WITH_DEALER) == ("refuse" if unproven else "ask")


def inside(votes):
    return dataclasses.replace(PROVEN, engine="enclave", dealer=None, enclave=Enclave(D, "called-d", votes))


@pytest.mark.parametrize(
    ("fields", "matches"),
    [
        ({"enclaves": ("exchange",)}, True),
        ({"enclaves": ("tee:exchange",)}, True),  # as job files name it: an enclave always proves its code
        ({"peers": ("*",)}, True),
        ({"enclaves": ("market",)}, False),
        ({"dealers": ("exchange",)}, False),
        ({}, False),
    ],
)
def test_an_approval_must_name_the_enclave(fields, matches):
    assert action(Rule("approve", **fields), inside(3), WITH_DEALER) == ("approve" if matches else "ask")


@pytest.mark.parametrize(
    ("least", "votes", "matches"),
    [
        (None, 3, True),
        (None, 2, False),
        (None, 1, False),
        (2, 2, True),
        (2, 3, True),
        (2, 1, False),
        (1, 1, True),
        (4, 3, False),
    ],
)
def test_a_proposer_alone_does_not_set_how_few_votes_move_the_keys(least, votes, matches):
    rule = Rule("approve", enclaves=("exchange",), enclave_votes=least)
    assert action(rule, inside(votes), WITH_DEALER) == ("approve" if matches else "ask")
    assert action(Rule("approve", roles=("enclave",)), inside(votes), WITH_DEALER) == "ask"
    names = {ME: "bank", **NAMES}
    assert decide(Policy("ask", (Rule("approve", roles=("enclave",)),)), inside(votes), D, names).action == "approve"


@pytest.mark.parametrize("votes", [1, 3])
def test_asking_for_few_votes_is_no_way_around_a_refusal(votes):
    assert action(Rule("refuse", scores=("label-owner",)), inside(votes), WITH_DEALER) == "refuse"
    assert decide(Policy("approve"), inside(votes), ME, WITH_DEALER).action == "ask"
