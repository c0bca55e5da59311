"""The vault as the rest of an enclave's node sees it: what it says of itself, and what it hands to a worker."""

import pytest
from support.tee.members import JOB, NODE, use

from hansa.node.errors import EvidenceError
from hansa.node.tee.evidence.prover import Prover
from hansa.node.tee.keys import model_keys as module
from hansa.node.tee.keys.model_keys import ModelKeys
from hansa.protocols.errors import SecurityError
from hansa.protocols.wire import limits

WORD = "insecure-simulated"


@pytest.fixture
def keys(tmp_path):
    return ModelKeys(tmp_path, Prover(WORD, (), "code"), NODE)


def test_a_model_is_opened_for_its_own_parties_only(keys):
    """When the job is considered, and again when its key would be handed to the worker."""
    made = []
    keys.on_made = made.append
    assert keys.reason_to_refuse(use()).startswith("this enclave has no key for the model")
    key = keys.of(JOB)
    assert made == [JOB.job_id]
    assert (keys.reason_to_refuse(use()), keys.of(use())) == (None, key)
    for others in (use(parties=JOB.parties[1:]), use(kind="release", parties=JOB.parties[::-1])):
        assert "it does not fit the contract under which the model was trained" in keys.reason_to_refuse(others)
        with pytest.raises(SecurityError, match="stays shut: it does not fit the contract"):
            keys.of(others)


def test_a_job_for_which_there_is_no_room_is_refused_before_it_starts(keys, monkeypatch):
    assert keys.reason_to_refuse(JOB) is None
    monkeypatch.setattr(limits, "VAULT_MAX_ENTRIES", 0)
    assert "has no room for another of these parties" in keys.reason_to_refuse(JOB)
    with pytest.raises(SecurityError, match="no room"):
        keys.of(JOB)


def test_state_is_shut_by_a_token_of_its_own_and_told_once(keys, tmp_path):
    shut = []
    keys.on_shut = shut.append
    keys.of(JOB)
    token = keys.epoch_token()
    (tmp_path / "tee" / "keys.sealed").unlink()
    again = ModelKeys(tmp_path, Prover(WORD, (), "code"), NODE)
    again.on_shut = shut.append
    for shown in (b"", b"no token", bytes(72), token, token):
        again.compare(shown)
    assert len(shut) == 1
    assert again.describe() == {"keys": 0, "epoch": 0, "shut": shut[0], "unread": None}
    assert again.reason_to_refuse(JOB) == shut[0]
    assert "rolled back" in shut[0]


def test_a_device_is_asked_for_the_sealing_key_once(keys, monkeypatch):
    asked = []
    real = module.sealing_key
    monkeypatch.setattr(module, "sealing_key", lambda *about: asked.append(1) or real(*about))
    keys.open()
    for _ in range(3):
        keys.compare(keys.epoch_token())
        keys.describe()
    keys.of(JOB)
    assert asked == [1]


def test_a_node_without_hardware_has_none(tmp_path):
    keys = ModelKeys(tmp_path, None, NODE)
    keys.compare(bytes(72))
    assert (keys.epoch_token(), keys.describe()) == (b"", None)
    assert keys.reason_to_refuse(JOB) == "this node runs in no trusted hardware"


def test_what_peers_read_of_a_missing_sealing_key_names_no_device(tmp_path, monkeypatch):
    def none(*_):
        raise EvidenceError("/dev/sev-guest cannot be opened", remedy="see", device="/dev/sev-guest")

    monkeypatch.setattr("hansa.node.tee.keys.model_keys.sealing_key", none)
    keys = ModelKeys(tmp_path, Prover(WORD, (), "code"), NODE)
    assert keys.reason_to_refuse(JOB) == "its hardware gives no sealing key"
