"""Every test of this folder runs on every engine: they must not be told apart by what they compute."""

from __future__ import annotations

from typing import Any

import pytest
from support.engines import ENGINES, Run

SLOW = {"additive, 3"}
"""Engines that take a second to start among so many: 40 s for the suite."""


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in ENGINES], scope="session"
)
def run(request: Any) -> Run:
    return ENGINES[request.param]
