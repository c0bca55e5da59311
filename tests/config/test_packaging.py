"""What `pip install` takes along."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("config", "protocols", "algorithms", "node")


def test_every_package_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = (path.parent.relative_to(ROOT) for top in FLOORS for path in (ROOT / top).rglob("__init__.py"))
    assert sorted(listed) == sorted(".".join(("hansa", *folder.parts)) for folder in folders)
