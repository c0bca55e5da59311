"""What a contract means, in words that every member derives alike."""

import dataclasses

import pytest
from support.contracts import TEXT, build

from hansa.config.jobfile import parse
from hansa.node.contracts.build import engine_of
from hansa.node.contracts.explain import openings_of, trust_of, why_engine
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.consent.terms import Enclave, Outputs

TWO = TEXT[: TEXT.rindex("[[party]]")]


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


def test_openings_follow_the_outputs():
    parties = build().parties
    to_all = openings_of("train", "lr", Outputs("all", "all", "all"), parties, {})
    to_owner = openings_of("train", "lr", Outputs("label-owner", "owner", "label-owner"), parties, {})
    assert {o.to for o in to_all} == {(0, 1, 2)}
    assert (0,) in {o.to for o in to_owner}


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
