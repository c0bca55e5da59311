"""What one party's machine refuses: strangers, forgeries, second thoughts."""

import pytest
from support.consent_net import consent_of, snapshot

from hansa.protocols.errors import ConsentError, SecurityError
from hansa.protocols.wire.consent.certificate import Certificate
from hansa.protocols.wire.consent.consent import Broadcast, ConsentState, Ended
from hansa.protocols.wire.consent.statements import End, Offer
from hansa.protocols.wire.declared import plain


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
