"""The two pictures a modeller asks for, as one SVG: the ROC curve, and the Kolmogorov-Smirnov curves with their gap."""

from __future__ import annotations

from html import escape

import numpy as np

from hansa.algorithms.metrics import evaluate, rates
from hansa.protocols.arrays import Vector

_SIDE, _GAP, _TOP = 320, 60, 50
_MOST_POINTS = 400
"""A curve is drawn with at most so many points: enough for the eye, and no file that grows with the rows."""
_INK, _GREY, _BLUE, _RED = "#222", "#999", "#1f5fa8", "#b3362b"


def svg(label: Vector, score: Vector, title: str) -> str:
    """Draw ROC and KS of scores against 0/1 labels; both classes must occur."""
    false, true = rates(label, score)
    found = evaluate(label, score)
    population = _population(score)
    gap = int(np.argmax(np.abs(true - false)))
    roc = [
        _line([0, 1], [0, 1], _GREY, dashed=True),
        _line(false, true, _BLUE),
        _text(_SIDE / 2, -12, f"ROC, AUC = {found['auc']:.4f}"),
        _text(_SIDE / 2, _SIDE + 34, "false positive rate"),
    ]
    ks = [
        _line([population[gap]] * 2, [false[gap], true[gap]], _INK, dashed=True),
        _line(population, true, _BLUE),
        _line(population, false, _RED),
        _text(_SIDE / 2, -12, f"KS = {found['ks']:.4f}"),
        _text(_SIDE / 2, _SIDE + 34, "part of the rows, highest scores first"),
    ]
    width, height = 2 * _SIDE + 3 * _GAP, _SIDE + 2 * _TOP + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">'
        f"<title>{escape(title)}</title>"
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
        f'<text x="{_GAP}" y="20" font-weight="bold" fill="{_INK}">{escape(title)}</text>'
        f"{_panel(_GAP, roc)}{_panel(_SIDE + 2 * _GAP, ks)}</svg>\n"
    )


def _population(score: Vector) -> Vector:
    """The part of all rows at or above every distinct score, as ``rates`` goes through them."""
    counts = np.unique(score, return_counts=True)[1][::-1]
    return np.append(0.0, np.cumsum(counts) / score.size)


def _panel(left: float, drawn: list[str]) -> str:
    ticks = "".join(
        _text(_SIDE * tick, _SIDE + 16, f"{tick:g}") + _text(-16, _SIDE * (1 - tick) + 4, f"{tick:g}")
        for tick in (0, 0.5, 1)
    )
    frame = f'<rect width="{_SIDE}" height="{_SIDE}" fill="none" stroke="{_GREY}"/>'
    return f'<g transform="translate({left},{_TOP + 10})">{frame}{ticks}{"".join(drawn)}</g>'


def _line(x: Vector | list[float], y: Vector | list[float], colour: str, *, dashed: bool = False) -> str:
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if xs.size > _MOST_POINTS:
        chosen = np.unique(np.linspace(0, xs.size - 1, _MOST_POINTS).astype(np.int64))
        xs, ys = xs[chosen], ys[chosen]
    points = " ".join(f"{_SIDE * a:.1f},{_SIDE * (1 - b):.1f}" for a, b in zip(xs, ys, strict=True))
    dashes = ' stroke-dasharray="4 4"' if dashed else ""
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"{dashes}/>'


def _text(x: float, y: float, words: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="middle" fill="{_INK}">{words}</text>'
