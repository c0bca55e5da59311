import dataclasses

from hansa.node.worker.steps import terms_of
from hansa.protocols.wire.consent.contract import VERSION, Contract
from hansa.protocols.wire.consent.terms import Align, Limits, Outputs, Party


def test_what_algorithms_are_told_of_a_contract():
    bank = Party(b"a" * 32, "bank", "clients", b"d" * 32, ("age", "town"), "y", ("town",), "w")
    lab = Party(b"b" * 32, "lab", "tests", b"d" * 32, ("level",), None)
    contract = Contract(
        version=VERSION,
        kind="train",
        name="n",
        purpose="p",
        parties=(lab, bank),
        align=Align("trim"),
        algorithm="gbdt",
        params={"objective": "count:poisson", "missing": True},
        test_fraction=0.2,
        seed=bytes(16),
        frac_bits=18,
        engine="additive",
        outputs=Outputs("label-owner", "owner", "all", "all", "label-owner"),
        model=None,
        openings=(),
        limits=Limits(1000),
        created=0,
        expires=60,
        nonce=bytes(16),
    )
    terms = terms_of(contract)
    assert (terms.categorical, terms.weighted, terms.label_rank) == (((), ("town",)), True, 1)
    assert (terms.importance, terms.training_metric) == ("all", "label-owner")
    assert terms.params == {"objective": "count:poisson", "missing": True}
    light = dataclasses.replace(contract, parties=(lab, dataclasses.replace(bank, weight=None)))
    assert not terms_of(light).weighted
