"""What this node remembers of enclaves' sealed state: the latest mark of each line that they have shown over attested channels.

A host that puts an older sealed file back, or goes on from one, is found by every member that had seen the other (see ``vault``).
An enclave that begins a new line (new code, another sealing key) has lost what it had sealed, and is believed.
"""

from __future__ import annotations

import json
from pathlib import Path

from hansa.node.sealing import write_whole
from hansa.node.tee.keys.epoch_tokens import EpochToken
from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire import limits

Lines = dict[bytes, EpochToken]


class SeenEpochs:
    """By enclave identity, in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, Lines] = {}
        if path.exists():
            try:
                read = json.loads(path.read_text())
                self._seen = {str(identity): _lines(bytes.fromhex(marks)) for identity, marks in read.items()}
            except (ValueError, AttributeError, TypeError, PeerMisbehaved) as error:
                raise SecurityError(
                    f"{path} cannot be read: this node has forgotten which state enclaves have shown it",
                    remedy="restore it from a backup, or remove it, and rely on the other members' memory",
                    file=str(path),
                ) from error

    def seen(self, identity: bytes) -> bytes:
        """The latest mark of every line, one behind the other; empty before the first."""
        return _joined(self._seen.get(identity.hex(), {}))

    def note(self, identity: bytes, shown: bytes, *, asked: bytes | None = None) -> None:
        """Remember the mark that an accepted enclave shows; ``asked``: what was ``seen`` when it was asked for it (None: now).

        What was noted since then may be later, as the enclave goes on meanwhile.

        Raises ``SecurityError`` where it has shown a later one before, another one of the same epoch, or too many lines: an older
        line is not forgotten for a new one, which a host could make at will. ``PeerMisbehaved`` where it shows no mark.
        """
        marks = EpochToken.each_untrusted(shown)
        lines = self._seen.get(identity.hex(), {})
        then = lines if asked is None else _lines(asked)
        added: Lines = {}
        for mark in marks:
            now = lines.get(mark.line)
            _compare(mark, then.get(mark.line))
            if now is None or mark.epoch >= now.epoch:
                _compare(mark, now)
                added |= {} if mark == now else {mark.line: mark}
        if len(lines | added) > limits.EPOCH_LINES_MAX:
            raise SecurityError(
                f"its sealed state has begun anew more than {limits.EPOCH_LINES_MAX} times",
                remedy="ask its operator why; HOME/tee/epochs.json is what this node remembers of it",
            )
        if added and (lines or len(self._seen) < limits.EPOCHS_MAX_ENCLAVES):
            self._seen[identity.hex()] = lines | added
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            told = {known: _joined(kept).hex() for known, kept in sorted(self._seen.items())}
            write_whole(self._path, json.dumps(told).encode())


def _compare(mark: EpochToken, before: EpochToken | None) -> None:
    found = ""
    if before is not None and mark.epoch < before.epoch:
        found = f"it shows epoch {mark.epoch}, and has shown epoch {before.epoch} before"
    elif before is not None and mark.epoch == before.epoch and mark != before:
        found = f"it has shown two states of one epoch, {mark.epoch}"
    if found:
        raise SecurityError(
            f"its sealed state was rolled back: {found}",
            remedy="ask its operator to put the newest state back; until then do not rely on it",
        )


def _lines(marks: bytes) -> Lines:
    return {mark.line: mark for mark in EpochToken.each_untrusted(marks)}


def _joined(lines: Lines) -> bytes:
    return b"".join(mark.encode() for mark in lines.values())
