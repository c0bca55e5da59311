"""Parameters of the full suite only: ``@pytest.mark.parametrize("n", [2, slow(5)])``."""

from __future__ import annotations

from typing import Any

import pytest


def slow(*values: Any) -> Any:
    """One set of parameters, left out of the quick suite."""
    return pytest.param(*values, marks=pytest.mark.slow)
