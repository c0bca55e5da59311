import pytest

from hansa.node.sealing import KEPT, SealedCheckpoints, checkpoint_files, model_name, seal, unseal, write_whole
from hansa.protocols.errors import SecurityError

KEY, JOB = b"s" * 32, b"j" * 32


def test_a_blob_opens_only_under_its_key_and_name():
    sealed = seal(KEY, b"shares", model_name(JOB))
    assert b"shares" not in sealed
    assert unseal(KEY, sealed, model_name(JOB)) == b"shares"
    for key, data, name in [
        (b"t" * 32, sealed, model_name(JOB)),
        (KEY, sealed, model_name(b"k" * 32)),
        (KEY, sealed[:-1] + bytes([sealed[-1] ^ 1]), model_name(JOB)),
        (KEY, sealed[:20], model_name(JOB)),
        (KEY, b"", model_name(JOB)),
    ]:
        with pytest.raises(SecurityError, match="does not open"):
            unseal(key, data, name)


def test_a_file_is_private_and_replaced_whole(tmp_path):
    path = tmp_path / "x"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def attempt(folder, number, resume_epoch=-1):
    checkpoints = SealedCheckpoints(folder, KEY, JOB, number, resume_epoch)
    checkpoints.begin()
    return checkpoints


def test_the_agreed_epoch_is_loaded_and_later_ones_are_dropped(tmp_path):
    folder = tmp_path / "job"
    first = attempt(folder, 0)
    assert first.load() is None
    for epoch in range(3):
        first.save(epoch, b"state %d" % epoch)
    second = attempt(folder, 1, resume_epoch=1)
    assert [file.epoch for file in checkpoint_files(folder)] == [0, 1]
    assert second.load() == (1, b"state 1")
    second.save(2, b"state 2 again")
    assert attempt(folder, 2, resume_epoch=2).load() == (2, b"state 2 again")


def test_only_the_last_few_are_kept_(tmp_path):
    checkpoints = attempt(tmp_path, 0)
    for epoch in range(12):
        checkpoints.save(epoch, b"x")
    assert [file.epoch for file in checkpoint_files(tmp_path)] == list(range(12 - KEPT, 12))


def test_a_fresh_start_drops_everything(tmp_path):
    attempt(tmp_path, 0).save(0, b"x")
    attempt(tmp_path, 1)
    assert checkpoint_files(tmp_path) == []


def test_a_file_under_anothers_name_does_not_open(tmp_path):
    checkpoints = attempt(tmp_path, 0)
    checkpoints.save(4, b"x")
    (tmp_path / "checkpoint-0-4.sealed").rename(tmp_path / "checkpoint-0-5.sealed")
    with pytest.raises(SecurityError, match="does not open"):
        SealedCheckpoints(tmp_path, KEY, JOB, 1, 5).load()


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(SecurityError, match="epoch 7 is gone"):
        SealedCheckpoints(tmp_path, KEY, JOB, 1, 7).load()
