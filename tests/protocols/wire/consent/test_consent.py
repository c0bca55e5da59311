"""Consent between parties over a network that loses, repeats and reorders.

Safe: nobody starts without every signature, and honest parties never start from two different certificates.
Live: once messages get through, all have started, or all have ended for the same reason.
"""

import random

import pytest
from support.consent_net import Net, Node, started

from hansa.protocols.wire.consent.consent import ConsentState, Ended, Note


def test_all_approve_and_all_start_with_one_certificate(net, contract):
    net.propose(contract)
    net.run()
    assert started(net) == [1, 1, 1]
    assert {node.consent.state for node in net.nodes} == {ConsentState.COMMITTED}
    assert net.nodes[0].consent.certificate == net.nodes[2].certificates[0]
    assert net.nodes[1].consent.waiting_for == ()
    net.check_safety()
    for node in net.nodes:
        assert sorted(note.body["party"] for note in node.notes) == ["bank", "bureau", "telecom"]


def test_repeating_everything_changes_nothing(net, contract):
    net.propose(contract)
    net.run()
    before = [(list(node.notes), list(node.ends)) for node in net.nodes]
    net.settle()
    assert started(net) == [1, 1, 1]
    assert [(node.notes, node.ends) for node in net.nodes] == before


def test_nobody_starts_while_one_signature_is_missing(net, trio_of, contract):
    net.nodes[2].decide = lambda node: None
    net.propose(contract)
    net.run()
    net.settle()
    assert started(net) == [0, 0, 0]
    for node in net.nodes:
        assert node.consent.waiting_for == (trio_of.identities[2],)
        assert node.consent.signed == (node.rank != 2)


@pytest.mark.parametrize("seed", range(40))
def test_all_start_whatever_the_network_does(trio_of, contract, seed):
    net = Net(trio_of, seed, loss=0.3)
    net.propose(contract, rank=seed % 3)
    net.run()
    net.check_safety()
    net.settle()
    assert started(net) == [1, 1, 1]
    assert net.outcomes() == [None] * 3
    net.check_safety()


def test_whoever_is_shown_a_full_set_starts(net, contract):
    """Two parties that never hear each other: the third one's offer is enough."""
    net.cut = {(1, 2), (2, 1)}
    net.propose(contract)
    net.run()
    assert started(net) == [1, 1, 1]


@pytest.mark.parametrize("seed", range(20))
def test_the_proposer_dies_after_one_other_heard_it(trio_of, contract, seed):
    net = Net(trio_of, seed)
    net.cut = {(0, 2)}
    net.propose(contract)
    net.nodes[0].dead = True
    net.run()
    net.settle()
    assert started(net)[1:] == [1, 1]
    net.check_safety()


@pytest.mark.parametrize("steps", range(1, 12))
def test_the_proposer_dies_at_any_moment(trio_of, contract, steps):
    """Whoever of the others heard of the job, both start or neither does; the clock settles what is left."""
    net = Net(trio_of, steps)
    net.propose(contract)
    for _ in range(steps):
        net.step()
    net.nodes[0].dead = True
    net.run()
    net.settle()
    assert started(net)[1:] == [1, 1]
    net.check_safety()


def test_a_proposer_that_died_learns_of_the_commit_when_it_is_back(net, trio_of, contract):
    net.propose(contract)
    net.nodes[0].dead = True
    net.run()
    old = net.nodes[0]
    back = net.nodes[0] = Node(trio_of, 0)
    back.create(contract)
    back.consent.restore(old.consent.signatures, old.consent.ends)
    assert back.consent.state is ConsentState.PROPOSED
    assert back.consent.signed
    net.settle()
    assert started(net) == [1, 1, 1]
    net.check_safety()


def test_a_refusal_ends_it_everywhere_for_one_reason(net, trio_of, contract):
    net.nodes[2].decide = lambda node: node.take(node.consent.refuse("not this purpose"))
    net.propose(contract)
    net.run()
    assert started(net) == [0, 0, 0]
    assert net.outcomes() == [Ended(ConsentState.REFUSED, "not this purpose", trio_of.identities[2])] * 3
    for node in net.nodes:
        assert [note for note in node.notes if note.kind == "job-refused"] == [
            Note("job-refused", {"reason": "not this purpose", "party": "telecom"})
        ]


@pytest.mark.parametrize("cut", [(2, 0), (2, 1), (1, 2), (0, 2)])
def test_a_refusal_reaches_a_party_that_its_maker_cannot_reach(trio_of, contract, cut):
    net = Net(trio_of)
    net.propose(contract)
    net.nodes[2].decide = lambda node: node.take(node.consent.refuse("no"))
    net.cut = {cut, cut[::-1]}
    net.run()
    assert net.outcomes() == [Ended(ConsentState.REFUSED, "no", trio_of.identities[2])] * 3


@pytest.mark.parametrize("seed", range(40))
def test_all_give_one_reason_whatever_the_network_and_the_parties_do(trio_of, contract, seed):
    net = Net(trio_of, seed, loss=0.3)
    chance = random.Random(seed)

    def decide(node):
        choice = chance.choice(["approve", "refuse", "later"])
        if choice == "approve":
            return net.approve(node)
        return node.take(node.consent.refuse(f"no {node.rank}")) if choice == "refuse" else []

    net.nodes[1].decide = net.nodes[2].decide = decide
    net.propose(contract)
    for _ in range(200):
        net.step()
        if chance.random() < 0.1:
            node = chance.choice(net.nodes)
            if node.consent is not None and node.consent.ended is None:
                net.act(node.rank, node.consent.cancel(f"stop {node.rank}"))
    net.run()
    net.check_safety()
    net.settle()
    net.now = contract.expires
    for node in net.nodes:
        if node.consent.state is ConsentState.PROPOSED:
            net.act(node.rank, node.consent.tick(net.now))
    net.run()
    net.settle()
    net.check_safety()
    assert len(set(net.outcomes())) == 1
    if net.outcomes()[0] is None:
        assert started(net) == [1, 1, 1]
    for node in net.nodes:
        assert node.ends[-1:] == [node.consent.ended] * len(node.ends[-1:])


def test_a_cancel_after_commit_is_an_ordinary_end(net, trio_of, contract):
    net.propose(contract)
    net.run()
    net.act(1, net.nodes[1].consent.cancel("wrong file\n\x1b[2J"))
    net.run()
    assert started(net) == [1, 1, 1]
    assert net.outcomes() == [Ended(ConsentState.CANCELLED, "wrong file  [2J", trio_of.identities[1])] * 3


def test_of_two_ends_at_once_all_give_the_same(net, trio_of, contract):
    net.nodes[1].decide = net.nodes[2].decide = lambda node: []
    net.propose(contract)
    net.run()
    net.act(0, net.nodes[0].consent.cancel("mistake"))
    net.act(1, net.nodes[1].consent.refuse("no"))
    net.act(2, net.nodes[2].consent.refuse("never"))
    net.run()
    first = min((1, 2), key=lambda rank: trio_of.identities[rank])
    reason = {1: "no", 2: "never"}[first]
    assert net.outcomes() == [Ended(ConsentState.REFUSED, reason, trio_of.identities[first])] * 3
