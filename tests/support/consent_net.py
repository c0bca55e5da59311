"""Three parties' consent machines over a network that loses, repeats and reorders."""

import random

from hansa.protocols.errors import SecurityError
from hansa.protocols.wire import messages
from hansa.protocols.wire.consent.consent import Broadcast, Committed, Consent, ConsentState, Ended, Note
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.statements import End, Equivocation, Offer


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
                    out = self.take(self.consent.receive_equivocation_untrusted(message))
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


def started(net):
    return [len(node.certificates) for node in net.nodes]


def consent_of(trio_of, contract, rank=0):
    return Consent(contract, me=trio_of.identities[rank], signing_key=trio_of.signing_keys[rank])


def snapshot(consent):
    return consent.state, consent.signatures, consent.ends, consent.ended, consent.resync()
