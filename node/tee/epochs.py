"""What this node remembers of enclaves' sealed state: the highest epoch that each has shown over its attested channel.

A host that puts an older sealed file back is found by every member that had seen a newer one (see ``vault``).
"""

from __future__ import annotations

import json
from pathlib import Path

from hansa.node.sealing import write_whole
from hansa.protocols.errors import SecurityError
from hansa.protocols.wire import limits


class SeenEpochs:
    """By enclave identity, in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, bytes] = {}
        if path.exists():
            try:
                read = json.loads(path.read_text())
                self._seen = {str(identity): bytes.fromhex(mark) for identity, mark in read.items()}
            except (ValueError, AttributeError, TypeError) as error:
                raise SecurityError(
                    f"{path} cannot be read: this node has forgotten which state enclaves have shown it",
                    remedy="restore it from a backup, or remove it, and rely on the other members' memory",
                    file=str(path),
                ) from error

    def seen(self, identity: bytes) -> bytes:
        """The mark of the highest epoch seen; empty before the first."""
        return self._seen.get(identity.hex(), b"")

    def note(self, identity: bytes, mark: bytes) -> None:
        """Remember the mark that an accepted enclave shows. Raises ``SecurityError`` where it has shown a later one before."""
        before, epoch = _epoch(self.seen(identity)), _epoch(mark)
        if epoch < before:
            raise SecurityError(
                f"its sealed state was rolled back: it shows epoch {epoch}, and has shown epoch {before} before",
                remedy="ask its operator to put the newest state back; until then do not rely on it",
            )
        known = identity.hex() in self._seen
        if (known and epoch > before) or (not known and len(self._seen) < limits.EPOCHS_MAX_ENCLAVES):
            self._seen[identity.hex()] = mark
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            told = {known: kept.hex() for known, kept in sorted(self._seen.items())}
            write_whole(self._path, json.dumps(told).encode())


def _epoch(mark: bytes) -> int:
    return int.from_bytes(mark[:8], "big")
