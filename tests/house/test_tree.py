"""The house rules that a machine can check: sizes of modules, functions and rooms, names of classes, where tests lie."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("config", "protocols", "algorithms", "node")
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60
MOST_MODULES = 12
LEAST_LINES = 40


def _modules(*folders: str) -> list[Path]:
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


SOURCES = _modules(*FLOORS)
EVERYTHING = _modules(*FLOORS, "tests", "benchmarks", "examples") + sorted((ROOT / "hansa").glob("*.py"))


def _functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def test_no_module_is_longer_than_it_can_be_read_in_one_go() -> None:
    long = {str(f.relative_to(ROOT)): n for f in EVERYTHING if (n := len(f.read_text().splitlines())) > MOST_LINES}
    assert not long


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        f"{file.relative_to(ROOT)}:{node.name}": _lines(node)
        for file in EVERYTHING
        for node in _functions(file)
        if _lines(node) > MOST_LINES_OF_A_FUNCTION
    }
    assert not long


def test_no_class_name_stands_twice() -> None:
    found = defaultdict(list)
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(str(file.relative_to(ROOT)))
    assert not {name: files for name, files in found.items() if len(files) > 1}


@pytest.mark.parametrize(
    "room", sorted({file.parent for file in SOURCES}), ids=lambda room: str(room.relative_to(ROOT))
)
def test_a_room_has_few_modules(room: Path) -> None:
    modules = [file.name for file in room.glob("*.py") if not file.name.startswith("__")]
    assert len(modules) <= MOST_MODULES


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_a_small_module_with_one_importer_joins_it() -> None:
    importers = defaultdict(set)
    for file in [*SOURCES, *(ROOT / "hansa").glob("*.py")]:
        for name in _imported(file):
            importers[name].add(file)
    lonely = []
    for file in SOURCES:
        name = ".".join(("hansa", *file.relative_to(ROOT).with_suffix("").parts))
        if (
            not file.name.startswith("__")
            and len(file.read_text().splitlines()) < LEAST_LINES
            and len(importers[name]) == 1
        ):
            lonely.append(name)
    assert lonely == []


def test_tests_mirror_the_tree() -> None:
    """Each folder of tests below a floor's is named after a room, so that a module's tests are where one looks for them."""
    rooms = {file.parent.relative_to(ROOT) for file in SOURCES}
    tests = {file.parent.relative_to(ROOT / "tests") for file in _modules(*(f"tests/{floor}" for floor in FLOORS))}
    assert tests - rooms - {Path("protocols/mpc/conformance")} == set()


def test_the_links_of_the_package_are_the_floors() -> None:
    links = {link.name: link.readlink() for link in (ROOT / "hansa").iterdir() if link.is_symlink()}
    assert links == {floor: Path("..") / floor for floor in FLOORS}
