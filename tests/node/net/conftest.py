"""What tests of the network share."""

import pytest
from trio.testing import MockClock


@pytest.fixture
def clock() -> MockClock:
    """Time that runs on when nothing happens; the threshold lets loopback deliver first."""
    return MockClock(autojump_threshold=0.05)
