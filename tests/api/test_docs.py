"""docs/api.md does what it says, from its first line to its last."""

from __future__ import annotations

import doctest
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import hansa
from hansa.node.admin.api import AdminApi, asked

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
COMMANDS = re.findall(r"^    \$ hansa (.*)$", TEXT, re.MULTILINE)


def command_line(words: str) -> None:
    code = "import sys; from hansa.node.cli.main import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code, *shlex.split(words)], check=True, stdout=subprocess.DEVNULL)


def test_a_newcomer_can_follow_it_word_by_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    up, down = COMMANDS
    session = doctest.DocTestParser().get_doctest(TEXT, {}, "docs/api.md", "docs/api.md", 0)
    told: list[str] = []
    command_line(up)
    try:
        results = doctest.DocTestRunner(verbose=False).run(session, out=told.append)
    finally:
        command_line(down)
    assert results.failed == 0, "".join(told)
    assert results.attempted > 35


def test_it_names_every_public_name() -> None:
    for name in hansa.__all__:
        assert f"`hansa.{name}" in TEXT, name
    for name in hansa.errors.__all__:
        assert f"`{name}`" in TEXT.partition("## Errors")[2] or name == "HansaError", name


def test_it_lists_every_method_with_its_arguments() -> None:
    listed = re.findall(
        r"`([a-z_]+)\(([^)`]*)\)`", TEXT.partition("| method | what it does |\n|---|---|\n| `status")[2]
    )
    methods = {name: found for name, found in vars(AdminApi).items() if isinstance(found, asked)}
    expected = {name: inspect.signature(getattr(hansa.connect("."), name)) for name in methods}
    assert {name for name, _ in listed} | {"status"} == {*methods, "watch"}
    for name, arguments in listed:
        if name in expected:
            bare = [parameter.replace(annotation=parameter.empty) for parameter in expected[name].parameters.values()]
            assert f"({arguments})" == str(inspect.Signature(bare)), name
