"""Where the home and the admin socket are."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from hansa.config import paths
from hansa.config.errors import ConfigError


def test_default_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HANSA_HOME", str(tmp_path))
    assert paths.default_home() == tmp_path
    monkeypatch.delenv("HANSA_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert paths.default_home() == Path("/home/someone/.hansa")


def test_a_short_home_has_its_own_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert paths.admin_socket(Path("h")) == tmp_path / "h" / "admin.sock"


@pytest.fixture
def long_home(tmp_path):
    return tmp_path / ("x" * 120)


def test_a_long_home_falls_back_to_a_folder_of_this_user(long_home, tmp_path, monkeypatch):
    runtime = tmp_path / "run"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    path = paths.admin_socket(long_home)
    assert path.parent == runtime / f"hansa-{os.getuid()}"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path == paths.admin_socket(long_home)
    assert path != paths.admin_socket(long_home / "y")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def test_a_long_runtime_folder_falls_back_too(long_home, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("r" * 90)))
    assert str(paths.admin_socket(long_home)).startswith(f"/tmp/hansa-{os.getuid()}/")


@pytest.mark.parametrize("at_limit", [0, 1])
def test_the_limit_itself(at_limit, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    limit = paths._LONGEST_SOCKET_PATH
    home = Path("/" + "h" * (limit - len("/admin.sock") - 1 + at_limit))
    own = home / "admin.sock"
    assert (paths.admin_socket(home) == own) is (at_limit == 0)


def test_a_runtime_folder_that_others_may_enter_is_refused(long_home, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = tmp_path / f"hansa-{os.getuid()}"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(ConfigError, match="is not a folder of this user alone"):
        paths.admin_socket(long_home)
    folder.chmod(0o700)
    paths.admin_socket(long_home)


def test_a_link_instead_of_the_folder_is_refused(long_home, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / f"hansa-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is not a folder of this user alone"):
        paths.admin_socket(long_home)


def test_a_file_instead_of_the_folder_is_refused(long_home, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / f"hansa-{os.getuid()}").write_text("")
    with pytest.raises(ConfigError, match="is not a folder of this user alone"):
        paths.admin_socket(long_home)


def test_a_runtime_folder_that_cannot_be_made(long_home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a relative path is short wherever the tests run: a long one falls back to /tmp
    monkeypatch.setenv("XDG_RUNTIME_DIR", "missing")
    with pytest.raises(ConfigError, match="cannot be made: No such file or directory"):
        paths.admin_socket(long_home)
