"""An enclave's sealed model keys: who opens them, for whom, what an older file does, and to whom they go."""

from dataclasses import replace

import pytest
from nacl.signing import SigningKey
from support.tee.members import CODE, JOB, KEY, NODE, NOW, OTHER, SIGNING_KEYS, VOTERS, contract, opened, use, vote

from hansa.node.tee.keys.epoch_tokens import EpochToken, lineage_of
from hansa.node.tee.keys.vault import Vault
from hansa.node.tee.keys.vault_keys import ModelKey
from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire import limits
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements.votes import Vote

STRANGER = b"s" * 32


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tee" / "keys.sealed"


def handed(*vaults):
    return {job_id: key for vault in vaults for job_id, key in vault.keys_for(CODE, [], NOW).items()}


def test_a_key_is_made_once_and_survives(path):
    vault = opened(path)
    key = vault.make(JOB)
    assert (vault.make(JOB), vault.epoch, len(key)) == (key, 1, 32)
    assert opened(path).key(use()) == key
    assert opened(path).make(JOB) == key
    assert key not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(SecurityError, match="has no key for the model"):
        vault.key(use(contract("another")))


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "release", "parties": (replace(JOB.parties[0], identity=STRANGER), *JOB.parties[1:])},
        {"parties": JOB.parties[1:]},
        {"kind": "release", "codes": ()},
    ],
)
def test_a_model_is_opened_for_its_own_parties_only(changes, path):
    """Every party holds the closed model: whoever of them finds friends must not have it opened without the others."""
    vault = opened(path)
    vault.make(JOB)
    with pytest.raises(SecurityError, match="stays shut: it does not fit the contract under which"):
        vault.key(use(**changes))


@pytest.mark.parametrize(
    ("code", "key", "node", "why"),
    [
        (OTHER, KEY, NODE, "was sealed by other code"),
        (CODE, b"x" * 32, NODE, "does not open: it was changed, or sealed on another machine"),
        (CODE, KEY, b"m" * 32, "is another node's"),
    ],
)
def test_other_code_machines_and_nodes_do_not_open_it(code, key, node, why, path):
    """It is left alone, and put aside once there is something to write: other code begins a lineage of its own."""
    opened(path).make(JOB)
    before = path.read_bytes()
    vault = opened(path, code, key, node)
    assert why in vault.why_unread
    assert (len(vault), vault.epoch, vault.digests) == (0, 0, [])
    with pytest.raises(SecurityError, match="has no key for the model"):
        vault.key(use())
    assert vault.keys_for(code, [], NOW) == {}
    assert path.read_bytes() == before
    vault.make(contract("the next"))
    assert (len(vault), vault.epoch, vault.why_unread) == (1, 1, "")
    assert path.with_name(path.name + ".aside-1").read_bytes() == before
    assert len(opened(path, code, key, node)) == 1


def test_no_byte_of_the_file_can_be_changed_or_lost(path):
    whole = opened(path)
    whole.make(JOB)
    good, token = path.read_bytes(), whole.epoch_token()
    places = [*range(0, 260, 3), *range(260, len(good), 97), len(good) - 1]
    for data in [good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :] for place in places] + [
        good[:length] for length in (0, 3, 8, 60, len(good) - 1)
    ]:
        path.write_bytes(data)
        vault = opened(path)
        assert vault.why_unread
        vault.compare(token)
        assert "it is of epoch 0, and a member has seen epoch 1" in vault.why_shut


def test_the_hardware_is_asked_for_its_key_once(path):
    asked = []
    vault = Vault(path, CODE, NODE, lambda: asked.append(1) or KEY)
    vault.make(JOB)
    for _ in range(3):
        vault.compare(vault.epoch_token())
    assert asked == [1]


# --- room --------------------------------------------------------------------------------------------------------------


def pair(number):
    return [b"%032d" % (2 * number), b"%032d" % (2 * number + 1)]


