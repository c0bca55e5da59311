"""One job's sealer."""

import os

import pytest

from hansa.node.worker.enclave import ModelSealer


@pytest.fixture
def sealer():
    """Closes models with a key of its own."""
    return ModelSealer(os.urandom(32), b"j" * 32)
