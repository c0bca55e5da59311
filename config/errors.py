"""The root of every error hansa raises, and the errors of the configuration floor.

An error is data: a stable ``code`` (documented in docs/errors.md), one sentence of cause, one of remedy, and the
fields (file, column, row, peer, step, ...) it is about. So it crosses a process or a channel unchanged.
"""

from __future__ import annotations

from typing import ClassVar

Field = str | int | float | None


class HansaError(Exception):
    """Something hansa refuses to do, with its cause and what to do about it.

    ``message`` is one clear sentence; ``remedy`` is the next thing to do (a command to type where there is one);
    ``fields`` name the file, column, row, peer, step or value concerned.
    """

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, remedy: str, **fields: Field) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.fields = fields

    def __str__(self) -> str:
        return f"{self.message}\n  next: {self.remedy}"

    def as_dict(self) -> dict[str, object]:
        """The error as plain data: ``code``, ``exit_code``, ``message``, ``remedy``, ``fields``."""
        return {
            "code": self.code,
            "exit_code": self.exit_code,
            "message": self.message,
            "remedy": self.remedy,
            "fields": dict(self.fields),
        }


def hansa_error_in(error: BaseException) -> HansaError | None:
    """The error itself, or the first one of a group (the tasks of a nursery fail together), if it is a ``HansaError``."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(hansa_error_in, error.exceptions)), None)
    return error if isinstance(error, HansaError) else None


class ConfigError(HansaError):
    """A configuration, policy or job file that cannot be used (fields: file, key, line)."""

    code = "config"
    exit_code = 3