def test_one_key_too_many_is_refused_and_the_state_stays_whole(path, monkeypatch):
    monkeypatch.setattr(limits, "VAULT_MAX_ENTRIES", 4)
    monkeypatch.setattr(limits, "VAULT_SHARES", 1)
    vault = opened(path)
    kept = {number: vault.make(contract(f"{number}")) for number in range(4)}
    for deny in (vault.make, vault.check_makes):
        with pytest.raises(SecurityError, match="keeps 4 model keys, and has no room for another of these parties"):
            deny(contract("one too many"))
    again = opened(path)
    assert [again.make(contract(f"{number}")) for number in range(4)] == list(kept.values())


def test_one_byte_too_many_is_refused_and_the_file_opens_again(path, monkeypatch):
    """A vault that wrote more than it reads would have lost every key at its next start."""
    size = ModelKey(KEY, contract("0")).size
    monkeypatch.setattr(limits, "VAULT_SHARES", 1)
    monkeypatch.setattr(limits, "VAULT_MAX_BYTES", 3 * size)
    vault = opened(path)
    for number in range(3):
        vault.make(contract(f"{number}"))
    with pytest.raises(SecurityError, match="no room"):
        vault.make(contract("3"))
    assert len(opened(path)) == 3
    monkeypatch.setattr(limits, "VAULT_MAX_BYTES", 4 * size - 1)
    with pytest.raises(SecurityError, match="no room"):
        vault.make(contract("3"))
    monkeypatch.setattr(limits, "VAULT_MAX_BYTES", 4 * size)
    vault.make(contract("3"))
    assert len(opened(path)) == 4


def test_one_pair_fills_its_own_share_only(path, monkeypatch):
    monkeypatch.setattr(limits, "VAULT_MAX_ENTRIES", 4)
    monkeypatch.setattr(limits, "VAULT_SHARES", 2)
    vault = opened(path)
    for number in range(2):
        vault.make(contract(f"junk {number}", who=pair(0)))
    for who in (pair(0), pair(0)[::-1]):
        with pytest.raises(SecurityError, match="of these parties"):
            vault.make(contract("more junk", who=who))
    vault.make(JOB)


def test_what_is_handed_over_is_taken_as_far_as_there_is_room(path, tmp_path, monkeypatch):
    other = opened(tmp_path / "other")
    for number in range(3):
        other.make(contract(f"junk {number}", who=pair(0)))
    other.make(JOB)
    monkeypatch.setattr(limits, "VAULT_MAX_ENTRIES", 4)
    monkeypatch.setattr(limits, "VAULT_SHARES", 2)
    vault = opened(path)
    merged = vault.merge(handed(other), own_code=True)
    assert (merged.new, merged.conflicts, merged.surplus) == (3, (), (contract("junk 2", who=pair(0)).job_id,))
    assert opened(path).key(use()) == other.key(use())


# --- rollback ----------------------------------------------------------------------------------------------------------


def test_an_older_file_is_found_by_what_a_member_has_seen(path):
    vault = opened(path)
    vault.make(JOB)
    older = path.read_bytes()
    newer = contract("another")
    vault.make(newer)
    token = vault.epoch_token()
    path.write_bytes(older)
    back = opened(path)
    for lie in (b"", bytes(72), (99).to_bytes(8, "big") + token[8:], token[:-1] + b"\0"):
        back.compare(lie)
        assert not back.why_shut
    with pytest.raises(PeerMisbehaved, match="shows 71 bytes as epoch tokens of 72"):
        back.compare(token[:-1])
    back.compare(bytes(72) + token)
    assert "it is of epoch 1, and a member has seen epoch 2" in back.why_shut
    with pytest.raises(SecurityError, match="rolled back"):
        back.key(use())
    assert back.merge(handed(vault), own_code=True).new == 1
    assert back.key(use(newer)) == vault.key(use(newer))
    assert back.epoch == 3
    assert [file.name for file in path.parent.glob("*.aside-*")] == ["keys.sealed.aside-1"]


def test_a_fork_is_found_at_the_same_epoch(path, tmp_path):
    opened(path).make(JOB)
    forked = tmp_path / "forked"
    forked.write_bytes(path.read_bytes())
    one, other = opened(path), opened(forked)
    one.make(contract("left"))
    other.make(contract("right"))
    assert one.epoch == other.epoch == 2
    assert one.epoch_token() != other.epoch_token()
    other.compare(one.epoch_token())
    assert "a member has seen another state of its epoch 2" in other.why_shut
    one.compare(one.epoch_token())
    assert not one.why_shut


