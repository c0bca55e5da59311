"""A short-lived child that looks at a table file for `hansa data add`, so that the daemon need not.

    python -m hansa.node.data.inspect      stdin: {"path", "key": [..], "label": null or name, "max_rows"}
                                           stdout: {"ok": description} or {"error": HansaError.as_dict()}

The description: format, rows, columns ({name, kind, missing, min, max, odd_row}), key, label, schema_digest. Minimum,
maximum, missing counts and rows stay at this node. ``odd_row`` is the first row of a text column that is no number
although most are: usually a slip worth showing.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from hansa.algorithms.errors import DataError
from hansa.config.errors import HansaError
from hansa.config.vocabulary import PRINTABLE
from hansa.node.data import cells, keys
from hansa.node.data.schema import schema_digest
from hansa.node.data.sources import Piece, TableSource, bounded, open_source
from hansa.protocols.wire.limits import COLUMN_NAME_MAX, CONTRACT_MAX_COLUMNS, KEY_MAX_COLUMNS


@dataclass(slots=True)
class ColumnSummary:
    """What is known of a column after some rows."""

    name: str
    missing: int = 0
    numbers: int = 0
    others: int = 0
    odd_row: int = 0
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, piece: Piece) -> None:
        """Take a piece's cells into account."""
        for row, cell in enumerate(piece.cells[self.name], piece.first_row):
            if cells.is_missing(cell):
                self.missing += 1
                continue
            value = cells.number(cell)
            if value is None:
                self.others += 1
                self.odd_row = self.odd_row or row
            else:
                self.numbers += 1
                self.low, self.high = min(self.low, value), max(self.high, value)

    @property
    def kind(self) -> str:
        """``number`` if every cell that is not missing is one, and there is one."""
        return "number" if self.numbers and not self.others else "text"

    def as_dict(self) -> dict[str, Any]:
        """For the description."""
        out: dict[str, Any] = {"name": self.name, "kind": self.kind, "missing": self.missing}
        if self.kind == "number":
            out |= {"min": _json_number(self.low), "max": _json_number(self.high)}
        elif self.numbers > self.others:
            out["odd_row"] = self.odd_row
        return out


def inspect(path: str, key: Sequence[str], label: str | None, max_rows: int) -> dict[str, Any]:
    """The description of a table file. Raises DataError naming file, column and row; MissingExtra for Parquet."""
    source = open_source(path)
    if not key:
        raise DataError(f"no key column is named for {path}", remedy="name one: `--key COLUMN`", file=path)
    _check_tellable(source, key)
    for name in (*key, *([] if label is None else [label])):
        check_column(source, name)
    if label in key:
        raise DataError(f"the column '{label}' cannot be both key and label", remedy="name another label", file=path)
    summaries = [ColumnSummary(name) for name in source.names]
    all_keys: list[bytes] = []
    for piece in bounded(source, source.names, max_rows):
        all_keys += keys.piece_keys(source, piece, key, "exact")
        for summary in summaries:
            summary.add(piece)
    if not all_keys:
        raise DataError(f"the file {path} has a header but no rows", remedy="add a file with rows", file=path)
    keys.check_distinct(source, all_keys, key)
    kinds = [(summary.name, summary.kind) for summary in summaries]
    return {
        "format": source.format,
        "rows": len(all_keys),
        "columns": [summary.as_dict() for summary in summaries],
        "key": list(key),
        "label": label,
        "schema_digest": schema_digest(kinds, key, label).hex(),
    }


def check_column(source: TableSource, name: str) -> None:
    """Raise DataError, with the nearest name there is, if the file has no such column."""
    if name in source.names:
        return
    near = get_close_matches(name, source.names, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"its columns are: {', '.join(source.names[:20])}"
    raise DataError(
        f"{source.path} has no column '{name}' ({hint})",
        remedy="name a column of the file's header",
        file=source.path,
        column=name,
    )


def _check_tellable(source: TableSource, key: Sequence[str]) -> None:
    """Members are told a dataset's columns: what their nodes would refuse to read is refused here."""
    if len(source.names) > CONTRACT_MAX_COLUMNS or len(key) > KEY_MAX_COLUMNS:
        raise DataError(
            f"{source.path} has {len(source.names)} columns, {len(key)} of them its key; "
            f"at most {CONTRACT_MAX_COLUMNS} and {KEY_MAX_COLUMNS} can be used",
            remedy="leave columns out",
            file=source.path,
        )
    for place, name in enumerate(source.names, 1):
        if not re.fullmatch(f"{PRINTABLE}{{1,{COLUMN_NAME_MAX}}}", name):
            raise DataError(
                f"the name of column {place} of {source.path} is longer than {COLUMN_NAME_MAX} characters, or holds "
                "line ends or other control characters",
                remedy="give the column a plain name in the first line",
                file=source.path,
                column=ascii(name[:COLUMN_NAME_MAX]),
            )


def _json_number(value: float) -> float | None:
    return value if abs(value) != float("inf") else None


def main() -> None:
    """Answer the one request on stdin."""
    request = json.load(sys.stdin)
    try:
        answer = {"ok": inspect(request["path"], request["key"], request["label"], request["max_rows"])}
    except HansaError as error:
        answer = {"error": error.as_dict()}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
