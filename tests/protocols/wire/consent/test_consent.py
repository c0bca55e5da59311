"""Consent between parties over a network that loses, repeats and reorders.

Safe: nobody starts without every signature, and honest parties never start from two different certificates.
Live: once messages get through, all have started, or all have ended for the same reason.
"""

import random

import pytest

from hansa.protocols.errors import ConsentError, SecurityError
from hansa.protocols.wire import messages
from hansa.protocols.wire.consent.certificate import Certificate
from hansa.protocols.wire.consent.consent import Broadcast, Committed, Consent, ConsentState, Ended, Note
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.statements import End, Equivocation, Offer
from hansa.protocols.wire.declared import plain


class Node:
    """A party's machine, created by the first offer it hears; what it starts and how it ends is kept."""

    def __init__(self, parties, rank):
        self.parties, self.rank = parties, rank
        self.me = parties.identities[rank]
        self.consent = None
        self.certificates, self.ends, self.notes, self.refused = [], [], [], []
        self.dead = False
        self.decide = lambda node: None

    def create(self, contract):
        self.consent = Consent(contract, me=self.me, signing_key=self.parties.signing_keys[self.rank])

    def take(self, effects):
        """Keep what happens here; what is left is for the network."""
        out = []
        for effect in effects:
            match effect:
                case Broadcast(message):
                    out.append(message)
                case Committed(certificate):
                    self.certificates.append(certificate)
                case Ended():
                    self.ends.append(effect)
                case Note():
                    self.notes.append(effect)
        return out

    def hear(self, message, now):
        fresh = self.consent is None
        if fresh:
            if not isinstance(message, Offer):
                return []
            self.create(Contract.decode_untrusted(message.contract))
        try:
            match message:
                case Offer():
                    contract = Contract.decode_untrusted(message.contract)
                    if contract.job_id == self.consent.contract.job_id:
                        out = self.take(self.consent.receive_signatures_untrusted(message.signatures, now))
                    else:
                        rivals = [self.consent.receive_rival_untrusted(s) for s in message.signatures]
                        out = self.take(effect for effects in rivals for effect in effects)
                case End():
                    out = self.take(self.consent.receive_end_untrusted(message))
                case Equivocation():
                    out = self.take(self.consent.receive_evidence_untrusted(message))
        except SecurityError as error:
            self.refused.append(error)
            return []
        if fresh and self.consent.state is ConsentState.PROPOSED:
            out += self.decide(self) or []
        return out


class Net:
    """Wires between the nodes; everything crosses as bytes. ``seed`` chooses what is lost, repeated and reordered."""

    def __init__(self, parties, seed=None, loss=0.0):
        self.parties = parties
        self.random = random.Random(seed)
        self.loss = loss
        self.now = parties.now
        self.nodes = [Node(parties, rank) for rank in range(3)]
        self.wires = {(a, b): [] for a in range(3) for b in range(3) if a != b}
        self.cut = set()
        for node in self.nodes:
            node.decide = self.approve

    def approve(self, node, version=0):
        return node.take(node.consent.approve(self.parties.job_key(node.rank, version), self.now))

    def spread(self, rank, out):
        for message in out:
            for to in range(3):
                if to != rank and self.random.random() >= self.loss:
                    self.send(rank, to, message)

    def send(self, rank, to, message):
        if (rank, to) not in self.cut and not self.nodes[rank].dead:
            self.wires[rank, to].append(messages.encode(message))
            if self.random.random() < self.loss:
                self.wires[rank, to].append(messages.encode(message))

    def propose(self, contract, rank=0):
        node = self.nodes[rank]
        node.create(contract)
        self.spread(rank, self.approve(node))

    def act(self, rank, effects):
        self.spread(rank, self.nodes[rank].take(effects))

    def step(self):
        """Deliver one message; which one, and in which order, is chance once there is loss."""
        busy = [wire for wire, queue in self.wires.items() if queue]
        if not busy:
            return False
        frm, to = self.random.choice(busy)
        queue = self.wires[frm, to]
        data = queue.pop(self.random.randrange(len(queue)) if self.loss else 0)
        node = self.nodes[to]
        if not node.dead:
            self.spread(to, node.hear(messages.decode_untrusted(data), self.now))
        return True

    def run(self):
        while self.step():
            pass

    def settle(self):
        """Every pair meets again, without loss, until nothing is left to say."""
        self.loss = 0.0
        for _ in range(3):
            for node in self.nodes:
                if node.consent is not None and not node.dead:
                    for message in node.consent.resync():
                        self.spread(node.rank, [message])
            self.run()

    def alive(self):
        return [node for node in self.nodes if not node.dead]

    def outcomes(self):
        return [node.consent.ended for node in self.alive()]

    def check_safety(self):
        contract = next(node.consent.contract for node in self.nodes if node.consent is not None)
        for node in self.nodes:
            assert len(node.certificates) <= 1
            for certificate in node.certificates:
                certificate.verify(contract)
        assert len({c.encode() for node in self.nodes for c in node.certificates}) <= 1