def test_a_file_that_is_gone_is_rolled_back_too(path):
    vault = opened(path)
    vault.make(JOB)
    path.unlink()
    again = opened(path)
    again.compare(vault.epoch_token())
    assert "it is of epoch 0" in again.why_shut


def test_a_neighbours_mark_shuts_nothing(path, tmp_path):
    """Two nodes of one code on one chip have one sealing key, and lineages of their own."""
    vault, neighbour = opened(path), opened(tmp_path / "neighbour", node=b"m" * 32)
    vault.make(JOB)
    for number in range(3):
        neighbour.make(contract(f"{number}"))
    vault.compare(neighbour.epoch_token())
    assert not vault.why_shut


def test_what_still_opens_is_united_with_what_is_handed_over(path, tmp_path):
    vault, other = opened(path), opened(tmp_path / "other")
    own = vault.make(JOB)
    newer = path.read_bytes()
    vault.make(contract("second"))
    seen = vault.epoch_token()
    path.write_bytes(newer)
    theirs = other.make(contract("foreign"))
    for time in (1, 2):
        back = opened(path)
        back._compare(EpochToken.make(KEY, lineage_of(KEY, NODE, CODE), 10 * time, b"s" * 16))
        back.compare(seen)
        assert back.why_shut
        back.merge(handed(other), own_code=True)
        assert (back.key(use()), back.key(use(contract("foreign")))) == (own, theirs)
        assert back.epoch == 10 * time + 1
        assert back.make(JOB) == own
    assert sorted(file.name for file in path.parent.glob("*.aside-*")) == ["keys.sealed.aside-1", "keys.sealed.aside-2"]
    assert (path.parent / "keys.sealed.aside-1").read_bytes() == newer


def test_with_another_sealing_key_it_begins_another_line(path, tmp_path):
    """After new microcode: nothing opens, no token can be checked, and the other enclave has the keys."""
    vault, other = opened(path), opened(tmp_path / "other", key=b"o" * 32)
    key = vault.make(JOB)
    other.merge(handed(vault), own_code=True)
    later = opened(path, key=b"l" * 32)
    later.compare(vault.epoch_token())
    assert ("does not open" in later.why_unread, later.why_shut) == (True, "")
    assert later.merge(handed(other), own_code=True).new == 1
    assert (later.key(use()), later.why_shut) == (key, "")
    first, second = (EpochToken.decode_all_untrusted(each.epoch_token())[0] for each in (vault, later))
    assert first.lineage != second.lineage


def rolled_back(path, jobs=(JOB,), newer="newer"):
    """State that is shut: a member has seen the next epoch."""
    vault = opened(path)
    for job in jobs:
        vault.make(job)
    older = path.read_bytes()
    vault.make(contract(newer))
    path.write_bytes(older)
    back = opened(path)
    back.compare(vault.epoch_token())
    assert back.why_shut
    return back


def test_nothing_handed_over_mends_nothing(path):
    back = rolled_back(path)
    assert back.merge({}, own_code=True).new == 0
    assert back.why_shut


def test_other_code_mends_nothing(path, tmp_path):
    """Else a pair whose votes move its own keys could hide a rollback."""
    back, other = rolled_back(path), opened(tmp_path / "other", code=OTHER)
    other.make(contract("foreign"))
    with pytest.raises(SecurityError, match="rolled back"):
        back.merge(other.keys_for(OTHER, [], NOW), own_code=False)
    assert back.why_shut


def test_twins_that_both_lost_what_was_newest_mend_each_other(path, tmp_path):
    one = rolled_back(path, [JOB])
    other = rolled_back(tmp_path / "other", [contract("second")])
    assert one.merge(other.keys_for(CODE, [], NOW), own_code=True).new == 1
    assert other.merge(one.keys_for(CODE, [], NOW), own_code=True).new == 1
    assert (len(one), len(other), one.why_shut, other.why_shut) == (2, 2, "", "")
    assert one.epoch == 3
    third = opened(tmp_path / "third", code=OTHER)
    with pytest.raises(SecurityError, match="rolled back"):
        rolled_back(tmp_path / "again").keys_for(third.code, [], NOW)


