"""A party that signs two things over one nonce: evidence, its rank among ends, and what proves nothing."""

import pytest
from support.consent_net import Net, consent_of, snapshot, started

from hansa.protocols.errors import SecurityError
from hansa.protocols.wire.consent.consent import Broadcast, ConsentState, Ended, Note
from hansa.protocols.wire.consent.statements import Equivocation, Offer
from hansa.protocols.wire.declared import plain


def conflict(trio_of, rank):
    return (ConsentState.CONFLICT, trio_of.identities[rank])


def two_stories(trio_of, first, second):
    """Party 0 shows one contract to party 1 and another, over the same nonce, to party 2."""
    net = Net(trio_of)
    net.nodes[0].dead = True
    for rank, contract in ((1, first), (2, second)):
        offer = Offer(contract.encode(), (trio_of.sign(0, contract),))
        net.spread(rank, net.nodes[rank].hear(offer, net.now))
    return net


def test_two_contracts_over_one_nonce_are_evidence(trio_of, contract):
    net = two_stories(trio_of, contract, trio_of.contract(name="another"))
    net.run()
    assert started(net) == [0, 0, 0]
    assert {(end.state, end.culprit) for end in net.outcomes()} == {conflict(trio_of, 0)}
    assert len({end.reason for end in net.outcomes()}) == 1
    for node in net.alive():
        assert "the contract differs between parties: bank signed two contracts" in node.consent.ended.reason
        assert Note("evidence", {"signer": "bank", "nonce": contract.nonce.hex()}) in node.notes


def test_two_job_keys_under_one_contract_are_evidence(trio_of, contract):
    """Else two honest parties could start from two certificates."""
    net = Net(trio_of)
    net.nodes[0].dead = True
    for rank, version in ((1, 0), (2, 1)):
        offer = Offer(contract.encode(), (trio_of.sign(0, contract, version=version),))
        net.spread(rank, net.nodes[rank].hear(offer, net.now))
    net.run()
    net.settle()
    assert {(end.state, end.culprit) for end in net.outcomes()} == {conflict(trio_of, 0)}


def test_both_keys_in_one_offer_are_evidence_too(trio_of, contract):
    consent = consent_of(trio_of, contract, rank=1)
    both = [trio_of.sign(0, contract, version=version) for version in (0, 1)]
    effects = consent.receive_signatures_untrusted(both, trio_of.now)
    assert Broadcast(Equivocation(*both)) in effects
    assert consent.state is ConsentState.CONFLICT


def test_evidence_outranks_every_other_end_and_is_told_to_who_comes_back(trio_of, contract):
    consent = consent_of(trio_of, contract, rank=1)
    consent.cancel("mistake")
    evidence = Equivocation(trio_of.sign(0, contract), trio_of.sign(0, trio_of.contract(name="another")))
    effects = consent.receive_equivocation_untrusted(evidence)
    assert [effect for effect in effects if isinstance(effect, Ended)] == [consent.ended]
    assert (consent.ended.state, consent.ended.culprit) == conflict(trio_of, 0)
    assert evidence in consent.resync()
    assert consent.receive_equivocation_untrusted(evidence) == []


def test_two_liars_give_one_reason_in_any_order(trio_of, contract):
    another = trio_of.contract(name="another")
    proofs = [Equivocation(trio_of.sign(rank, contract), trio_of.sign(rank, another)) for rank in (0, 2)]
    ends = []
    for order in (proofs, proofs[::-1]):
        consent = consent_of(trio_of, contract, rank=1)
        for proof in order:
            consent.receive_equivocation_untrusted(proof)
        ends.append(consent.ended)
    assert ends[0] == ends[1]


def test_what_proves_nothing_changes_nothing(trio_of, contract):
    consent = consent_of(trio_of, contract, rank=1)
    before = snapshot(consent)
    another = trio_of.contract(name="another")
    one = trio_of.sign(0, contract)
    for evidence in (
        Equivocation(one, one),
        Equivocation(one, trio_of.sign(2, another)),
        Equivocation(one, trio_of.sign(0, trio_of.contract(nonce=b"m" * 16))),
        Equivocation(one, trio_of.sign(0, contract, attempt=1, version=1)),
    ):
        with pytest.raises(SecurityError, match="proves nothing"):
            consent.receive_equivocation_untrusted(evidence)
    forged = type(one)(**(plain(trio_of.sign(0, another)) | {"sig": bytes(64)}))
    with pytest.raises(SecurityError, match="does not verify"):
        consent.receive_equivocation_untrusted(Equivocation(one, forged))
    elsewhere = [trio_of.contract(nonce=b"m" * 16, name=name) for name in "ab"]
    for evidence in (
        Equivocation(*(trio_of.sign(0, other) for other in elsewhere)),
        Equivocation(trio_of.sign(3, contract), trio_of.sign(3, another)),
    ):
        assert consent.receive_equivocation_untrusted(evidence) == []
    assert consent.receive_rival_untrusted(trio_of.sign(0, another)) == []
    assert snapshot(consent) == before
