"""A member's vote: whose it is, and which votes let keys go."""

from dataclasses import replace

import pytest
from support.tee.members import CODE, NOW, OTHER, SIGNING_KEYS, VOTERS, vote

from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire import limits
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements.votes import Vote, approving, verified


def junk(count, rank=0):
    """One member's votes for changes of other code."""
    return [vote(rank, code_from=Code("SGX", number.to_bytes(32, "big"))) for number in range(count)]


def willing(votes, voters=VOTERS, now=NOW):
    return approving(votes, CODE, OTHER, voters, now)


def test_a_vote_survives_the_wire_and_no_byte_can_be_changed():
    one = vote(0)
    assert Vote.decode_untrusted(one.encode()) == one
    one.verify()
    for changed in ({"until": one.until + 1}, {"code_to": CODE}, {"code_from": OTHER}, {"voter": VOTERS[1]}):
        with pytest.raises(SecurityError):
            replace(one, **changed).verify()
        assert list(verified([replace(one, **changed), one])) == [one]


def test_one_byte_too_many_is_refused():
    with pytest.raises(PeerMisbehaved, match=f"{limits.VOTE_MAX_BYTES + 1} bytes where at most"):
        Vote.decode_untrusted(bytes(limits.VOTE_MAX_BYTES + 1))


def test_who_votes_for_one_change_votes_for_no_other():
    assert willing([vote(0), vote(1, code_from=OTHER, code_to=CODE), vote(2, until=NOW)]) == {VOTERS[0]}
    assert willing([vote(0)], now=vote(0).until) == frozenset()
    assert willing([vote(0), vote(1)], voters=VOTERS[1:]) == {VOTERS[1]}
    assert willing([vote(0), replace(vote(1), sig=bytes(64))]) == {VOTERS[0]}


def test_votes_that_are_not_to_the_point_take_no_place():
    """One member's votes for other changes would else veto every upgrade."""
    assert willing([*junk(2 * limits.VOTES_VERIFIED), vote(0), vote(1)]) == set(VOTERS[:2])


def test_of_votes_to_the_point_so_many_are_verified_and_no_more(monkeypatch):
    monkeypatch.setattr(limits, "VOTES_VERIFIED", 2)
    forged = replace(vote(0), sig=bytes(64))
    assert willing([forged, vote(1), vote(2)]) == {VOTERS[1]}
    assert willing([forged, vote(1)]) == {VOTERS[1]}


def test_keys_never_go_between_real_and_simulated_hardware():
    simulated = Code("insecure-simulated", b"s" * 48)
    with pytest.raises(SecurityError, match="keys never go"):
        Vote.make(SIGNING_KEYS[0], VOTERS[0], CODE, simulated, NOW + 9)
    forged = replace(vote(0), code_to=simulated)
    assert approving([forged], CODE, simulated, VOTERS, NOW) == frozenset()
