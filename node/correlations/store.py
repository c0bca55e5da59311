"""Correlations made ahead, on disk: HOME/correlations/PARTIES/BATCH/KIND-PLACE, one sealed file a parcel.

A file holds this node's summands of correlations that one set of parties made in one job (a batch). It is sealed for this
node, the set, the batch, the kind and the place, so that no other file can stand in for it. It is unlinked, and the unlinking
is on disk, before the first number in it is used: no number is used twice, whatever crashes.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hansa.algorithms.errors import DataError
from hansa.node.errors import UsageError
from hansa.node.sealing import seal, unseal, write_whole
from hansa.protocols.errors import SecurityError
from hansa.protocols.mpc.additive.stored.kinds import BATCH_BYTES, MAX_PLACE, STORED_KINDS, ParcelId
from hansa.protocols.wire import canonical
from hansa.protocols.wire.signing import tagged_hash

MEMBERS: Final = "members"
_FILE = re.compile(rf"({'|'.join(STORED_KINDS)})-(\d{{1,8}})")
_BATCH = re.compile(f"[0-9a-f]{{{2 * BATCH_BYTES}}}")
_SEALED = 40  # bytes of nonce and tag


def set_id(identities: Sequence[bytes]) -> bytes:
    """The 32-byte name of a set of parties; their order does not matter."""
    return tagged_hash("hansa-parties", *sorted(identities))


def batch_of(job_id: bytes, attempt: int) -> bytes:
    """The batch that an attempt of a job makes."""
    return tagged_hash("hansa-batch", job_id, attempt.to_bytes(4, "big"))[:BATCH_BYTES]


def store_folder(home: Path, identities: Sequence[bytes]) -> Path:
    """The folder of a set's store."""
    return home / "correlations" / set_id(identities).hex()[:32]


@dataclass(frozen=True, slots=True)
class CorrelationStore:
    """This node's parcels with one set of parties; ``names`` are all parties' identities and names, in rank order."""

    folder: Path
    key: bytes = field(repr=False)
    me: bytes
    names: Mapping[bytes, str]

    @property
    def first(self) -> int:
        """The rank of the party that names the parcels to use: the one with the lowest identity."""
        identities = list(self.names)
        return identities.index(min(identities))

    def parcels(self, kind: str) -> list[ParcelId]:
        """The parcels of a kind that are in store, sorted by name."""
        return sorted(parcel for stored, parcel, _ in files_in(self.folder) if stored == kind)

    def burn(self, kind: str, parcels: Sequence[ParcelId]) -> list[bytes | None]:
        """Unlink the parcels' files, then return what was in them; None for a file that is not there (any more).

        Where several processes burn one file, exactly one gets its bytes.
        """
        opened = [self._unlinked(kind, parcel) for parcel in parcels]
        for batch in {parcel.batch for parcel, sealed in zip(parcels, opened, strict=True) if sealed is not None}:
            folder = self.folder / batch.hex()
            _sync(folder)
            with suppress(OSError):  # not empty yet
                folder.rmdir()
        return opened

    def put(self, folder: Path, kind: str, parcel: ParcelId, data: bytes) -> None:
        """Seal a parcel just made into a folder that ``publish`` will move into the store."""
        write_whole(folder / _file(kind, parcel), seal(self.key, data, self._name(kind, parcel)))

    def _unlinked(self, kind: str, parcel: ParcelId) -> bytes | None:
        path = self.folder / parcel.batch.hex() / _file(kind, parcel)
        try:
            with path.open("rb") as file:
                path.unlink()
                return file.read(STORED_KINDS[kind].parcel_bytes + _SEALED + 1)
        except FileNotFoundError:
            return None

    def unseal(self, kind: str, parcel: ParcelId, sealed: bytes) -> bytes:
        """The content of a burnt file. Raises DataError where it was changed, or is a copy of another file."""
        try:
            data = unseal(self.key, sealed, self._name(kind, parcel))
            if len(data) == STORED_KINDS[kind].parcel_bytes:
                return data
            reason: Exception | None = None
        except SecurityError as error:
            reason = error
        peers = [name for identity, name in self.names.items() if identity != self.me]
        others = ", ".join(peers)
        path = str(self.folder / parcel.batch.hex() / _file(kind, parcel))
        raise DataError(
            f"the correlations made ahead with {others} cannot be used: {path} was changed, or is another file's copy",
            remedy=f"drop what is left of them with `hansa correlations drop {' '.join(peers)}` there, and submit the job anew",
            file=path,
        ) from reason

    def _name(self, kind: str, parcel: ParcelId) -> bytes:
        made = [*sorted(self.names), parcel.batch, kind, parcel.place, STORED_KINDS[kind].units]
        return canonical.encode(["correlations", self.me, *made])


