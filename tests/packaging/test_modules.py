"""The package: what its parts are called, and that each is loaded once."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

from setuptools import find_packages

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("config", "protocols", "algorithms", "node")

IMPORT_ALL = """
import importlib, os, pkgutil, sys
import hansa

for found in pkgutil.walk_packages(hansa.__path__, "hansa."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
loaded = {}
for name, module in sys.modules.items():
    file = getattr(module, "__file__", None)
    if file and name != "__main__":
        loaded.setdefault(os.path.realpath(file), []).append(name)
ours = [name for name in sys.modules if name.split(".")[0] in {"config", "protocols", "algorithms", "node"}]
twice = {file: names for file, names in loaded.items() if len(names) > 1 and "hansa" in str(names)}
print(len([name for name in sys.modules if name.startswith("hansa.")]), ours, twice)
"""


def test_each_floor_is_a_relative_link() -> None:
    """A link that git and a clone elsewhere keep."""
    for floor in FLOORS:
        link = ROOT / "hansa" / floor
        assert link.is_symlink()
        assert link.readlink() == Path("..", floor)


def test_every_folder_with_modules_is_a_package() -> None:
    """A wheel takes what ``packages.find`` finds, which follows the links."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    folders = {path.parent for floor in FLOORS for path in (ROOT / floor).rglob("*.py")}
    expected = {".".join(("hansa", *folder.relative_to(ROOT).parts)) for folder in folders}
    assert set(find_packages(str(ROOT), include=wanted["include"])) == expected | {"hansa"}


def test_no_module_is_loaded_under_two_names() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=True, cwd=ROOT)
    count, rest = done.stdout.strip().split(" ", 1)
    assert rest == "[] {}"
    assert (
        int(count) == sum(len(list((ROOT / floor).rglob("*.py"))) for floor in FLOORS) + 1
    )  # errors, in_memory, less __main__


def test_no_class_name_stands_twice() -> None:
    """A name in a traceback, a log or a search means one thing."""
    places: dict[str, list[str]] = {}
    for path in (path for floor in FLOORS for path in (ROOT / floor).rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
