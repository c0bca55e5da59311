"""Correlations made ahead, on disk: HOME/correlations/PARTIES/BATCH/WARE-PLACE, one sealed file a parcel.

What lies there is this node's summands of what one set of parties made in one job (a batch). A file is sealed for this
node, the set, the batch, the ware and its place: no other file can stand in for it. It is unlinked, and the unlinking is on
disk, before the first number in it is used; so whatever happens, nothing of it is used twice.
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
    """The name of a set of parties, in whatever order: 32 bytes."""
    return tagged_hash("hansa-parties", *sorted(identities))


def batch_of(job_id: bytes, attempt: int) -> bytes:
    """The batch that an attempt of a job makes."""
    return tagged_hash("hansa-batch", job_id, attempt.to_bytes(4, "big"))[:BATCH_BYTES]


def shelf_folder(home: Path, identities: Sequence[bytes]) -> Path:
    """Where what a set of parties has made lies."""
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
        """The rank that names what is used."""
        identities = list(self.names)
        return identities.index(min(identities))

    def parcels(self, ware: str) -> list[ParcelId]:
        """What there is of a ware, in the order of its names."""
        return sorted(parcel for kind, parcel, _ in files_in(self.folder) if kind == ware)

    def burn(self, ware: str, parcels: Sequence[ParcelId]) -> list[bytes | None]:
        """Unlink files, then give what was in them; None for those that are not there (any more).

        Of several processes that burn one file, one gets it.
        """
        opened = [self._unlinked(ware, parcel) for parcel in parcels]
        for batch in {parcel.batch for parcel, sealed in zip(parcels, opened, strict=True) if sealed is not None}:
            folder = self.folder / batch.hex()
            _sync(folder)
            with suppress(OSError):  # not empty yet
                folder.rmdir()
        return opened

    def put(self, folder: Path, ware: str, parcel: ParcelId, data: bytes) -> None:
        """Seal a parcel just made into a folder that ``publish`` will put on the shelf."""
        write_whole(folder / _file(ware, parcel), seal(self.key, data, self._name(ware, parcel)))

    def _unlinked(self, ware: str, parcel: ParcelId) -> bytes | None:
        path = self.folder / parcel.batch.hex() / _file(ware, parcel)
        try:
            with path.open("rb") as file:
                path.unlink()
                return file.read(STORED_KINDS[ware].parcel_bytes + _SEALED + 1)
        except FileNotFoundError:
            return None

    def unseal(self, ware: str, parcel: ParcelId, sealed: bytes) -> bytes:
        """What a burnt file holds. Raises DataError where it was changed, or is another one's."""
        try:
            data = unseal(self.key, sealed, self._name(ware, parcel))
            if len(data) == STORED_KINDS[ware].parcel_bytes:
                return data
            reason: Exception | None = None
        except SecurityError as error:
            reason = error
        peers = [name for identity, name in self.names.items() if identity != self.me]
        others = ", ".join(peers)
        path = str(self.folder / parcel.batch.hex() / _file(ware, parcel))
        raise DataError(
            f"the correlations made ahead with {others} cannot be used: {path} was changed, or is another file's copy",
            remedy=f"drop what is left of them with `hansa correlations drop {' '.join(peers)}` there, and submit the job anew",
            file=path,
        ) from reason

    def _name(self, ware: str, parcel: ParcelId) -> bytes:
        made = [*sorted(self.names), parcel.batch, ware, parcel.place, STORED_KINDS[ware].units]
        return canonical.encode(["correlations", self.me, *made])


def publish(making: Path, shelf: Path, batch: bytes, identities: Sequence[bytes]) -> None:
    """Put a whole batch on the shelf, at once; nothing if that was done already."""
    if not making.is_dir():
        return
    shelf.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(shelf / MEMBERS, "".join(f"{identity.hex()}\n" for identity in sorted(identities)).encode())
    os.rename(making, shelf / batch.hex())
    _sync(shelf)


def making_folder(folder: Path, attempt: int) -> Path:
    """Where an attempt of a job makes its batch."""
    return folder / f"making-{attempt}"


def forget_making(folder: Path) -> None:
    """Burn what attempts of a job made and did not publish."""
    for making in folder.glob("making-*"):
        shutil.rmtree(making, ignore_errors=True)


def files_in(shelf: Path) -> Iterator[tuple[str, ParcelId, Path]]:
    """Ware, name and path of every parcel on a shelf."""
    with suppress(FileNotFoundError):
        for batch in shelf.iterdir():
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
    """What lies on a shelf: elements of each ware, bytes in all, and when the newest was made (unix seconds)."""

    amounts: dict[str, int]
    size: int
    made: int


def contents(shelf: Path) -> Contents:
    """Look at a shelf."""
    amounts, size, made = dict.fromkeys(STORED_KINDS, 0), 0, 0
    for ware, _, path in files_in(shelf):
        with suppress(FileNotFoundError):
            stat = path.stat()
            amounts[ware] += STORED_KINDS[ware].elements
            size, made = size + stat.st_size, max(made, int(stat.st_mtime))
    return Contents(amounts, size, made)


def members(shelf: Path) -> list[bytes]:
    """The identities that made what lies on a shelf."""
    try:
        return [bytes.fromhex(line) for line in (shelf / MEMBERS).read_text().split()]
    except (OSError, ValueError):
        return []


def shelves(home: Path) -> list[Path]:
    """Every set's shelf."""
    with suppress(FileNotFoundError):
        return sorted(path for path in (home / "correlations").iterdir() if path.is_dir())
    return []


def drop(shelf: Path) -> None:
    """Throw a shelf away; a job that draws from it at this moment makes what it no longer finds."""
    shutil.rmtree(shelf, ignore_errors=True)


def bytes_on_disk(home: Path) -> int:
    """What all shelves take, and what is being made."""
    size = sum(contents(shelf).size for shelf in shelves(home))
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


def _file(ware: str, parcel: ParcelId) -> str:
    return f"{ware}-{parcel.place}"


def _sync(folder: Path) -> None:
    """What was linked or unlinked in a folder outlasts a crash of the machine."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # another job has burnt the last file of the batch, and the folder with it
        _sync(folder.parent)
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
