"""Numbers as people read them."""

from __future__ import annotations

import time


def size(count: float | None) -> str:
    """Bytes: ``512 B``, ``1.5 KiB``, ``20 MiB``."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def duration(seconds: float | None) -> str:
    """``350 ms``, ``4.2 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def ago(seconds: float | None) -> str:
    """How long ago, in one unit: ``now``, ``40 s ago``, ``3 h ago``; ``never`` for None."""
    if seconds is None:
        return "never"
    if seconds < 3:
        return "now"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def latency(milliseconds: float | None) -> str:
    """``0.42 ms``, ``51 ms``."""
    if milliseconds is None:
        return "-"
    return f"{milliseconds:.2f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"


def count(number: float | None) -> str:
    """``24,811``."""
    return "-" if number is None else f"{number:,.0f}"


def clock(unix_s: float | None) -> str:
    """Local date and time."""
    return "-" if not unix_s else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_s))


def number(value: float | None) -> str:
    """A measured value with four significant digits; ``-`` for None."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
