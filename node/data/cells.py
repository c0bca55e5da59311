"""What one cell means: a number, a missing value, a key's text."""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import date
from decimal import Decimal
from typing import Any

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
LARGEST = 1e100
"""Absolute values from here on are refused: their squares must stay finite."""
LONGEST = 256
"""Characters of a category."""
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]{0,99})", re.ASCII)
_PLAIN = re.compile(r"[+-]?(0|[1-9][0-9]{0,99})(\.[0-9]{1,99})?([eE][+-]?[0-9]{1,2})?", re.ASCII)
"""Numbers without leading zeros: ``01`` may be a code."""


def is_missing(cell: Any) -> bool:
    """Whether a cell holds no value: None, NaN, or one of the words for it."""
    if isinstance(cell, str):
        return cell.strip().lower() in MISSING
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def number(cell: Any) -> float | None:
    """The cell's number (infinity included), or None where it is missing or something else."""
    if isinstance(cell, str) and "_" in cell:  # float("1_000") is Python's notation, not a table's
        return None
    if not isinstance(cell, (str, int, float, Decimal)):
        return None
    try:
        value = float(cell)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(value) else value


def what_is_wrong(cell: Any) -> str | None:
    """Why a cell cannot be a feature's value (the value itself is not told), or None."""
    if is_missing(cell):
        return "is missing"
    value = number(cell)
    if value is None:
        return "is not a number"
    if math.isinf(value):
        return "is infinite"
    return f"is not below {LARGEST:g} in size" if abs(value) >= LARGEST else None


def category(cell: Any) -> str | None:
    """A category as text, the same for CSV and Parquet: numbers in their shortest form; None where there is none."""
    text = _utf8(cell) if isinstance(cell, bytes) else cell
    if isinstance(text, str):
        text = normalise(text, "trim")
        if _WHOLE.fullmatch(text):
            return str(int(text))
        if not _PLAIN.fullmatch(text):
            return text
        text = float(text)
    if isinstance(text, bool):
        text = int(text)
    if isinstance(text, (float, Decimal)):
        value = float(text)
        return str(int(value)) if value.is_integer() and abs(value) < LARGEST else repr(value)
    return key_text(text)


def key_text(cell: Any) -> str | None:
    """A key cell as text, the same for CSV and Parquet: integers in decimal; None where there is none."""
    if isinstance(cell, float) and cell.is_integer():  # an integer column with gaps, as many tools write it
        cell = int(cell)
    if isinstance(cell, int) and not isinstance(cell, bool):
        return str(cell)
    if isinstance(cell, date):
        return cell.isoformat()
    return _utf8(cell) if isinstance(cell, bytes) else cell if isinstance(cell, str) else None


def _utf8(cell: bytes) -> str | None:
    try:
        return cell.decode("utf-8")
    except UnicodeDecodeError:
        return None


def normalise(text: str, rule: str) -> str:
    """Apply a contract's rule (``exact``, ``trim``, ``trim-casefold``); Unicode is brought to NFC in any case."""
    if rule != "exact":
        text = text.strip()
    if rule == "trim-casefold":
        text = unicodedata.normalize("NFC", text).casefold()
    return unicodedata.normalize("NFC", text)


def join_key(parts: tuple[str, ...]) -> bytes:
    """A (composite) key as bytes; each part has its length in front, so that no two keys join to the same bytes."""
    encoded = [part.encode("utf-8", errors="surrogatepass") for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
