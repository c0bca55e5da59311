"""Which values count as integers and as numbers: what people write in files and what peers send is judged alike."""

from __future__ import annotations

from typing import TypeGuard


def is_whole(value: object, least: int, most: int) -> TypeGuard[int]:
    """Whether it is an integer in [least, most]; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_real(value: object, least: float, most: float) -> TypeGuard[int | float]:
    """Whether it is an integer or float in [least, most]; NaN, true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
