"""One job's box."""

import os

import pytest

from hansa.node.worker.enclave import ModelSealer


@pytest.fixture
def box():
    """Closes models with a key of its own."""
    return ModelSealer(os.urandom(32), b"j" * 32)