@pytest.fixture
def net(trio_of):
    return Net(trio_of)


@pytest.fixture
def contract(trio_of):
    return trio_of.contract()


def started(net):
    return [len(node.certificates) for node in net.nodes]


# --- all goes well ---------------------------------------------------------------------------------------------------


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


# --- the proposer is a party like any other ----------------------------------------------------------------------------


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


# --- no ----------------------------------------------------------------------------------------------------------------


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


# --- time --------------------------------------------------------------------------------------------------------------


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


# --- the rules for one node --------------------------------------------------------------------------------------------


def consent_of(trio_of, contract, rank=0):
    return Consent(contract, me=trio_of.identities[rank], signing_key=trio_of.signing_keys[rank])


def test_a_stranger_to_the_contract_has_no_say(trio_of, contract):
    with pytest.raises(ConsentError, match="does not name this node as a party"):
        consent_of(trio_of, contract, rank=3)


def test_a_signature_is_final(trio_of, contract):
    consent = consent_of(trio_of, contract)
    consent.approve(trio_of.job_key(0), trio_of.now)
    with pytest.raises(ConsentError, match="waits for no approval"):
        consent.approve(trio_of.job_key(0, 1), trio_of.now)
    with pytest.raises(ConsentError, match="a signature is final"):
        consent.refuse("no")
    assert consent.cancel("no")


def test_nothing_can_be_said_after_the_end(trio_of, contract):
    consent = consent_of(trio_of, contract)
    consent.refuse("no")
    for late in (consent.refuse, consent.cancel):
        with pytest.raises(ConsentError, match="has ended already"):
            late("again")
    with pytest.raises(ConsentError, match="waits for no approval"):
        consent.approve(trio_of.job_key(0), trio_of.now)
    assert consent.tick(contract.expires) == []
    assert consent.receive_signatures_untrusted([trio_of.sign(1, contract)], trio_of.now) == []


def snapshot(consent):
    return consent.state, consent.signatures, consent.ends, consent.ended, consent.resync()


def test_foreign_forged_and_misplaced_signatures_change_nothing(trio_of, contract):
    consent = consent_of(trio_of, contract)
    consent.approve(trio_of.job_key(0), trio_of.now)
    before = snapshot(consent)
    good = trio_of.sign(1, contract)
    forged = plain(trio_of.sign(2, contract)) | {"sig": bytes(64)}
    cases = [
        (trio_of.sign(3, contract), "stranger"),
        (trio_of.sign(1, trio_of.contract(name="other")), "another contract"),
        (trio_of.sign(1, trio_of.contract(nonce=b"m" * 16)), "another contract"),
        (type(good)(**forged), "does not verify"),
    ]
    for bad, match in cases:
        for batch in ([bad], [good, bad], [bad, good]):
            with pytest.raises(SecurityError, match=match):
                consent.receive_signatures_untrusted(batch, trio_of.now)
        assert snapshot(consent) == before


