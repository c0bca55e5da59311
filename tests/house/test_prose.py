"""Documents, docstrings and comments name no path, no module and no page that is not there."""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("config", "protocols", "algorithms", "node")
ROOMS = (*FLOORS, "tests", "benchmarks", "examples")
PATH = re.compile(rf"(?<![\w./~-])(?:{'|'.join(ROOMS)})/[\w/.-]*\w")
MODULE = re.compile(rf"(?<![\w./-])(?:hansa\.)?((?:{'|'.join(FLOORS)})\.[a-z_]+\.[A-Za-z_]+(?:\.[A-Za-z_]+)*)")
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)[^)\s]*\)")
LOOK_FIRST = re.compile(r"^\| `(\w+/)` \|.*\| `([\w/.]+)` \|$", re.MULTILINE)
PAGES = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"), *ROOT.glob("tests/**/*.md")}
)


def prose() -> Iterator[tuple[Path, str]]:
    """All documents, and the docstrings and comments of all modules."""
    for path in PAGES:
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(page: Path) -> None:
    assert [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()] == []


def test_where_a_stranger_looks_first_is_there() -> None:
    rows = LOOK_FIRST.findall((ROOT / "docs" / "architecture.md").read_text())
    assert len(rows) >= 9
    assert [room + file for room, file in rows if not (ROOT / "node" / room / file).exists()] == []


def test_the_version_has_its_section_in_the_change_log() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert f"\n## {version[1]} (" in (ROOT / "CHANGELOG.md").read_text()
