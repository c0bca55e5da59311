"""What is built of a copy of this source, and an environment in which it alone is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("config", "protocols", "algorithms", "node")


def run(*words: str | Path, cwd: Path) -> str:
    """A program's standard output; its error output where it fails."""
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass
class Environment:
    """A virtual environment that sees the running one's packages after its own."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def install(self, what: str | Path) -> None:
        """Install hansa into it, and nothing else."""
        options = (
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "--disable-pip-version-check",
            "--force-reinstall",
        )
        run(sys.executable, "-m", "pip", "--python", self.python, "install", *options, what, cwd=self.folder)

    def where(self, module: str) -> Path:
        """The file of a module."""
        code = f"import importlib; print(importlib.import_module({module!r}).__file__)"
        return Path(run(self.python, "-c", code, cwd=self.folder).strip())


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """An environment without hansa of its own."""
    made = Environment(tmp_path / "environment")
    venv.create(made.folder, symlinks=True)
    (own,) = made.folder.glob("lib/python*/site-packages")
    (own / "running.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    return made


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package's source, links kept; a build leaves its traces there."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("hansa", *FLOORS):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


def build(source: Path, kind: str) -> Path:
    """The ``wheel`` or ``sdist`` of a source, by the installed setuptools."""
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}('dist'))"
    return source / "dist" / run(sys.executable, "-c", code, cwd=source).splitlines()[-1]


@pytest.fixture(scope="session")
def sdist(source: Path) -> Path:
    """The source distribution."""
    return build(source, "sdist")


@pytest.fixture(scope="session")
def wheel(source: Path) -> Path:
    """The wheel, built of the source itself."""
    return build(source, "wheel")


@pytest.fixture(scope="session")
def wheel_of_sdist(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of the source distribution: what pip does where there is no wheel."""
    folder = tmp_path_factory.mktemp("unpacked")
    shutil.unpack_archive(sdist, folder, filter="data")
    (unpacked,) = folder.iterdir()
    return build(unpacked, "wheel")


@pytest.fixture(scope="session")
def commit() -> Callable[[Path], None]:
    """``commit(folder)``: make a git repository of a folder."""

    def commit(folder: Path) -> None:
        names = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        (folder / ".gitignore").write_text("dist/\nbuild/\n*.egg-info/\n")
        for words in (("init", "--quiet"), ("add", "--all"), (*names, "commit", "--quiet", "--message", "all")):
            run("git", *words, cwd=folder)

    return commit


@pytest.fixture(scope="session")
def hansa_runs() -> Callable[..., None]:
    """``hansa_runs(environment)``: its own hansa imports and runs; ``within`` is the folder of its modules."""

    def check(environment: Environment, within: Path | None = None) -> None:
        for module in ("hansa", "hansa.errors", "hansa.node.admin.client", "hansa.protocols.mpc.engines"):
            assert environment.where(module).is_relative_to(within or environment.folder)
        command = environment.folder / "bin" / "hansa"
        assert run(command, "--version", cwd=environment.folder) == f"hansa {version('hansa')}\n"
        assert "first steps:" in run(command, "--help", cwd=environment.folder)

    return check
