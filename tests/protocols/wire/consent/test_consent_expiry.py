"""An uncommitted contract ends at its expiry, for all parties and at that very second."""

import pytest
from support.consent_net import started

from hansa.protocols.errors import SecurityError
from hansa.protocols.wire.consent.consent import Consent, ConsentState, Ended


def test_it_expires_at_its_second_and_not_before(net, contract):
    net.nodes[2].decide = lambda node: []
    net.propose(contract)
    net.run()
    for node in net.nodes:
        assert node.consent.tick(contract.expires - 1) == []
    for rank, node in enumerate(net.nodes):
        net.act(rank, node.consent.tick(contract.expires))
    net.run()
    assert {(end.state, end.culprit) for end in net.outcomes()} == {(ConsentState.EXPIRED, None)}
    assert [len(node.ends) for node in net.nodes] == [1, 1, 1]


def test_a_full_set_shown_too_late_ends_the_job_for_all(net, contract):
    """Two are committed; the third, cut off, let it expire and says so."""
    net.cut = {(0, 2), (1, 2)}
    net.propose(contract)
    net.nodes[2].create(contract)
    net.spread(2, net.approve(net.nodes[2]))
    net.run()
    assert started(net) == [1, 1, 0]
    net.cut = set()
    net.now = contract.expires
    net.settle()
    assert started(net) == [1, 1, 0]
    assert {end.state for end in net.outcomes()} == {ConsentState.EXPIRED}


def test_an_approval_after_expiry_is_the_expiry(net, contract):
    net.nodes[1].create(contract)
    net.now = contract.expires
    net.spread(1, net.approve(net.nodes[1]))
    assert net.nodes[1].consent.state is ConsentState.EXPIRED
    assert not net.nodes[1].consent.signed


def test_a_committed_job_does_not_expire(net, contract):
    net.propose(contract)
    net.run()
    assert net.nodes[0].consent.tick(contract.expires + 1) == []


def test_a_wrong_offer_at_the_moment_of_expiry_does_not_swallow_it(net, trio_of, contract):
    consent = Consent(contract, me=trio_of.identities[0], signing_key=trio_of.signing_keys[0])
    with pytest.raises(SecurityError, match="stranger"):
        consent.receive_signatures_untrusted([trio_of.sign(3, contract)], contract.expires)
    assert consent.state is ConsentState.PROPOSED
    assert any(isinstance(effect, Ended) for effect in consent.tick(contract.expires))
