"""Pages of plots as SVG, without any library: what is measured on a logarithmic axis, against numbers of things."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape

Points = Sequence[tuple[float, float]]
Curves = dict[str, Points]
Style = tuple[str, str]  # colour, and how a line of it is drawn

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#555555", "#a0a0a0", "#9b4f96", "#b58900", "#222222")
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _ABOVE, _BELOW = 400, 220, 64, 24, 34, 48
_LEGEND, _LETTER, _LINE = 26, 7.2, 22
"""The sample line in the legend, the usual letter's width, and a line of text."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot: its title says what goes up, ``x`` what goes right; all numbers above 0."""

    title: str
    x: str
    curves: Mapping[str, Points]
    x_log: bool = True


def page(panels: Sequence[Panel], title: str, *, columns: int, dashed: Collection[str] = ()) -> str:
    """Plots row by row under one legend; plots of one title have one axis upwards. ValueError where one has no points."""
    if not panels or not all(any(panel.curves.values()) for panel in panels):
        raise ValueError("nothing to draw")
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    styles = {name: _style(number, name in dashed) for number, name in enumerate(names)}
    wide = columns * (_LEFT + _WIDTH + _RIGHT)
    legend, below = _legend(styles, wide)
    drawn = [_text(_LEFT, 24, title, "start", weight="bold"), legend]
    for number, panel in enumerate(panels):
        alike = [y for each in panels if each.title == panel.title for line in each.curves.values() for _, y in line]
        row, column = divmod(number, columns)
        left = column * (_LEFT + _WIDTH + _RIGHT) + _LEFT
        top = below + row * (_ABOVE + _HEIGHT + _BELOW) + _ABOVE
        drawn.append(f'<g transform="translate({left} {top})">{_panel(panel, _ticks(alike), styles)}</g>')
    high = below + -(-len(panels) // columns) * (_ABOVE + _HEIGHT + _BELOW)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="13">'
        f'<title>{escape(title)}</title><rect width="100%" height="100%" fill="#fff"/>{"".join(drawn)}</svg>\n'
    )


def _panel(panel: Panel, y_ticks: list[float], styles: Mapping[str, Style]) -> str:
    """A plot with its upper left corner at the origin."""
    xs = sorted({x for line in panel.curves.values() for x, _ in line})
    across, up = _scale(xs[0], xs[-1], panel.x_log), _scale(y_ticks[0], y_ticks[-1], True)

    def place(x: float, y: float) -> tuple[float, float]:
        return 8 + (_WIDTH - 16) * across(x), _HEIGHT * (1 - up(y))

    drawn = [_text(0, -10, panel.title, "start", weight="bold"), _text(_WIDTH / 2, _HEIGHT + 36, panel.x, "middle")]
    for y in y_ticks:
        at = place(xs[0], y)[1]
        drawn.append(_grid(0, at, _WIDTH, at) + _text(-8, at + 4, short(y), "end"))
    for x in xs:
        at = place(x, y_ticks[0])[0]
        drawn.append(_grid(at, 0, at, _HEIGHT) + _text(at, _HEIGHT + 18, short(x), "middle"))
    for name, line in panel.curves.items():
        colour, stroke = styles[name]
        places = [place(*point) for point in sorted(line)]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        drawn.append(f'<polyline points="{joined}" fill="none" {stroke}/>')
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}"/>' for x, y in places]
    return "".join(drawn)


def _legend(styles: Mapping[str, Style], wide: float) -> tuple[str, float]:
    """Under the title, as many lines as it takes; and where it ends."""
    drawn, x, y = [], float(_LEFT), 26.0 + _LINE
    for name, (_, stroke) in styles.items():
        needs = _LEGEND + 8 + _LETTER * len(name) + 18
        if x > _LEFT and x + needs > wide:
            x, y = float(_LEFT), y + _LINE
        drawn.append(f'<line x1="{x:.1f}" y1="{y - 4:.1f}" x2="{x + _LEGEND:.1f}" y2="{y - 4:.1f}" {stroke}/>')
        drawn.append(_text(x + _LEGEND + 8, y, name, "start"))
        x += needs
    return "".join(drawn), y + 8


def short(value: float) -> str:
    """1k for a thousand, 1M for a million."""
    for unit, sign in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{sign}"
    return f"{value:g}"


def _ticks(values: Sequence[float]) -> list[float]:
    """Powers of ten around all values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**decade for decade in range(low, max(high, low + 1) + 1)]


def _scale(low: float, high: float, logarithmic: bool) -> Callable[[float], float]:
    """From ``low`` to ``high`` onto 0 to 1; what is alone stands in the middle."""
    bend = math.log10 if logarithmic else float

    def at(value: float) -> float:
        return (bend(value) - bend(low)) / (bend(high) - bend(low)) if high > low else 0.5

    return at


def _style(number: int, dashed: bool) -> Style:
    again = number >= len(_COLOURS)
    dashes = ' stroke-dasharray="6 4"' if dashed or again else ""
    colour = _COLOURS[number % len(_COLOURS)]
    return colour, f'stroke="{colour}" stroke-width="2"{dashes}'


def _grid(x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="#e4e4e4"/>'


def _text(x: float, y: float, words: str, anchor: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'
