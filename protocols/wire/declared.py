"""Classes that travel as maps: beside each field stands how it is read from a peer's map.

    @declared()
    class Probe:
        request: int = number(COUNTER_MAX)
        target: bytes = octets(32)

``read_untrusted`` takes a map of exactly these fields and ``plain`` gives it, so that reading and writing cannot differ. A field
``since`` a version is left out of maps of earlier versions, where it has its default.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, dataclass_transform

from hansa.protocols.wire.fields import Fields

T = TypeVar("T")
Reader = Callable[[Fields, str], Any]


def read_by(reader: Reader, *, since: int = 0, write: Callable[[Any], Any] | None = None, **options: Any) -> Any:
    """A field that ``reader`` takes from the map by its name; ``options`` are those of ``dataclasses.field``."""
    return field(metadata={"read": reader, "write": write, "since": since}, **options)


def octets(length: int, **options: Any) -> Any:
    """Exactly ``length`` bytes."""
    return read_by(lambda f, name: f.octets(name, length), **options)


def optional_octets(length: int, **options: Any) -> Any:
    """Exactly ``length`` bytes, or None."""
    return read_by(lambda f, name: f.optional_octets(name, length), **options)


def blob(most: int, **options: Any) -> Any:
    """At most ``most`` bytes."""
    return read_by(lambda f, name: f.blob(name, most), **options)


def printable(most: int, least: int = 0, **options: Any) -> Any:
    """A printable string of ``least`` to ``most`` characters."""
    return read_by(lambda f, name: f.text(name, most, least=least), **options)


def optional_printable(most: int, **options: Any) -> Any:
    """A printable string of 1 to ``most`` characters, or None."""
    return read_by(lambda f, name: f.optional_text(name, most), **options)


def choice(*choices: str, **options: Any) -> Any:
    """One of ``choices``."""
    return read_by(lambda f, name: f.choice(name, *choices), **options)


def number(most: int, least: int = 0, **options: Any) -> Any:
    """An integer in [least, most]."""
    return read_by(lambda f, name: f.number(name, least, most), **options)


def real(least: float, most: float, **options: Any) -> Any:
    """A float in [least, most]: 0 and 0.0 are written alike."""
    return read_by(lambda f, name: f.real(name, least, most), write=float, **options)


def bit(**options: Any) -> Any:
    """A bool, which travels as 0 or 1."""
    return read_by(lambda f, name: bool(f.number(name, 0, 1)), write=int, **options)


def value(read: Callable[[Any], Any], **options: Any) -> Any:
    """Whatever ``read`` takes."""
    return read_by(lambda f, name: f.value(name, read), **options)


def each(most: int, read: Callable[[Any], Any], least: int = 0, **options: Any) -> Any:
    """A list of ``least`` to ``most`` items, each through ``read``."""
    return read_by(lambda f, name: f.each(name, most, read, least=least), **options)


def texts(count: int, most: int, **options: Any) -> Any:
    """A list of at most ``count`` printable strings of 1 to ``most`` characters."""
    return read_by(lambda f, name: f.texts(name, count, most), **options)


def blobs(count: int, most: int, **options: Any) -> Any:
    """A list of at most ``count`` byte strings of at most ``most`` bytes."""
    return read_by(lambda f, name: f.blobs(name, count, most), **options)


def integers(count: int, most: int, **options: Any) -> Any:
    """A list of at most ``count`` integers from 0 to ``most``."""
    return read_by(lambda f, name: f.integers(name, count, most), **options)


def part(kind: type[Any], what: str, **options: Any) -> Any:
    """A declared class; ``what`` names it in errors."""
    return read_by(lambda f, name: f.value(name, _reader(kind, what, f)), **options)


def optional_part(kind: type[Any], what: str, **options: Any) -> Any:
    """A declared class, or None."""
    return read_by(lambda f, name: f.optional(name, _reader(kind, what, f)), **options)


def parts(kind: type[Any], what: str, most: int, least: int = 0, **options: Any) -> Any:
    """A list of ``least`` to ``most`` of a declared class."""
    return read_by(lambda f, name: f.each(name, most, _reader(kind, what, f), least=least), **options)


@dataclass_transform(
    frozen_default=True,
    field_specifiers=(
        read_by,
        octets,
        optional_octets,
        blob,
        printable,
        optional_printable,
        choice,
        number,
        real,
        bit,
        value,
        each,
        texts,
        blobs,
        integers,
        part,
        optional_part,
        parts,
    ),
)
def declared(*, slots: bool = True) -> Callable[[type[T]], type[T]]:
    """A frozen dataclass, each of whose fields is one of the above."""
    return dataclass(frozen=True, slots=slots)


def read_untrusted(kind: type[T], value: Any, what: str, version: int | None = None) -> T:
    """The object that a map stands for, of a ``version`` if it has versions; ``PeerMisbehaved`` names what is wrong with it."""
    return read_fields(kind, Fields(value, what, version))


def read_fields(kind: type[T], source: Fields) -> T:
    """The object of a map's fields, of which none may be left."""
    found = kind(**{f.name: f.metadata["read"](source, f.name) for f in _fields(kind, source.version)})
    source.end()
    return found


def plain(sent: Any, version: int | None = None) -> dict[str, Any]:
    """The map of an object, of a ``version`` if it has versions: plain data for canonical encoding."""
    return {f.name: _plain(getattr(sent, f.name), version, f.metadata.get("write")) for f in _fields(sent, version)}


def _reader(kind: type[T], what: str, source: Fields) -> Callable[[Any], T]:
    return lambda value: read_untrusted(kind, value, what, source.version)


def _plain(inner: Any, version: int | None, write: Callable[[Any], Any] | None = None) -> Any:
    if write is not None:
        return write(inner)
    if isinstance(inner, tuple):
        return [_plain(item, version) for item in inner]
    return plain(inner, version) if is_dataclass(inner) else inner


def _fields(declaring: Any, version: int | None) -> list[Field[Any]]:
    """Those that maps of this version have."""
    return [f for f in fields(declaring) if version is None or f.metadata.get("since", 0) <= version]
