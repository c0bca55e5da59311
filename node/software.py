"""Which hansa this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def software_version() -> str:
    """The version of this hansa."""
    try:
        return version("hansa")
    except PackageNotFoundError:
        return "unknown"
