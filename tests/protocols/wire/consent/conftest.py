"""A contract of three, and a network that loses nothing."""

import pytest
from support.consent_net import Net


@pytest.fixture
def net(trio_of):
    return Net(trio_of)


@pytest.fixture
def contract(trio_of):
    return trio_of.contract()
