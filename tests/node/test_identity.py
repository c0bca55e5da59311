"""Keys at rest: made once, readable by their owner alone, sealed where asked, and never printed."""

from __future__ import annotations

import errno
import json
import stat
from pathlib import Path

import pytest

from hansa.config.errors import ConfigError
from hansa.node import identity as identity_module
from hansa.node.identity import FILE, Identity, create_identity, load_identity
from hansa.protocols.errors import SecurityError
from hansa.protocols.wire.record import PeerRecord
from hansa.protocols.wire.signing import fingerprint


@pytest.fixture
def cheap_kdf(monkeypatch: pytest.MonkeyPatch) -> None:
    argon2id = identity_module.argon2id
    monkeypatch.setattr(argon2id, "OPSLIMIT_MODERATE", argon2id.OPSLIMIT_MIN)
    monkeypatch.setattr(argon2id, "MEMLIMIT_MODERATE", argon2id.MEMLIMIT_MIN)


def test_created_and_loaded_again(tmp_path: Path) -> None:
    made = create_identity(tmp_path)
    assert load_identity(tmp_path) == made
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert made.fingerprint == fingerprint(made.public)
    assert made.key_text == f"{made.public.hex()}.{made.static.public.hex()}"


def test_the_keys_are_independent(tmp_path: Path) -> None:
    made = create_identity(tmp_path)
    assert len({made.signing_key, made.static.secret, made.sealing, made.public, made.static.public}) == 5


def test_an_identity_is_never_overwritten(tmp_path: Path) -> None:
    made = create_identity(tmp_path)
    with pytest.raises(ConfigError, match="has an identity already"):
        create_identity(tmp_path)
    assert load_identity(tmp_path) == made
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_crash_while_writing_leaves_no_half_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(identity_module.os, "link", crash)
    with pytest.raises(OSError, match="no space"):
        create_identity(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_identity_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"identity\.key is missing.*\n.*hansa init"):
        load_identity(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620])
def test_a_file_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    create_identity(tmp_path)
    (tmp_path / FILE).chmod(mode)
    with pytest.raises(SecurityError, match=f"mode {mode:04o}.*\n.*chmod 600"):
        load_identity(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"\xff\xfe",
        b"{}",
        b'{"ed25519": "zz", "x25519": "", "sealing": ""}',
        json.dumps({"ed25519": "00" * 31, "x25519": "00" * 32, "sealing": "00" * 32}).encode(),
        json.dumps({"ed25519": "00" * 32, "x25519": "00" * 32, "sealing": "00" * 8}).encode(),
        json.dumps({"ed25519": "00" * 32, "x25519": 5, "sealing": "00" * 32}).encode(),
        b'{"sealed": 5}',
        b'{"sealed": {"salt": "00", "box": "00"}}',
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: bytes) -> None:
    (tmp_path / FILE).write_bytes(text)
    (tmp_path / FILE).chmod(0o600)
    with pytest.raises(ConfigError, match=r"identity\.key is damaged"):
        load_identity(tmp_path, "some passphrase")


def test_an_identity_that_is_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_identity(tmp_path)


def test_sealed_under_a_passphrase(tmp_path: Path, cheap_kdf: None) -> None:
    made = create_identity(tmp_path, "correct horse")
    text = (tmp_path / FILE).read_text()
    for secret in (made.signing_key, made.static.secret, made.sealing):
        assert secret.hex() not in text
    assert load_identity(tmp_path, "correct horse") == made
    with pytest.raises(SecurityError, match="passphrase does not open"):
        load_identity(tmp_path, "wrong horse")
    with pytest.raises(SecurityError, match="sealed under a passphrase"):
        load_identity(tmp_path)


def test_a_repr_shows_no_secret(tmp_path: Path) -> None:
    made = create_identity(tmp_path)
    for secret in (made.signing_key, made.static.secret, made.sealing):
        assert repr(secret)[2:-1] not in repr(made)
        assert secret.hex() not in repr(made)


def test_sealing_keys_differ_by_job_and_node() -> None:
    one = Identity.from_secrets(bytes(32), bytes(32), bytes(32))
    two = Identity.from_secrets(bytes(32), bytes(32), b"\1" * 32)
    keys = {one.sealing_key(b"a"), one.sealing_key(b"b"), two.sealing_key(b"a")}
    assert len(keys) == 3
    assert all(len(key) == 32 for key in keys)
    assert one.sealing_key(b"a") == Identity.from_secrets(bytes(32), bytes(32), bytes(32)).sealing_key(b"a")


def test_the_record_certifies_the_static_key(tmp_path: Path) -> None:
    made = create_identity(tmp_path)
    record = made.record("bank", ("bank.example:7400",), 7)
    assert PeerRecord.decode_untrusted(record.encode()) == record
    assert (record.identity, record.static_key) == (made.public, made.static.public)


def test_where_there_are_no_links_keys_are_still_written_once(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOSYS, "no links here")

    monkeypatch.setattr(identity_module.os, "link", none)
    made = create_identity(tmp_path)
    assert load_identity(tmp_path).public == made.public
    with pytest.raises(ConfigError, match="has an identity already"):
        create_identity(tmp_path)
    assert load_identity(tmp_path).public == made.public
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
