"""An enclave's sealed job keys: who opens them, what an older file does, and to whom they go."""

import os
from dataclasses import replace

import pytest
from nacl.signing import SigningKey
from tee.contracts import CODE, NOW, OTHER, SEEDS, VOTERS, contract

from hansa.node.tee.epochs import SeenEpochs
from hansa.node.tee.vault import JobKey, Vault, decode_keys_untrusted, encode_keys
from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire import canonical
from hansa.protocols.wire.attestation.votes import Vote
from hansa.protocols.wire.contract import Code

KEY = b"k" * 32
JOB = contract()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tee" / "keys.sealed"


def opened(path, code=CODE, key=KEY):
    return Vault(path, code, lambda: key)


def test_a_key_is_made_once_and_survives(path):
    vault = opened(path)
    key = vault.make(JOB)
    assert (vault.make(JOB), vault.epoch, len(key)) == (key, 1, 32)
    assert opened(path).key(JOB.job_id) == key
    assert key not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(SecurityError, match="has no key for the model"):
        vault.key(b"x" * 32)


@pytest.mark.parametrize(
    ("code", "key", "why"),
    [
        (OTHER, KEY, "was sealed by other code"),
        (CODE, b"x" * 32, "does not open: it was changed, or sealed on another machine"),
    ],
)
def test_other_code_and_other_machines_do_not_open_it(code, key, why, path):
    opened(path).make(JOB)
    before = path.read_bytes()
    vault = opened(path, code, key)
    for use in (lambda: vault.key(JOB.job_id), lambda: vault.make(JOB), lambda: vault.keys_for(code, [], NOW)):
        with pytest.raises(SecurityError, match=why):
            use()
    assert path.read_bytes() == before


def test_no_byte_of_the_file_can_be_changed_or_lost(path):
    opened(path).make(JOB)
    good = path.read_bytes()
    places = [*range(0, 200, 3), *range(200, len(good), 97), len(good) - 1]
    for data in [good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :] for place in places] + [
        good[:length] for length in (0, 3, 8, 60, len(good) - 1)
    ]:
        path.write_bytes(data)
        assert opened(path).why_shut


def test_an_older_file_is_found_by_what_a_member_has_seen(path):
    vault = opened(path)
    vault.make(JOB)
    older = path.read_bytes()
    newer = contract("another")
    vault.make(newer)
    mark = vault.mark()
    path.write_bytes(older)
    back = opened(path)
    for lie in (b"", bytes(40), (99).to_bytes(8, "big") + mark[8:], mark[:-1] + b"\0"):
        back.seen(lie)
        assert not back.why_shut
    back.seen(mark)
    assert "it is of epoch 1, and a member has seen epoch 2" in back.why_shut
    with pytest.raises(SecurityError, match="rolled back"):
        back.key(JOB.job_id)
    handed = vault.keys_for(CODE, [], NOW)
    assert back.merge(handed) == 2
    assert back.key(newer.job_id) == vault.key(newer.job_id)
    assert back.epoch == 3
    assert [file.name for file in path.parent.glob("*.aside-*")] == ["keys.sealed.aside-1"]


def test_a_file_that_is_gone_is_rolled_back_too(path):
    vault = opened(path)
    vault.make(JOB)
    path.unlink()
    again = opened(path)
    again.seen(vault.mark())
    assert "it is of epoch 0" in again.why_shut


def test_a_jobs_key_is_never_replaced(path, tmp_path):
    vault, other = opened(path), opened(tmp_path / "other")
    vault.make(JOB)
    other.make(JOB)
    with pytest.raises(SecurityError, match="another key for the job"):
        vault.merge(other.keys_for(CODE, [], NOW))


def vote(rank, until=NOW + 60, code_from=CODE, code_to=OTHER, seed=None):
    return Vote.make(seed or SEEDS[rank], VOTERS[rank], code_from, code_to, until)


