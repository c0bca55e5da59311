"""Vendors of our own, and the captured quotes of ../shared where they are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tee.amd import Vendor
from tee.intel import Maker

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "vectors" / "tee"


@pytest.fixture(scope="session")
def milan():
    """A Milan-like vendor."""
    return Vendor("Milan")


@pytest.fixture(scope="session")
def turin():
    """A Turin-like vendor, whose firmware versions stand elsewhere."""
    return Vendor("Turin", bytes.fromhex("0102000300000048"))


@pytest.fixture(scope="session")
def maker():
    """An Intel-like vendor."""
    return Maker()


@pytest.fixture(scope="session")
def captured():
    """``captured(case) -> its entry of index.json``, paths made whole; skips loudly where the captures are missing."""

    def find(case):
        index = FOLDER / "index.json"
        if not index.exists():
            pytest.skip(f"captured quotes are missing: {index}")
        [entry] = [entry for entry in json.loads(index.read_text()) if entry["case"] == case]
        paths = {key: FOLDER / entry[key] for key in ("quote", "collateral", "report", "vek", "chain") if key in entry}
        return entry | paths

    return find


@pytest.fixture(scope="session")
def index():
    """All of index.json, its entries' names in order."""
    path = FOLDER / "index.json"
    if not path.exists():
        pytest.skip(f"captured quotes are missing: {path}")
    return [entry["case"] for entry in json.loads(path.read_text())]
