"""The wheel, the source distribution and installs of them."""

from __future__ import annotations

import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("config", "protocols", "algorithms", "node")
VERSION = version("hansa")


def shipped() -> set[str]:
    """Every file of the package, by its path in a wheel: modules, and what lies beside them."""
    own = {f"hansa/{path.name}" for path in (ROOT / "hansa").iterdir() if path.is_file()}
    below = (path for floor in FLOORS for path in (ROOT / floor).rglob("*") if path.is_file())
    return own | {f"hansa/{path.relative_to(ROOT)}" for path in below if path.parent.name != "__pycache__"}


def contents(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel but its own metadata; fails where a path is there twice."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.startswith(f"hansa-{VERSION}.dist-info/")]
        assert len(names) == len(set(names))
        return {name: archive.read(name) for name in names}


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    assert set(contents(wheel)) == shipped()
    assert {"hansa/py.typed", "hansa/__init__.py", "hansa/node/daemon.py"} <= shipped()


def test_the_source_distribution_has_every_file_once_and_no_links(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        members = {member.name.partition("/")[2]: member for member in archive if not member.isdir()}
        assert all(member.isfile() for member in members.values())
    about = {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg"}
    assert {name for name in members if not name.startswith("hansa.egg-info/")} == shipped() | about


def test_the_wheel_of_the_source_distribution_is_the_same(wheel: Path, wheel_of_sdist: Path) -> None:
    assert contents(wheel_of_sdist) == contents(wheel)


def test_an_installed_wheel_runs(wheel, environment, hansa_runs) -> None:
    environment.install(wheel)
    hansa_runs(environment)


def test_an_install_from_git_runs(source, environment, hansa_runs, commit) -> None:
    """Git keeps the relative links, and pip builds what it cloned."""
    commit(source)
    environment.install(f"git+file://{source}")
    hansa_runs(environment)


def test_an_editable_install_is_one_path(source, environment, hansa_runs) -> None:
    environment.install(f"--editable={source}")
    hansa_runs(environment, source / "hansa")
    (link,) = environment.folder.glob("lib/python*/site-packages/*hansa*.pth")
    assert link.read_text().strip() == str(source)
