"""The documents name every error code and exit code that the packages have, and no path or module that is not there."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("config", "protocols", "algorithms", "node")
ROOMS = (*PACKAGES, "tests", "benchmarks", "examples")
PATH = re.compile(rf"(?<![\w./~-])(?:{'|'.join(ROOMS)})/[\w/.-]*\w")
MODULE = re.compile(rf"(?<![\w./-])(?:hansa\.)?((?:{'|'.join(PACKAGES)})\.[a-z_]+\.[A-Za-z_]+(?:\.[A-Za-z_]+)*)")
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


def test_links_between_the_documents_lead_somewhere():
    for name in ("cli", "errors", "job", "configuration", "policy"):
        text = (ROOT / "docs" / f"{name}.md").read_text()
        for target in re.findall(r"\]\(([a-z./-]+\.md)\)", text):
            assert (ROOT / "docs" / target).exists()


def prose() -> Iterator[tuple[Path, str]]:
    """All documents, and the docstrings and comments of all modules."""
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")):
        if path.name != "CHANGELOG.md":  # it tells what was
            yield path, path.read_text()
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            with path.open("rb") as file:
                for token in tokenize.tokenize(file.readline):
                    if token.type == tokenize.COMMENT or token.string.startswith('"""'):
                        yield path, token.string


def is_there(module: str) -> bool:
    """Whether a dotted name begins with the path of a module, or is a package."""
    at = ROOT
    for part in module.split("."):
        if not (at / part).is_dir():
            return (at / f"{part}.py").is_file()
        at /= part
    return True


def test_every_path_and_module_that_prose_names_is_there():
    texts = list(prose())
    found = {(path, name) for path, text in texts for name in PATH.findall(text)}
    assert len(found) > 20
    assert [(str(path), name) for path, name in found if not (ROOT / name).exists()] == []
    modules = {(path, name) for path, text in texts for name in MODULE.findall(text)}
    assert len(modules) > 5
    assert [(str(path), name) for path, name in modules if not is_there(name)] == []