@pytest.mark.parametrize(
    ("votes", "go"),
    [
        ([], False),
        ([vote(0)], False),
        ([vote(0), vote(2)], True),
        ([vote(0), vote(0, NOW + 99)], False),
        ([vote(0), vote(1, until=NOW)], False),
        ([vote(0), vote(1, code_from=OTHER, code_to=CODE)], False),
        ([vote(0), vote(1, seed=SEEDS[2])], False),
        ([vote(0), replace(vote(1), until=NOW + 61)], False),
        ([vote(0), replace(vote(1), voter=VOTERS[2])], False),
        ([vote(0), Vote.make(b"\7" * 32, bytes(SigningKey(b"\7" * 32).verify_key), CODE, OTHER, NOW + 60)], False),
    ],
)
def test_keys_go_to_other_code_by_their_parties_votes_only(votes, go, path):
    vault = opened(path)
    vault.make(JOB)
    wants_all = contract("unanimous", votes=3)
    vault.make(wants_all)
    assert set(vault.keys_for(CODE, [], NOW)) == {JOB.job_id, wants_all.job_id}
    handed = vault.keys_for(OTHER, votes, NOW)
    assert set(handed) == ({JOB.job_id} if go else set())
    new = opened(path.with_name("new"), OTHER)
    everything = vault.keys_for(CODE, [], NOW)
    assert set(new.acceptable(everything, CODE, votes, NOW)) == set(handed)


def test_other_code_is_not_believed_without_votes_for_it(path):
    """Else an enclave of any accepted code could hand over a key that its friends know, for a model of their making."""
    third = Code("SGX", b"e" * 32)
    key = JobKey(os.urandom(32), contract(codes=(CODE, third)))
    votes = [vote(rank) for rank in range(3)]
    vault = opened(path, OTHER)
    assert vault.acceptable({key.contract.job_id: key}, third, votes, NOW) == {}
    assert vault.acceptable({key.contract.job_id: key}, CODE, votes, NOW) != {}


def test_upgrades_follow_upon_each_other(path):
    third = Code("SGX", b"e" * 32)
    first, second, last = (opened(path.with_name(str(n)), code) for n, code in enumerate((CODE, OTHER, third)))
    key = first.make(JOB)
    votes = [vote(rank) for rank in range(2)]
    second.merge(second.acceptable(first.keys_for(OTHER, votes, NOW), CODE, votes, NOW))
    assert second.keys_for(third, votes, NOW) == {}
    votes += [vote(rank, code_from=OTHER, code_to=third) for rank in range(2)]
    last.merge(last.acceptable(second.keys_for(third, votes, NOW), OTHER, votes, NOW))
    assert last.key(JOB.job_id) == key


def test_keys_never_go_between_real_and_simulated_hardware(path):
    simulated = Code("insecure-simulated", b"s" * 48)
    with pytest.raises(SecurityError, match="keys never go"):
        vote(0, code_to=simulated)
    vault = opened(path)
    vault.make(JOB)
    forged = [replace(vote(rank), code_to=simulated) for rank in range(3)]
    assert vault.keys_for(simulated, forged, NOW) == {}


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [None],
        [{"key": bytes(32)}],
        [JobKey(bytes(31), JOB).to_plain()],
        [JobKey(bytes(32), replace(JOB, kind="release", model=b"m" * 32)).to_plain()],
        [{**JobKey(bytes(32), JOB).to_plain(), "more": 1}],
    ],
)
def test_what_is_no_job_key_is_refused(plain):
    with pytest.raises(PeerMisbehaved):
        decode_keys_untrusted(canonical.encode(plain))


def test_keys_survive_the_wire():
    key = JobKey(os.urandom(32), JOB)
    assert decode_keys_untrusted(encode_keys([key])) == {JOB.job_id: key}
    assert key.key.hex() not in repr(key)


def test_a_member_remembers_the_latest_epoch(path):
    def mark(epoch):
        return epoch.to_bytes(8, "big") + bytes(32)

    seen = SeenEpochs(path)
    assert seen.seen(b"e" * 32) == b""
    for epoch in (0, 3, 3, 5):
        seen.note(b"e" * 32, mark(epoch))
    again = SeenEpochs(path)
    assert again.seen(b"e" * 32) == mark(5)
    with pytest.raises(SecurityError, match="it shows epoch 4, and has shown epoch 5 before"):
        again.note(b"e" * 32, mark(4))
    again.note(b"f" * 32, mark(1))
    path.write_text("{")
    with pytest.raises(SecurityError, match="cannot be read"):
        SeenEpochs(path)
