"""``import hansa``: its names, and what they load."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

import hansa
from hansa.config.errors import HansaError

HEAVY = {"trio", "numpy", "numba", "asyncio", "cryptography", "nacl", "msgpack", "socket", "json"}


def loaded_by(code: str) -> set[str]:
    """The top-level modules in a fresh interpreter that has run ``code``."""
    told = "import sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", f"{code}; {told}"], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_hansa_loads_nothing_heavy() -> None:
    assert loaded_by("import hansa") & HEAVY == set()


def test_the_errors_and_the_client_load_neither_trio_nor_numpy() -> None:
    loaded = loaded_by("import hansa; hansa.errors.HansaError; hansa.connect; hansa.__version__")
    assert loaded & {"trio", "numpy", "numba", "asyncio", "cryptography", "nacl", "msgpack"} == set()


def test_every_name_is_there() -> None:
    assert dir(hansa) == sorted(hansa.__all__)
    for name in hansa.__all__:
        assert getattr(hansa, name) is not None
    assert hansa.__version__ == importlib.metadata.version("hansa")


def test_another_name_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'hansa' has no attribute 'conect'"):
        hansa.conect  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="cannot import name 'AdminClient'"):
        from hansa import AdminClient  # type: ignore[attr-defined]  # noqa: F401


def test_errors_has_one_root() -> None:
    for name in hansa.errors.__all__:
        assert issubclass(getattr(hansa.errors, name), HansaError)
