"""Table files in pieces: CSV by the standard library, Parquet by pyarrow (extra ``parquet``)."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from hansa.algorithms.errors import DataError
from hansa.node.errors import MissingExtra

PIECE = 4096
_DELIMITERS = ",;\t|"
_PARQUET_MAGIC = b"PAR1"


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive rows, by column; ``first_row`` counts data rows from 1 (the header is none)."""

    first_row: int
    rows: int
    cells: dict[str, Sequence[Any]]


class TableSource(Protocol):
    """A file of a known format."""

    format: str
    path: str
    names: tuple[str, ...]

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """The rows, in order, of these columns. Raises DataError naming file and row."""
        ...


def open_source(path: str) -> TableSource:
    """Look at a file's first bytes and its header. Raises DataError (missing, unreadable, empty) or MissingExtra."""
    try:
        with open(path, "rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise DataError(
            f"the file {path} does not exist",
            remedy="put it back where it was, or add it again: `hansa data add FILE`",
            file=path,
        ) from None
    except OSError as error:
        raise _unreadable(path, error.strerror or "it cannot be opened") from error
    if not magic:
        raise DataError(f"the file {path} is empty", remedy="add a file with a header line and rows", file=path)
    if magic == _PARQUET_MAGIC:
        return ParquetSource(path)
    if Path(path).suffix.lower() in {".parquet", ".pq"}:
        raise _unreadable(path, "it is no Parquet file, whatever its name says")
    return CsvSource(path)


class CsvSource:
    """UTF-8 (a byte order mark is fine), one header line; the delimiter is the one the header has most of."""

    format = "csv"

    def __init__(self, path: str) -> None:
        self.path = path
        rows = self._rows()
        self.names = tuple(name.strip() for name in next(rows, ()))
        _check_names(path, self.names)

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """See ``TableSource``; a row with more or fewer cells than the header is refused by its number."""
        at = [self.names.index(column) for column in columns]
        width, rows = len(self.names), self._rows()
        next(rows)
        first, held = 1, list[list[str]]()
        for row in rows:
            if len(row) != width:
                raise self._ragged(first + len(held), len(row))
            held.append(row)
            if len(held) == PIECE:
                yield _by_column(first, held, columns, at)
                first, held = first + PIECE, []
        if held:
            yield _by_column(first, held, columns, at)

    def _rows(self) -> Iterator[list[str]]:
        try:
            with open(self.path, encoding="utf-8-sig", newline="") as file:
                header = file.readline()
                file.seek(0)
                delimiter = max(_DELIMITERS, key=header.count)
                for row in csv.reader(file, delimiter=delimiter, strict=True):
                    if row:  # a blank line is no row
                        yield row
        except UnicodeDecodeError as error:
            raise _unreadable(self.path, "it is not UTF-8 text") from error
        except csv.Error as error:
            raise _unreadable(self.path, f"it is not well-formed CSV ({error})") from error
        except OSError as error:
            raise _unreadable(self.path, error.strerror or "it cannot be read") from error

    def _ragged(self, row: int, cells: int) -> DataError:
        return DataError(
            f"row {row} of {self.path} has {cells} cells where the header has {len(self.names)}",
            remedy="correct that row (rows are counted from 1, without the header)",
            file=self.path,
            row=row,
        )


class ParquetSource:
    """Parquet of flat columns."""

    format = "parquet"

    def __init__(self, path: str) -> None:
        self.path = path
        self._arrow, parquet = _pyarrow()
        try:
            self._file = parquet.ParquetFile(path)
        except (OSError, self._arrow.lib.ArrowException) as error:
            raise _unreadable(path, "it is damaged or no Parquet file") from error
        self.names = tuple(self._file.schema_arrow.names)
        _check_names(path, self.names)

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """See ``TableSource``."""
        first = 1
        try:
            for batch in self._file.iter_batches(batch_size=PIECE, columns=list(dict.fromkeys(columns))):
                cells = {name: batch.column(i).to_pylist() for i, name in enumerate(batch.schema.names)}
                yield Piece(first, batch.num_rows, cells)
                first += batch.num_rows
        except (OSError, self._arrow.lib.ArrowException) as error:
            raise _unreadable(self.path, "it is damaged") from error


def bounded(source: TableSource, columns: Sequence[str], max_rows: int) -> Iterator[Piece]:
    """The pieces of at most ``max_rows`` rows; DataError where there are more."""
    for piece in source.pieces(columns):
        if piece.first_row + piece.rows - 1 > max_rows:
            raise DataError(
                f"{source.path} has more than {max_rows} rows, the limit here",
                remedy="raise limits.max_rows in hansa.toml, or use a smaller table",
                file=source.path,
            )
        yield piece


def _by_column(first: int, rows: list[list[str]], columns: Sequence[str], at: Sequence[int]) -> Piece:
    by_place = list(zip(*rows, strict=True))
    return Piece(first, len(rows), {name: by_place[place] for name, place in zip(columns, at, strict=True)})


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow  # noqa: PLC0415  # an extra: the core does without
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra(
            "reading Parquet needs the extra 'parquet', which is not installed",
            remedy="install it with `pip install 'hansa[parquet]'`, or save the table as CSV",
            extra="parquet",
            package="pyarrow",
        ) from error
    return pyarrow, pyarrow.parquet


def _check_names(path: str, names: Sequence[str]) -> None:
    if not any(names):
        raise DataError(f"the file {path} has no header", remedy="name the columns in the first line", file=path)
    for place, name in enumerate(names, 1):
        if not name:
            raise DataError(
                f"column {place} of {path} has no name", remedy="name every column in the first line", file=path
            )
        if names.index(name) != place - 1:
            raise DataError(
                f"{path} has two columns named '{name}'",
                remedy="give every column its own name",
                file=path,
                column=name,
            )


def _unreadable(path: str, why: str) -> DataError:
    return DataError(f"the file {path} cannot be read: {why}", remedy="correct the file and try again", file=path)
