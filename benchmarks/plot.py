"""Seconds against n on logarithmic axes, as an SVG without any library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]
_WIDTH, _HEIGHT, _LEFT, _TOP = 520, 340, 70, 40
_COLOURS = ("#1f5fa8", "#b3362b", "#3a7d34", "#8a5a00", "#6a3d9a", "#222")


def svg(curves: Mapping[str, Points], title: str) -> str:
    """One line for each name of points (n, seconds), all above 0; ValueError where there are none."""
    every = [point for points in curves.values() for point in points]
    if not every:
        raise ValueError("nothing to draw")
    x0, x1 = _decades([x for x, _ in every])
    y0, y1 = _decades([y for _, y in every])

    def place(x: float, y: float) -> tuple[float, float]:
        right = (math.log10(x) - x0) / (x1 - x0)
        return _LEFT + _WIDTH * right, _TOP + _HEIGHT * (1 - (math.log10(y) - y0) / (y1 - y0))

    drawn = []
    for decade in range(x0, x1 + 1):
        x, _ = place(10.0**decade, 10.0**y0)
        drawn.append(_grid(x, _TOP, x, _TOP + _HEIGHT) + _text(x, _TOP + _HEIGHT + 18, f"{10**decade:,}", "middle"))
    for decade in range(y0, y1 + 1):
        _, y = place(10.0**x0, 10.0**decade)
        drawn.append(_grid(_LEFT, y, _LEFT + _WIDTH, y) + _text(_LEFT - 8, y + 4, f"{10.0**decade:g} s", "end"))
    for number, (name, points) in enumerate(curves.items()):
        colour, dashes = _COLOURS[number % len(_COLOURS)], "" if number < len(_COLOURS) else ' stroke-dasharray="5 4"'
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in sorted(points)))
        drawn.append(f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        drawn.append(_text(_LEFT + _WIDTH + 16, _TOP + 16 + 20 * number, name, "start", colour))
    total = f"{_LEFT + _WIDTH + 240} {_TOP + _HEIGHT + 50}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total}" font-family="sans-serif" font-size="13">'
        f'<title>{escape(title)}</title><rect width="100%" height="100%" fill="#fff"/>'
        f"{_text(_LEFT, 22, title, 'start')}{''.join(drawn)}"
        f"{_text(_LEFT + _WIDTH / 2, _TOP + _HEIGHT + 40, 'n', 'middle')}</svg>\n"
    )


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _grid(x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
