"""The key of each row: normalised, joined to bytes, and refused where missing or double. Keys never stand in an error."""

from __future__ import annotations

from collections.abc import Sequence

from hansa.algorithms.errors import DataError
from hansa.node.data.cells import is_missing, join_key, key_text, normalise
from hansa.node.data.sources import Piece, TableSource


def piece_keys(source: TableSource, piece: Piece, key: Sequence[str], rule: str) -> list[bytes]:
    """The keys of a piece's rows, under a contract's normalisation rule."""
    columns = [_texts(source, piece, name, rule) for name in key]
    return [join_key(parts) for parts in zip(*columns, strict=True)]


def check_distinct(source: TableSource, keys: Sequence[bytes], key: Sequence[str]) -> None:
    """Raise DataError naming the first two rows that have one key, and how many rows are concerned."""
    if len(set(keys)) == len(keys):
        return
    seen: dict[bytes, int] = {}
    pairs = [(seen.setdefault(value, row), row) for row, value in enumerate(keys, 1)]
    first, second = next((a, b) for a, b in pairs if a != b)
    more = sum(a != b for a, b in pairs)
    named = "', '".join(key)
    raise DataError(
        f"rows {first} and {second} of {source.path} have the same key ('{named}'); {more} rows repeat an earlier key",
        remedy="keep one row for each key (rows are counted from 1, without the header)",
        file=source.path,
        column=key[0],
        row=second,
    )


def _texts(source: TableSource, piece: Piece, name: str, rule: str) -> list[str]:
    texts = []
    for row, cell in enumerate(piece.cells[name], piece.first_row):
        text = None if is_missing(cell) else key_text(cell)
        text = None if text is None else normalise(text, rule)
        if not text:
            raise DataError(
                f"the key '{name}' is missing or no text or integer in row {row} of {source.path}",
                remedy="give every row a key, or leave the row out (rows are counted from 1, without the header)",
                file=source.path,
                column=name,
                row=row,
            )
        texts.append(text)
    return texts
