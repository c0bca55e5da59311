"""Two nodes that attest to each other."""

import pytest
from support.tee.nodes import two_nodes


@pytest.fixture
async def pair(tmp_path):
    async with two_nodes(tmp_path) as nodes:
        yield nodes


@pytest.fixture
def fast(mock_clock):
    """Seconds pass a hundred times as fast: threads work, and patience is soon over."""
    mock_clock.rate = 100
    return mock_clock
