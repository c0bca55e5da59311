"""Vendors of our own, and the captured quotes of ../shared where they are there."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.tee.amd import AT, DATA, Vendor
from support.tee.intel import Maker

from hansa.protocols.wire.attestation.snp.snp import AMD_ROOTS
from hansa.protocols.wire.attestation.statements.proof import Proof

FOLDER = Path(__file__).resolve().parents[3].parent / "shared" / "vectors" / "tee"


@pytest.fixture(scope="session")
def milan():
    """A Milan-like vendor."""
    return Vendor("Milan")


@pytest.fixture(scope="session")
def turin():
    """A Turin-like vendor, whose firmware versions stand elsewhere."""
    return Vendor("Turin", bytes.fromhex("0102000300000048"))


@pytest.fixture
def proof(milan, monkeypatch):
    """``proof(data, **changed)``: a report of our own vendor, whose root counts as AMD's here, at its time."""
    for product, root in milan.roots.items():
        monkeypatch.setitem(AMD_ROOTS, product, root)
    monkeypatch.setattr(time, "time", lambda: float(AT))
    pieces = [one.public_bytes(Encoding.DER) for one in milan.collateral().certificates]
    return lambda data=DATA, **changed: Proof("sev-guest", milan.make(3, at_50=data, **changed), tuple(pieces))


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
