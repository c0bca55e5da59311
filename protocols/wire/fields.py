"""Reading fields out of a decoded map that a peer may have made up: presence, type, range, and nothing left over."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from hansa.config.bounds import is_real, is_whole
from hansa.config.vocabulary import PRINTABLE
from hansa.protocols.errors import PeerMisbehaved

T = TypeVar("T")

_PRINTABLE = re.compile(f"{PRINTABLE}*")


class Fields:
    """One map, of a ``version`` if it has versions. Every reader names the field in its error; ``end()`` when all are read."""

    def __init__(self, value: Any, what: str, version: int | None = None) -> None:
        self.what, self.version = what, version
        if not isinstance(value, dict):
            raise self.refused("is not a map")
        self._left = dict(value)

    def refused(self, why: str) -> PeerMisbehaved:
        """The error for this map."""
        return PeerMisbehaved(
            f"{self.what} from a peer {why}", remedy="update both nodes to the same version", what=self.what
        )

    def text(self, name: str, most: int, *, least: int = 0) -> str:
        """A printable string of ``least`` to ``most`` characters."""
        value = self._take(name)
        if not isinstance(value, str) or not least <= len(value) <= most or not _PRINTABLE.fullmatch(value):
            raise self.refused(f"has no valid '{name}' (text of {least} to {most} printable characters)")
        return value

    def optional_text(self, name: str, most: int) -> str | None:
        """A printable string of 1 to ``most`` characters, or None."""
        return None if self._took_none(name) else self.text(name, most, least=1)

    def choice(self, name: str, *choices: str) -> str:
        """One of ``choices``."""
        value = self._take(name)
        if value not in choices:
            raise self.refused(f"has '{name}' other than {', '.join(choices)}")
        return str(value)

    def number(self, name: str, least: int, most: int) -> int:
        """An integer in [least, most]."""
        value = self._take(name)
        if not is_whole(value, least, most):
            raise self.refused(f"has no valid '{name}' (an integer from {least} to {most})")
        return value

    def real(self, name: str, least: float, most: float) -> float:
        """A float (or integer) in [least, most]."""
        value = self._take(name)
        if not is_real(value, least, most):
            raise self.refused(f"has no valid '{name}' (a number from {least} to {most})")
        return float(value)

    def flag(self, name: str) -> bool:
        """true or false."""
        value = self._take(name)
        if not isinstance(value, bool):
            raise self.refused(f"has no valid '{name}' (true or false)")
        return value

    def octets(self, name: str, length: int) -> bytes:
        """Exactly ``length`` bytes."""
        value = self._take(name)
        if not isinstance(value, bytes) or len(value) != length:
            raise self.refused(f"has no valid '{name}' ({length} bytes)")
        return value

    def optional_octets(self, name: str, length: int) -> bytes | None:
        """Exactly ``length`` bytes, or None."""
        return None if self._took_none(name) else self.octets(name, length)

    def blob(self, name: str, most: int) -> bytes:
        """At most ``most`` bytes."""
        value = self._take(name)
        if not isinstance(value, bytes) or len(value) > most:
            raise self.refused(f"has no valid '{name}' (at most {most} bytes)")
        return value

    def each(self, name: str, most: int, read: Callable[[Any], T], *, least: int = 0) -> tuple[T, ...]:
        """A list of ``least`` to ``most`` items, each through ``read``."""
        value = self._take(name)
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise self.refused(f"has no valid '{name}' (a list of {least} to {most})")
        return tuple(read(item) for item in value)

    def texts(self, name: str, count: int, most: int) -> tuple[str, ...]:
        """A list of at most ``count`` printable strings of 1 to ``most`` characters."""
        return self.each(name, count, lambda item: Fields({name: item}, self.what).text(name, most, least=1))

    def blobs(self, name: str, count: int, most: int) -> tuple[bytes, ...]:
        """A list of at most ``count`` byte strings of at most ``most`` bytes."""
        return self.each(name, count, lambda item: Fields({name: item}, self.what).blob(name, most))

    def integers(self, name: str, count: int, most: int) -> tuple[int, ...]:
        """A list of at most ``count`` integers from 0 to ``most``."""
        return self.each(name, count, lambda item: Fields({name: item}, self.what).number(name, 0, most))

    def has(self, name: str) -> bool:
        """Whether the field is there and unread."""
        return name in self._left

    def value(self, name: str, read: Callable[[Any], T]) -> T:
        """One value through ``read``."""
        return read(self._take(name))

    def optional(self, name: str, read: Callable[[Any], T]) -> T | None:
        """One value through ``read``, or None."""
        return None if self._took_none(name) else self.value(name, read)

    def map(self, name: str) -> dict[str, Any]:
        """A nested map, as it is."""
        value = self._take(name)
        if not isinstance(value, dict):
            raise self.refused(f"has no valid '{name}' (a map)")
        return value

    def end(self) -> None:
        """Refuse fields that nobody has read."""
        if self._left:
            raise self.refused(f"has unknown fields: {ascii(', '.join(sorted(self._left))[:100])[1:-1]}")

    def _took_none(self, name: str) -> bool:
        """Whether the field is there and None; it is read then."""
        return name in self._left and self._left[name] is None and self._left.pop(name) is None

    def _take(self, name: str) -> Any:
        if name not in self._left:
            raise self.refused(f"lacks '{name}'")
        return self._left.pop(name)
