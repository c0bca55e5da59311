"""Every test of this folder runs on every engine: they must not be told apart by what they compute."""

from __future__ import annotations

from typing import Any

import pytest
from mpc.engines import ENGINES, Run


@pytest.fixture(params=list(ENGINES), scope="session")
def run(request: Any) -> Run:
    return ENGINES[request.param]
