"""Reading TOML with errors that name file, line and key.

``tomllib`` gives values without their places, so a key's line is found again in the text.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable
from typing import Any, TypeVar

from hansa.config.bounds import is_real, is_whole
from hansa.config.errors import ConfigError

T = TypeVar("T")


def parse(text: str, file: str) -> dict[str, Any]:
    """The document; ``ConfigError`` says where it is not TOML."""
    try:
        return tomllib.loads(text)
    except (
        ValueError,
        RecursionError,
    ) as error:  # numbers of thousands of digits and brackets by the thousand raise them too
        found = re.search(r"line (\d+)", str(error))
        line = int(found[1]) if found else None
        raise ConfigError(
            f"{file} is not valid TOML: {error}", remedy=f"correct the line in {file}", file=file, line=line
        ) from error


class TomlTable:
    """One table of a document. Every reader consumes its key; ``end()`` refuses what is left."""

    def __init__(self, value: dict[str, Any], *, text: str, file: str, path: str = "", nth: int = 0) -> None:
        self._left = dict(value)
        self._known: list[str] = []
        self._text, self._file, self._path, self._nth = text, file, path, nth

    def text(self, key: str, default: str | None = None, *, pattern: str | None = None, most: int = 500) -> str:
        """A string, matching ``pattern`` in full where one is given."""
        value = self._take(key, default)
        if not isinstance(value, str) or len(value) > most:
            raise self.wrong(key, f"must be a string of at most {most} characters")
        if pattern is not None and value != default and not re.fullmatch(pattern, value):
            raise self.wrong(key, f"cannot be {value!r}")
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """One of ``choices``."""
        value = self._take(key, default)
        if value not in choices:
            near = difflib.get_close_matches(str(value), choices, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            known = ", ".join(each or '""' for each in choices)
            raise self.wrong(key, f"must be one of {known}, not {value!r}{hint}")
        return str(value)

    def integer(self, key: str, least: int, most: int, default: int | None = None) -> int:
        """An integer in [least, most]."""
        value = self._take(key, default)
        if not is_whole(value, least, most):
            raise self.wrong(key, f"must be an integer from {least} to {most}")
        return value

    def integer_or(self, word: str, key: str, least: int, most: int) -> int | None:
        """An integer in [least, most], or None for ``word`` and where it is missing."""
        value = self._take(key, word)
        if value == word:
            return None
        if not is_whole(value, least, most):
            raise self.wrong(key, f"must be {word!r} or an integer from {least} to {most}")
        return value

    def real(self, key: str, least: float, most: float, default: float | None = None) -> float:
        """A number in [least, most]."""
        value = self._take(key, default)
        if not is_real(value, least, most):
            raise self.wrong(key, f"must be a number from {least:g} to {most:g}")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "must be true or false")
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of strings."""
        value = self._take(key, default)
        if not isinstance(value, list | tuple) or any(not isinstance(item, str) for item in value):
            raise self.wrong(key, "must be a list of strings")
        return tuple(value)

    def table(self, key: str) -> TomlTable:
        """A sub-table; empty where it is missing."""
        value = self._take(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, "must be a table")
        return TomlTable(value, text=self._text, file=self._file, path=self._join(key))

    def tables(self, key: str) -> tuple[TomlTable, ...]:
        """An array of tables; empty where it is missing."""
        value = self._take(key, [])
        if not isinstance(value, list) or any(not isinstance(item, dict) for item in value):
            raise self.wrong(key, f"must be written as [[{key}]] sections")
        path = self._join(key)
        return tuple(
            TomlTable(item, text=self._text, file=self._file, path=path, nth=nth) for nth, item in enumerate(value)
        )

    def has(self, key: str) -> bool:
        """Whether the key is there and unread."""
        self._known.append(key)
        return key in self._left

    def checked(self, key: str, read: Callable[[str], T], value: str) -> T:
        """``read(value)``, its ``ValueError`` becoming an error at ``key``."""
        try:
            return read(value)
        except ValueError as error:
            raise self.wrong(key, str(error)) from error

    def end(self) -> None:
        """Refuse unknown keys, with the nearest known one."""
        for key in self._left:
            near = difflib.get_close_matches(key, self._known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else f" (known: {', '.join(dict.fromkeys(self._known))})"
            raise self.wrong(key, f"is not a key hansa knows{hint}")

    def wrong(self, key: str, why: str) -> ConfigError:
        """The error for ``key``."""
        line = self._line(key)
        where = f"{self._file}, line {line}" if line else self._file
        return ConfigError(
            f"{where}: {self._join(key)} {why}",
            remedy=f"edit {self._file} and try again",
            file=self._file,
            key=self._join(key),
            line=line,
        )

    def _take(self, key: str, default: Any) -> Any:
        self._known.append(key)
        if key in self._left:
            return self._left.pop(key)
        if default is None:
            raise self.wrong(key, "is missing")
        return default

    def _join(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def _line(self, key: str) -> int | None:
        """The line of the key within its section, else of the section, else None."""
        section, seen, begin = "", -1, None
        for number, line in enumerate(self._text.splitlines(), 1):
            head = re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?", line)
            if head:
                section = head[1]
                seen += section == self._path
                if section == self._path and seen == self._nth:
                    begin = number
            elif (
                section == self._path
                and (not self._path or seen == self._nth)
                and re.match(rf"\s*(\"{re.escape(key)}\"|{re.escape(key)})\s*[=.]", line)
            ):
                return number
            if re.match(rf"\s*\[\[?\s*{re.escape(self._join(key))}\s*\]", line):
                return number
        return begin
