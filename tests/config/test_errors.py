"""The one unwrapping of exception groups."""

from __future__ import annotations

import pytest

from hansa.config.errors import ConfigError, hansa_error_in

OURS = ConfigError("no such file", remedy="write it")
LATER = ConfigError("no such key", remedy="add it")


@pytest.mark.parametrize(
    "error",
    [
        OURS,
        ExceptionGroup("one", [OURS, LATER]),
        ExceptionGroup("behind another", [ValueError(), OURS]),
        ExceptionGroup("nested", [ExceptionGroup("bugs", [ValueError()]), ExceptionGroup("ours", [OURS]), LATER]),
        BaseExceptionGroup("with an interrupt", [KeyboardInterrupt(), OURS]),
    ],
)
def test_the_first_of_ours_is_found(error):
    assert hansa_error_in(error) is OURS


@pytest.mark.parametrize("error", [ValueError(), ExceptionGroup("bugs", [ValueError(), TypeError()])])
def test_foreign_errors_hold_none(error):
    assert hansa_error_in(error) is None
