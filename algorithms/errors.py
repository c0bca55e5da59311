"""Data an algorithm cannot use."""

from __future__ import annotations

from hansa.config.errors import HansaError


class DataError(HansaError):
    """A file, table, column, row or value that cannot be used (fields: file, column, row, party)."""

    code = "data"
    exit_code = 4
