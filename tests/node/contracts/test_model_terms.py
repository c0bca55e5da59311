"""Who may use a model, and how: exactly those, and exactly so, as its contract said."""

from dataclasses import replace

import pytest
from support.tee.members import CODE, JOB, contract, use

from hansa.node.contracts.model_terms import incompatibility
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.consent.terms import Align, Dealer, Enclave, Outputs

STRANGER = b"s" * 32
FIRST, SECOND, THIRD = JOB.parties


@pytest.mark.parametrize("kind", ["predict", "release"])
def test_its_own_parties_use_it_as_it_was_trained(kind):
    elsewhere = Enclave(b"f" * 32, "another", 2)
    moved = tuple(replace(party, dataset="newer", schema_digest=b"d" * 32) for party in JOB.parties)
    assert incompatibility(JOB, use(kind=kind)) is None
    assert (
        incompatibility(JOB, use(kind=kind, enclave=elsewhere, codes=(Code("SGX", b"z" * 32),), parties=moved)) is None
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"parties": (replace(FIRST, identity=STRANGER), SECOND, THIRD)},
        {"parties": (FIRST, SECOND)},
        {"parties": (SECOND, FIRST, THIRD)},
        {"parties": (replace(FIRST, label=None), replace(SECOND, label="y"), THIRD)},
        {"parties": (replace(FIRST, columns=("age", "income")), SECOND, THIRD)},
        {"parties": (replace(FIRST, categorical=("age",)), SECOND, THIRD)},
        {"algorithm": "gbdt"},
        {"params": JOB.params | {"epochs": 3}},
        {"frac_bits": 17},
        {"outputs": Outputs("all", "owner", "all")},
        {"align": Align("exact")},
        {"enclave": Enclave(b"e" * 32, "tee", 1)},
        {"codes": ()},
        {"computing": (0, 1)},
        {"engine": "additive", "enclave": None, "dealer": Dealer(b"e" * 32, "tee")},
    ],
    ids="-".join,
)
def test_nobody_else_uses_it_and_nobody_in_another_way(changes):
    assert incompatibility(JOB, use(**changes)) == "it does not fit the contract under which the model was trained"


def test_a_proven_dealer_is_not_exchanged_for_one_that_proves_nothing():
    dealt = replace(JOB, engine="additive", enclave=None, dealer=Dealer(b"e" * 32, "tee"))
    assert incompatibility(dealt, use(dealt)) is None
    assert incompatibility(dealt, use(dealt, codes=())) is not None
    assert incompatibility(replace(dealt, codes=()), use(replace(dealt, codes=()), codes=(CODE,))) is not None


def test_another_model_and_no_model_are_not_this_one():
    assert incompatibility(JOB, use(model=contract("another").job_id)) == "it names another model"
    assert incompatibility(JOB, JOB) == "it names another model"
    assert incompatibility(use(), use(use())) == "it names another model"
