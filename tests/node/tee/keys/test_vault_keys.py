"""Job keys on the wire and on disk, and how much room whose keys take."""

from dataclasses import replace

import pytest
from support.tee.members import CODE, JOB, OTHER, VOTERS, contract, vote

from hansa.node.tee.keys.vault_keys import ModelKey, Room, decode_keys_untrusted, encode_keys, voted
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.wire import canonical, limits

ONE = ModelKey(b"k" * 32, JOB, made=True)


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [None],
        [{"key": bytes(32)}],
        [ModelKey(bytes(31), JOB).to_plain()],
        [ModelKey(bytes(32), replace(JOB, kind="release", model=b"m" * 32)).to_plain()],
        [{**ONE.to_plain(), "more": 1}],
        [{**ONE.to_plain(), "made": 1}],
    ],
)
def test_what_is_no_job_key_is_refused(plain):
    with pytest.raises(PeerMisbehaved):
        decode_keys_untrusted(canonical.encode(plain))


def test_one_key_too_many_is_refused(monkeypatch):
    monkeypatch.setattr(limits, "VAULT_MAX_ENTRIES", 2)
    keys = [ModelKey(b"k" * 32, contract(f"{number}")) for number in range(3)]
    assert len(decode_keys_untrusted(encode_keys(keys[:2]))) == 2
    with pytest.raises(PeerMisbehaved, match="other than model keys"):
        decode_keys_untrusted(encode_keys(keys))


def test_keys_survive_the_wire_and_are_not_shown():
    assert decode_keys_untrusted(encode_keys([ONE])) == {JOB.job_id: ONE}
    assert ONE.key.hex() not in repr(ONE)
    assert "kkkk" not in repr(ONE)


@pytest.mark.parametrize("columns", [("age",), tuple(f"{number:05}" + "x" * 90 for number in range(2_000))])
def test_no_key_takes_more_bytes_than_is_counted(columns):
    """Else the sum could be within the bound, and the file be not."""
    keys = [ModelKey(b"k" * 32, contract(f"{number}", columns=columns)) for number in range(3)]
    for some in (keys[:1], keys):
        assert len(encode_keys(some)) <= sum(key.size for key in some)


def test_a_digest_tells_jobs_and_keys_apart():
    others = (ModelKey(b"o" * 32, JOB), ModelKey(b"k" * 32, contract("another")))
    assert len({ONE.digest, *(other.digest for other in others)}) == 3
    assert replace(ONE, made=False).digest == ONE.digest
    assert len(ONE.digest) == limits.KEY_DIGEST_BYTES


def test_a_share_is_of_entries_and_of_bytes(monkeypatch):
    size = ONE.size
    monkeypatch.setattr(limits, "VAULT_SHARES", 2)
    monkeypatch.setattr(limits, "VAULT_MAX_ENTRIES", 6)
    monkeypatch.setattr(limits, "VAULT_MAX_BYTES", 100 * size)
    room = Room()
    assert [room.take(ONE) for _ in range(4)] == [True, True, True, False]
    theirs = ModelKey(b"k" * 32, contract(who=VOTERS[:2]))
    assert [room.take(theirs) for _ in range(4)] == [True, True, True, False]
    monkeypatch.setattr(limits, "VAULT_MAX_BYTES", 4 * size)
    room = Room()
    assert [room.take(ONE) for _ in range(3)] == [True, True, False]


def test_votes_are_counted_for_each_job_by_its_own_rule():
    unanimous, pair = contract("unanimous", votes=3), contract("pair", votes=1, who=VOTERS[1:])
    keys = {each.job_id: ModelKey(b"k" * 32, each) for each in (JOB, unanimous, pair)}
    now = vote(0).until - 1
    assert set(voted(keys, CODE, OTHER, [vote(0)], now)) == set()
    assert set(voted(keys, CODE, OTHER, [vote(2)], now)) == {pair.job_id}
    assert set(voted(keys, CODE, OTHER, [vote(0), vote(1)], now)) == {JOB.job_id, pair.job_id}
    assert set(voted(keys, CODE, OTHER, [vote(0), vote(1), vote(2)], now)) == set(keys)
    assert voted({}, CODE, OTHER, [vote(0)], now) == {}
