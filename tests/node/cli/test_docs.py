"""The documents name every error code and exit code that the packages have."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("config", "protocols", "algorithms", "node")
ERRORS = (ROOT / "docs" / "errors.md").read_text()


def class_attribute(name: str) -> set[str | int]:
    """The values that classes in the packages give to a class attribute, read without importing anything."""
    found: set[str | int] = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    found |= {value for statement in node.body for value in assigned(statement, name)}
    return found


def assigned(statement: ast.stmt, name: str) -> list[str | int]:
    targets = (
        statement.targets
        if isinstance(statement, ast.Assign)
        else [statement.target]
        if isinstance(statement, ast.AnnAssign)
        else []
    )
    named = any(isinstance(target, ast.Name) and target.id == name for target in targets)
    return [statement.value.value] if named and isinstance(statement.value, ast.Constant) else []


def test_every_error_code_has_a_section():
    codes = {code for code in class_attribute("code") if isinstance(code, str)}
    assert {"internal", "peer-lost", "job-failed"} <= codes
    assert set(re.findall(r"^### `([a-z-]+)`$", ERRORS, re.MULTILINE)) == codes


def test_every_exit_code_is_in_the_table():
    codes = {str(code) for code in class_attribute("exit_code")}
    listed = set(re.findall(r"^\| (\d+) \|", ERRORS, re.MULTILINE))
    assert listed == codes | {"0", "130", "141"}


def test_every_section_says_something():
    for section in re.split(r"^### ", ERRORS, flags=re.MULTILINE)[1:]:
        assert len(section.split()) > 10
