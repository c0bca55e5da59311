"""What an earlier version wrote (see README.md), and the keys that it was written with."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from nacl.signing import SigningKey

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def golden():
    """``golden("contracts")`` reads contracts.json."""
    return lambda name: json.loads((HERE / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def keys():
    """The members' signing keys and identities by rank."""
    signing = [bytes([rank + 1]) * 32 for rank in range(5)]
    return SimpleNamespace(signing=signing, identities=[bytes(SigningKey(key).verify_key) for key in signing])