def test_a_signature_for_a_later_attempt_is_no_consent(trio_of, contract):
    consent = consent_of(trio_of, contract)
    assert consent.receive_signatures_untrusted([trio_of.sign(1, contract, attempt=1)], trio_of.now) == []
    assert consent.signatures == ()


def test_foreign_and_forged_ends_change_nothing(trio_of, contract):
    consent = consent_of(trio_of, contract)
    before = snapshot(consent)
    keys, identities = trio_of.signing_keys, trio_of.identities
    for end, match in (
        (End.make(keys[3], identities[3], contract.job_id, "refused", "x"), "stranger"),
        (End.make(keys[1], identities[1], bytes(32), "refused", "x"), "stranger"),
        (End.make(keys[3], identities[1], contract.job_id, "refused", "x"), "does not verify"),
        (End(contract.job_id, identities[1], "refused", "y", bytes(64)), "does not verify"),
    ):
        with pytest.raises(SecurityError, match=match):
            consent.receive_end_untrusted(end)
        assert snapshot(consent) == before


def test_an_end_is_passed_on_once(trio_of, contract):
    consent = consent_of(trio_of, contract)
    end = End.make(trio_of.signing_keys[1], trio_of.identities[1], contract.job_id, "refused", "x")
    assert Broadcast(end) in consent.receive_end_untrusted(end)
    assert consent.receive_end_untrusted(end) == []
    again = End.make(trio_of.signing_keys[1], trio_of.identities[1], contract.job_id, "refused", "other words")
    assert consent.receive_end_untrusted(again) == []
    assert consent.ended.reason == "x"


def test_what_the_store_kept_is_taken_up(trio_of, contract):
    everyone = [trio_of.sign(rank, contract) for rank in range(3)]
    consent = consent_of(trio_of, contract)
    consent.restore(everyone, ())
    assert consent.state is ConsentState.COMMITTED
    assert consent.certificate == Certificate.of(contract, 0, everyone)
    end = End.make(trio_of.signing_keys[1], trio_of.identities[1], contract.job_id, "cancelled", "x")
    consent = consent_of(trio_of, contract)
    consent.restore(everyone, [end])
    assert consent.ended == Ended(ConsentState.CANCELLED, "x", trio_of.identities[1])
    assert consent.resync() == (Offer(contract.encode(), tuple(everyone)), end)


# --- one party tells two stories ---------------------------------------------------------------------------------------


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
    effects = consent.receive_evidence_untrusted(evidence)
    assert [effect for effect in effects if isinstance(effect, Ended)] == [consent.ended]
    assert (consent.ended.state, consent.ended.culprit) == conflict(trio_of, 0)
    assert evidence in consent.resync()
    assert consent.receive_evidence_untrusted(evidence) == []


def test_two_liars_give_one_reason_in_any_order(trio_of, contract):
    another = trio_of.contract(name="another")
    proofs = [Equivocation(trio_of.sign(rank, contract), trio_of.sign(rank, another)) for rank in (0, 2)]
    ends = []
    for order in (proofs, proofs[::-1]):
        consent = consent_of(trio_of, contract, rank=1)
        for proof in order:
            consent.receive_evidence_untrusted(proof)
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
            consent.receive_evidence_untrusted(evidence)
    forged = type(one)(**(plain(trio_of.sign(0, another)) | {"sig": bytes(64)}))
    with pytest.raises(SecurityError, match="does not verify"):
        consent.receive_evidence_untrusted(Equivocation(one, forged))
    elsewhere = [trio_of.contract(nonce=b"m" * 16, name=name) for name in "ab"]
    for evidence in (
        Equivocation(*(trio_of.sign(0, other) for other in elsewhere)),
        Equivocation(trio_of.sign(3, contract), trio_of.sign(3, another)),
    ):
        assert consent.receive_evidence_untrusted(evidence) == []
    assert consent.receive_rival_untrusted(trio_of.sign(0, another)) == []
    assert snapshot(consent) == before
