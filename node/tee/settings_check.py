"""What [tee] in hansa.toml names must be there and readable: found out before the node starts, not when a peer is judged."""

from __future__ import annotations

from pathlib import Path

from hansa.config.errors import ConfigError
from hansa.config.paths import settings_file
from hansa.config.settings import TeeSettings


def check_tee(home: Path, tee: TeeSettings) -> str | None:
    """The attestation policy file that is in force; None where there is none. Raises ``ConfigError`` naming the file."""
    for named in tee.collateral:
        if not (home / named).exists():
            raise _missing(home, "collateral", home / named)
    path = home / tee.policy
    if path.exists():
        from hansa.node.tee.evidence.policy_file import load_policy  # noqa: PLC0415  # loads cryptography

        load_policy(str(path))
        return str(path)
    if tee.policy != TeeSettings().policy or tee.votes:
        raise _missing(home, "policy", path)
    return None


def _missing(home: Path, key: str, path: Path) -> ConfigError:
    return ConfigError(
        f"{path} is missing, and {settings_file(home)} names it (tee.{key})",
        remedy="put it there, or correct the settings",
        file=str(path),
        key=f"tee.{key}",
    )
