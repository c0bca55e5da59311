"""Taking up an interrupted job: one attempt number, one certificate and one checkpoint at all, in any order."""

import random
from dataclasses import replace

import pytest

from hansa.protocols.errors import ProtocolError, SecurityError
from hansa.protocols.wire import limits, messages
from hansa.protocols.wire.consent.certificate import Signature
from hansa.protocols.wire.consent.resume import FROM_START, Agreed, OfferAnew, Resume
from hansa.protocols.wire.consent.statements import ResumeOffer
from hansa.protocols.wire.consent.terms import Dealer


class League:
    """Three machines over wires that lose and repeat; ``seed`` chooses the order."""

    def __init__(self, parties, last, checkpoints, seed=0, loss=0.0):
        self.parties, self.random, self.loss = parties, random.Random(seed), loss
        self.checkpoints = checkpoints
        self.nodes = [
            Resume(parties.base, me=parties.identities[r], signing_key=parties.signing_keys[r], last_attempt=last[r])
            for r in range(3)
        ]
        self.agreed = [[] for _ in range(3)]
        self.queue = []
        self.keys = 0

    def offer(self, rank, attempt):
        self.keys += 1
        found = self.nodes[rank].offer(attempt, self.parties.job_key(rank, self.keys % 256), self.checkpoints[rank])
        self.note(rank, found)
        for to in range(3):
            self.tell(rank, to)

    def tell(self, rank, to):
        own = self.nodes[rank].own_offer
        if own is not None and to != rank and self.random.random() >= self.loss:
            copies = 2 if self.random.random() < self.loss else 1
            self.queue += [(rank, to, messages.encode(own))] * copies

    def note(self, rank, found):
        if isinstance(found, Agreed):
            self.agreed[rank].append(found)
        elif isinstance(found, OfferAnew):
            self.offer(rank, found.attempt)

    def run(self):
        while self.queue:
            frm, to, data = self.queue.pop(self.random.randrange(len(self.queue)))
            offer = messages.decode_untrusted(data)
            self.note(to, self.nodes[to].receive_untrusted(self.parties.identities[frm], offer))

    def settle(self):
        self.loss = 0.0
        for _ in range(3):
            for rank in range(3):
                for to in range(3):
                    self.tell(rank, to)
            self.run()


def test_all_agree_on_the_last_common_checkpoint(trio_of, contract):
    league = League(trio_of, [0, 0, 0], [[1, 2, 3], [2, 3, 4], [1, 2, 3, 4, 5]])
    for rank in range(3):
        league.offer(rank, 1)
    league.run()
    assert [len(found) for found in league.agreed] == [1, 1, 1]
    assert {(found[0].checkpoint, found[0].certificate.attempt) for found in league.agreed} == {(3, 1)}
    assert len({found[0].certificate.encode() for found in league.agreed}) == 1
    league.agreed[0][0].certificate.verify(contract)
    assert league.nodes[0].waiting_for == ()


@pytest.mark.parametrize(
    ("checkpoints", "common"),
    [
        ([[], [], []], FROM_START),
        ([[1, 2], [3], [1, 2, 3]], FROM_START),
        ([[0], [0, 1], [0, 1, 2]], 0),
        ([[5, 3, 3, 1], [3, 1], [1, 3, 5]], 3),
        ([[1, 2, 3], [1, 2], []], FROM_START),
    ],
)
def test_the_common_checkpoint_is_one_that_all_hold(trio_of, checkpoints, common):
    league = League(trio_of, [0, 0, 0], checkpoints)
    for rank in range(3):
        league.offer(rank, 1)
    league.run()
    assert {found[0].checkpoint for found in league.agreed} == {common}


def test_a_dealer_must_agree_but_has_no_checkpoints(trio_of):
    """It deals anew in each attempt: were it asked for checkpoints, every job with a dealer would begin anew."""
    dealer = Dealer(trio_of.identities[2], "telecom")
    contract = trio_of.contract(version=2, engine="additive", parties=trio_of.base.parties[:2], dealer=dealer)
    resume = Resume(contract, me=trio_of.identities[0], signing_key=trio_of.signing_keys[0], last_attempt=0)
    resume.offer(1, trio_of.job_key(0), [0, 1, 2])
    for rank, held in ((1, (0, 1)), (2, ())):
        assert resume.waiting_for == tuple(trio_of.identities[rank:3])
        signature = Signature.make(
            trio_of.signing_keys[rank], trio_of.identities[rank], contract, 1, trio_of.job_key(rank)
        )
        agreed = resume.receive_untrusted(trio_of.identities[rank], ResumeOffer(signature, held))
    assert isinstance(agreed, Agreed)
    assert agreed.checkpoint == 1
    assert [entry.identity for entry in agreed.certificate.entries] == trio_of.identities[:3]
    agreed.certificate.verify(contract)


