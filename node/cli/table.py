"""Aligned tables of text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hansa.node.cli.output import style

GAP = "  "
_STYLE = re.compile("\x1b\\[[0-9;]*m")


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = ()) -> list[str]:
    """Lines: the headers, then the rows. Columns named in ``right`` are right-aligned; None shows as ``-``."""
    cells = [[_cell(value) for value in row] for row in rows]
    to_right = {headers.index(name) for name in right}
    widths = [max([len(header), *(len(plain(row[i])) for row in cells)]) for i, header in enumerate(headers)]
    head = style(_line(headers, widths, to_right), "dim")
    return [head, *(_line(row, widths, to_right) for row in cells)]


def facts(pairs: Iterable[tuple[str, object]]) -> list[str]:
    """Lines of ``name  value``, the values aligned; pairs whose value is None are left out."""
    kept = [(name, _cell(value)) for name, value in pairs if value is not None]
    longest = max((len(name) for name, _ in kept), default=0)
    return [f"{style(name.ljust(longest), 'dim')}{GAP}{value}" for name, value in kept]


def plain(text: str) -> str:
    """The text without styles: as long as it is on the screen."""
    return _STYLE.sub("", text)


def shorten(text: str, most: int) -> str:
    """The text, cut to ``most`` characters with an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _line(cells: Sequence[str], widths: Sequence[int], to_right: set[int]) -> str:
    padded = []
    for i, (cell, wide) in enumerate(zip(cells, widths, strict=True)):
        blank = " " * (wide - len(plain(cell)))
        padded.append(blank + cell if i in to_right else cell + blank)
    return GAP.join(padded).rstrip()


def _cell(value: object) -> str:
    return "-" if value is None else str(value).replace("\n", " ")