def publish(made: Path, store: Path, batch: bytes, identities: Sequence[bytes]) -> None:
    """Move a whole batch into the store, by one rename; do nothing where that was done already."""
    if not made.is_dir():
        return
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(store / MEMBERS, "".join(f"{identity.hex()}\n" for identity in sorted(identities)).encode())
    os.rename(made, store / batch.hex())
    _sync(store)


def preprocessing_folder(folder: Path, attempt: int) -> Path:
    """Where an attempt of a job puts the parcels that it makes, until they are published."""
    return folder / f"making-{attempt}"


def forget_unpublished(folder: Path) -> None:
    """Delete what attempts of a job made and did not publish."""
    for made in folder.glob("making-*"):
        shutil.rmtree(made, ignore_errors=True)


def files_in(store: Path) -> Iterator[tuple[str, ParcelId, Path]]:
    """Kind, name and path of every parcel in a store."""
    with suppress(FileNotFoundError):
        for batch in store.iterdir():
            if _BATCH.fullmatch(batch.name):
                yield from _files_of(batch)


def _files_of(batch: Path) -> Iterator[tuple[str, ParcelId, Path]]:
    with suppress(FileNotFoundError, NotADirectoryError):  # another job burnt its last one
        for path in batch.iterdir():
            match = _FILE.fullmatch(path.name)
            if match and int(match[2]) < MAX_PLACE and path.name == f"{match[1]}-{int(match[2])}":
                yield match[1], ParcelId(bytes.fromhex(batch.name), int(match[2])), path


@dataclass(frozen=True, slots=True)
class Contents:
    """What a store holds: elements of each kind, bytes in all, and when the newest was made (unix seconds)."""

    amounts: dict[str, int]
    size: int
    made: int


def contents(store: Path) -> Contents:
    """Count what a store holds."""
    amounts, size, made = dict.fromkeys(STORED_KINDS, 0), 0, 0
    for kind, _, path in files_in(store):
        with suppress(FileNotFoundError):
            stat = path.stat()
            amounts[kind] += STORED_KINDS[kind].elements
            size, made = size + stat.st_size, max(made, int(stat.st_mtime))
    return Contents(amounts, size, made)


def members(store: Path) -> list[bytes]:
    """The identities of the parties that a store belongs to."""
    try:
        return [bytes.fromhex(line) for line in (store / MEMBERS).read_text().split()]
    except (OSError, ValueError):
        return []


def store_folders(home: Path) -> list[Path]:
    """The folders of all stores."""
    with suppress(FileNotFoundError):
        return sorted(path for path in (home / "correlations").iterdir() if path.is_dir())
    return []


def drop(store: Path) -> None:
    """Delete a store. A job that draws from it at this moment makes what it no longer finds."""
    shutil.rmtree(store, ignore_errors=True)


def bytes_on_disk(home: Path) -> int:
    """Bytes of all stores, and of what jobs are making."""
    size = sum(contents(store).size for store in store_folders(home))
    for path in (home / "jobs").glob("*/making-*/*"):
        with suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


def check_room(home: Path, wanted: int, max_mb: int) -> None:
    """Raise UsageError where ``wanted`` bytes more would be more than this node keeps."""
    held = bytes_on_disk(home)
    if held + wanted > max_mb * 1_000_000:
        raise UsageError(
            f"it would take {wanted / 1e6:.0f} MB, and this node has room for {max(0, max_mb - held / 1e6):.0f}",
            remedy="raise correlations.max_mb in hansa.toml there, or `hansa correlations drop` some",
        )


def _file(kind: str, parcel: ParcelId) -> str:
    return f"{kind}-{parcel.place}"


def _sync(folder: Path) -> None:
    """Make links and unlinks in a folder outlast a crash of the machine."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # another job has burnt the last file of the batch, and the folder with it
        _sync(folder.parent)
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