def test_one_that_is_behind_follows_the_highest_attempt(trio_of):
    """A party that restarted has counted further than the others, or less far."""
    league = League(trio_of, [0, 4, 2], [[1], [1], [1]])
    for rank, attempt in enumerate((1, 5, 3)):
        league.offer(rank, attempt)
    league.run()
    assert [found[-1].certificate.attempt for found in league.agreed] == [5, 5, 5]
    assert len({found[-1].certificate.encode() for found in league.agreed}) == 1


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_network_does_all_agree_on_one(trio_of, contract, seed):
    chance = random.Random(seed)
    last = [chance.randrange(4) for _ in range(3)]
    checkpoints = [sorted(chance.sample(range(6), chance.randrange(6))) for _ in range(3)]
    league = League(trio_of, last, checkpoints, seed, loss=0.3)
    for rank in range(3):
        league.offer(rank, last[rank] + 1)
    league.run()
    league.settle()
    common = max(set.intersection(*map(set, checkpoints)), default=FROM_START)
    final = [found[-1] for found in league.agreed]
    assert {(found.certificate.attempt, found.checkpoint) for found in final} == {(max(last) + 1, common)}
    assert len({found.certificate.encode() for found in final}) == 1
    for found in league.agreed:
        attempts = [agreed.certificate.attempt for agreed in found]
        assert attempts == sorted(set(attempts))
    final[0].certificate.verify(contract)


def test_repeating_an_offer_agrees_once(trio_of):
    league = League(trio_of, [0, 0, 0], [[1], [1], [1]])
    for rank in range(3):
        league.offer(rank, 1)
    league.settle()
    assert [len(found) for found in league.agreed] == [1, 1, 1]


def test_nothing_is_agreed_while_one_is_missing(trio_of, contract):
    resume = resume_of(trio_of, contract)
    assert resume.offer(1, trio_of.job_key(0), [1]) is None
    assert resume.receive_untrusted(trio_of.identities[1], offer_of(trio_of, 1, contract, 1)) is None
    assert resume.waiting_for == (trio_of.identities[2],)


def test_nothing_is_agreed_without_us(trio_of, contract):
    resume = resume_of(trio_of, contract)
    for rank in (1, 2):
        found = resume.receive_untrusted(trio_of.identities[rank], offer_of(trio_of, rank, contract, 1))
        assert found == OfferAnew(1)
    assert resume.own_offer is None
    assert isinstance(resume.offer(1, trio_of.job_key(0), [1]), Agreed)


def offer_of(trio_of, rank, contract, attempt, checkpoints=(1,), version=0):
    return ResumeOffer(trio_of.sign(rank, contract, attempt=attempt, version=version), tuple(checkpoints))


def resume_of(trio_of, contract, last=0):
    return Resume(contract, me=trio_of.identities[0], signing_key=trio_of.signing_keys[0], last_attempt=last)


def test_an_attempt_is_never_offered_twice(trio_of, contract):
    resume = resume_of(trio_of, contract, last=2)
    for attempt in (0, 2):
        with pytest.raises(ProtocolError, match=f"attempt {attempt} is not after 2"):
            resume.offer(attempt, trio_of.job_key(0), [1])
    resume.offer(3, trio_of.job_key(0), [1])
    with pytest.raises(ProtocolError, match="attempt 3 is not after 3"):
        resume.offer(3, trio_of.job_key(0, 1), [1])


def test_offers_for_attempts_that_are_over_are_not_heard(trio_of, contract):
    resume = resume_of(trio_of, contract, last=2)
    resume.offer(3, trio_of.job_key(0), [1])
    for attempt in (0, 1, 2):
        assert resume.receive_untrusted(trio_of.identities[1], offer_of(trio_of, 1, contract, attempt)) is None
    assert trio_of.identities[1] in resume.waiting_for


def test_the_first_offer_for_an_attempt_counts(trio_of, contract):
    resume = resume_of(trio_of, contract)
    resume.offer(1, trio_of.job_key(0), [1, 2])
    for version, checkpoints in ((0, (1, 2)), (1, (2,))):
        resume.receive_untrusted(trio_of.identities[1], offer_of(trio_of, 1, contract, 1, checkpoints, version=version))
    agreed = resume.receive_untrusted(trio_of.identities[2], offer_of(trio_of, 2, contract, 1, (1, 2)))
    assert agreed.certificate.entries[1].job_key == trio_of.job_key(1, 0)


def test_a_higher_attempt_is_taken_up_before_and_after_our_own_offer(trio_of, contract):
    resume = resume_of(trio_of, contract)
    assert resume.receive_untrusted(trio_of.identities[1], offer_of(trio_of, 1, contract, 4)) == OfferAnew(4)
    resume.offer(4, trio_of.job_key(0), [1])
    assert resume.receive_untrusted(trio_of.identities[2], offer_of(trio_of, 2, contract, 6)) == OfferAnew(6)


def test_foreign_and_forged_offers_change_nothing(trio_of, contract):
    resume = resume_of(trio_of, contract)
    resume.offer(1, trio_of.job_key(0), [1])
    good = offer_of(trio_of, 1, contract, 1)
    other = trio_of.contract(name="other")
    waiting = resume.waiting_for
    cases = [
        (2, good, "not the sender's"),
        (3, offer_of(trio_of, 3, contract, 1), "not the sender's"),
        (1, offer_of(trio_of, 1, other, 1), "not the sender's"),
        (1, replace(good, signature=replace(good.signature, attempt=2)), "does not verify"),
        (1, replace(good, signature=replace(good.signature, job_key=bytes(32))), "does not verify"),
    ]
    for sender, offer, match in cases:
        with pytest.raises(SecurityError, match=match):
            resume.receive_untrusted(trio_of.identities[sender], offer)
        assert resume.waiting_for == waiting
        assert resume.attempt == 1


def test_the_most_checkpoints_a_job_can_have_cross_the_wire(trio_of, contract):
    offer = offer_of(trio_of, 1, contract, limits.MAX_ATTEMPT, range(limits.MAX_CHECKPOINTS))
    assert messages.decode_untrusted(messages.encode(offer)) == offer