def test_an_enclave_goes_on_with_its_own_job_though_its_twin_mended_it(path, tmp_path):
    back, twin = rolled_back(path), opened(tmp_path / "twin")
    twin.merge(handed(back), own_code=True)
    back.merge(handed(twin), own_code=True)
    assert back.make(JOB) == twin.key(use())


# --- handing over ------------------------------------------------------------------------------------------------------


def test_a_jobs_key_is_never_replaced_and_stops_no_other(path, tmp_path):
    vault, other = opened(path), opened(tmp_path / "other")
    key = vault.make(JOB)
    other.make(JOB)
    other.make(contract("another"))
    merged = vault.merge(handed(other), own_code=True)
    assert (merged.new, merged.conflicts) == (1, (JOB.job_id,))
    assert vault.key(use()) == key
    assert opened(path).key(use(contract("another")))


def test_what_was_handed_over_closes_no_model(path):
    """Other code could have planted it for a job that is proposed, by as few votes as its contract asks for."""
    job = contract(votes=1)
    planted = ModelKey(b"p" * 32, job, made=True)
    vault = opened(path)
    believed = vault.acceptable({job.job_id: planted}, OTHER, [vote(0, code_from=OTHER, code_to=CODE)], NOW)
    assert vault.merge(believed, own_code=True).new == 1
    for each in (vault, opened(path)):
        for deny in (each.make, each.check_makes):
            with pytest.raises(SecurityError, match="was handed over by another enclave: no model is closed with it"):
                deny(job)
        assert each.key(use(job)) == b"p" * 32


@pytest.mark.parametrize(
    ("votes", "go"),
    [
        ([], False),
        ([vote(0)], False),
        ([vote(0), vote(2)], True),
        ([vote(0), vote(0, NOW + 99)], False),
        ([vote(0), vote(1, until=NOW)], False),
        ([vote(0), vote(1, code_from=OTHER, code_to=CODE)], False),
        ([vote(0), vote(1, signing_key=SIGNING_KEYS[2])], False),
        ([vote(0), replace(vote(1), until=NOW + 86_401)], False),
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
    allowed = vault.keys_for(OTHER, votes, NOW)
    assert set(allowed) == ({JOB.job_id} if go else set())
    new = opened(path.with_name("new"), OTHER)
    everything = vault.keys_for(CODE, [], NOW)
    assert set(new.acceptable(everything, CODE, votes, NOW)) == set(allowed)


def test_other_code_is_not_believed_without_votes_for_it(path):
    """Else an enclave of any accepted code could hand over a key that its friends know, for a model of their making."""
    third = Code("SGX", b"e" * 32)
    key = ModelKey(b"o" * 32, contract(codes=(CODE, third)))
    votes = [vote(rank) for rank in range(3)]
    vault = opened(path, OTHER)
    assert vault.acceptable({key.contract.job_id: key}, third, votes, NOW) == {}
    assert vault.acceptable({key.contract.job_id: key}, CODE, votes, NOW) != {}


def test_upgrades_follow_upon_each_other(path):
    third = Code("SGX", b"e" * 32)
    first, second, last = (opened(path.with_name(str(n)), code) for n, code in enumerate((CODE, OTHER, third)))
    key = first.make(JOB)
    votes = [vote(rank) for rank in range(2)]
    second.merge(second.acceptable(first.keys_for(OTHER, votes, NOW), CODE, votes, NOW), own_code=True)
    assert second.keys_for(third, votes, NOW) == {}
    votes += [vote(rank, code_from=OTHER, code_to=third) for rank in range(2)]
    last.merge(last.acceptable(second.keys_for(third, votes, NOW), OTHER, votes, NOW), own_code=True)
    assert last.key(use()) == key


def test_keys_never_go_between_real_and_simulated_hardware(path):
    simulated = Code("insecure-simulated", b"s" * 48)
    vault = opened(path)
    vault.make(JOB)
    forged = [replace(vote(rank), code_to=simulated) for rank in range(3)]
    assert vault.keys_for(simulated, forged, NOW) == {}
