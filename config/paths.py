"""Where things lie: the home folder and the admin socket."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from hansa.config.errors import ConfigError

_LONGEST_SOCKET_PATH = 107 if sys.platform.startswith("linux") else 103
"""Bytes of ``sun_path`` less its final zero."""
_SOCKET_NAME = len("/0123456789abcdef.sock")


def default_home() -> Path:
    """``$HANSA_HOME``, else ``~/.hansa``."""
    return Path(os.environ.get("HANSA_HOME") or Path.home() / ".hansa")


def settings_file(home: Path) -> Path:
    """HOME/hansa.toml."""
    return home / "hansa.toml"


def admin_socket(home: Path) -> Path:
    """HOME/admin.sock; where that path is too long for the platform, a name in a 0700 runtime folder of this user."""
    path = home.absolute() / "admin.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    from hashlib import blake2b  # noqa: PLC0415  # OpenSSL takes a third of a command's start-up, and this is rare

    name = blake2b(os.fsencode(home.absolute()), digest_size=8).hexdigest()
    return runtime_folder() / f"{name}.sock"


def runtime_folder() -> Path:
    """A folder that only this user can enter, made if missing; ``ConfigError`` where somebody else's stands there."""
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / f"hansa-{os.getuid()}"  # noqa: S108  # checked below
    if len(os.fsencode(folder)) > _LONGEST_SOCKET_PATH - _SOCKET_NAME:
        folder = Path("/tmp") / folder.name  # noqa: S108  # the same check
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except FileExistsError:
        found = folder.lstat()
    except OSError as error:
        raise _not_ours(folder, f"cannot be made: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise _not_ours(folder, "is not a folder of this user alone")
    return folder


def _not_ours(folder: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{folder}, needed for the admin socket of a home with a long path, {why}",
        remedy=f"remove it or `chmod 700 {folder}`, or choose a shorter --home",
        file=str(folder),
    )
