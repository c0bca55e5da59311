"""The shape of a link: its latency and bandwidth, and how they are written. Light: commands import it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

_RATES: Final = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_TIMES: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
MAX_LATENCY_S: Final = 10.0


@dataclass(slots=True)
class Shape:
    """One-way latency in seconds and bandwidth in bytes a second (infinite: unlimited); changes apply at once."""

    latency_s: float = 0.0
    bytes_per_s: float = math.inf


def parse_latency(text: str) -> float:
    """``50ms``, ``200us``, ``1.5s`` in seconds, at most 10 s; ``ValueError`` otherwise."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(us|ms|s)", text)
    if match is None or float(match[1]) * _TIMES[match[2]] > MAX_LATENCY_S:
        raise ValueError(f"{text!r} is not a latency: write 50ms, 200us or 1.5s (at most 10s)")
    return float(match[1]) * _TIMES[match[2]]


def parse_bandwidth(text: str) -> float:
    """``100mbit``, ``1gbit``, ``256kbit`` in bytes a second; ``ValueError`` otherwise."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(kbit|mbit|gbit)", text)
    if match is None or not float(match[1]) * _RATES[match[2]] >= 8000:
        raise ValueError(f"{text!r} is not a bandwidth: write 100mbit, 1gbit or 256kbit (at least 8kbit)")
    return float(match[1]) * _RATES[match[2]] / 8
