"""Reading bytes somebody else chose, field by field: never past the end, nothing left over."""

from __future__ import annotations

from hansa.protocols.wire.attestation.errors import MalformedEvidence


class Reader:
    """A cursor over bytes; every method raises ``MalformedEvidence`` with the field's name. Integers are little-endian."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._at, self._what = data, 0, what

    @property
    def at(self) -> int:
        """How many bytes have been read."""
        return self._at

    def take(self, size: int, field: str) -> bytes:
        """The next ``size`` bytes."""
        if size > len(self._data) - self._at:
            missing = size - (len(self._data) - self._at)
            raise MalformedEvidence(f"{self._what}: {field}", f"is cut off ({missing} bytes are missing)")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int, field: str) -> int:
        """The next ``size`` bytes as an unsigned integer."""
        return int.from_bytes(self.take(size, field), "little")

    def zeros(self, size: int, field: str) -> None:
        """The next ``size`` bytes, which must be zero."""
        if any(self.take(size, field)):
            raise MalformedEvidence(f"{self._what}: {field}", "must be zero")

    def end(self) -> None:
        """Nothing may be left."""
        left = len(self._data) - self._at
        if left:
            raise MalformedEvidence(self._what, f"has {left} bytes too many")
