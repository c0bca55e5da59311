"""Parcels on disk: sealed for one place, burnt before they are given, whatever dies when."""

import os
from pathlib import Path

import pytest

from hansa.algorithms.errors import DataError
from hansa.node.correlations import store as correlations
from hansa.node.correlations.store import (
    CorrelationStore,
    batch_of,
    bytes_on_disk,
    check_room,
    contents,
    drop,
    forget_unpublished,
    members,
    preprocessing_folder,
    publish,
    set_id,
    store_folder,
)
from hansa.node.errors import UsageError
from hansa.protocols.mpc.additive.stored.kinds import MAX_PLACE, STORED_KINDS, ParcelId

A, B, C = (bytes([number]) * 32 for number in (3, 1, 2))
NAMES = {A: "bank", B: "bureau", C: "telecom"}
BATCH = batch_of(b"j" * 32, 0)
KIND = "bit_triples"
SIZE = STORED_KINDS[KIND].parcel_bytes


def stocked(home, parcels=3, key=b"k" * 32, me=A, names=NAMES, batch=BATCH):
    """A store with parcels of one kind, each of one byte repeated."""
    store = CorrelationStore(store_folder(home, list(names)), key, me, names)
    made = preprocessing_folder(home / "jobs" / "j", 0)
    made.parent.mkdir(parents=True)
    made.mkdir(mode=0o700)
    for place in range(parcels):
        store.put(made, KIND, ParcelId(batch, place), bytes([place + 1]) * SIZE)
    publish(made, store.folder, batch, list(names))
    return store


def burnt(store, kind, parcels):
    """What is in the parcels, once burnt."""
    found = zip(parcels, store.burn(kind, parcels), strict=True)
    return [None if sealed is None else store.unseal(kind, parcel, sealed) for parcel, sealed in found]


def file(store, place, batch=BATCH):
    return store.folder / batch.hex() / f"{KIND}-{place}"


def test_a_parcel_is_given_once_and_gone(tmp_path):
    store = stocked(tmp_path)
    first, second, third = store.parcels(KIND)
    assert [parcel.place for parcel in (first, second, third)] == [0, 1, 2]
    assert store.parcels("triples") == []
    assert burnt(store, KIND, [second, first]) == [b"\x02" * SIZE, b"\x01" * SIZE]
    assert not file(store, 0).exists()
    assert burnt(store, KIND, [first, third, ParcelId(bytes(16), 2)]) == [None, b"\x03" * SIZE, None]
    assert list(store.folder.iterdir()) == [store.folder / "members"]  # the batch's folder went with its last parcel


def test_files_are_private_and_show_nothing(tmp_path):
    store = stocked(tmp_path)
    assert file(store, 0).stat().st_mode & 0o777 == 0o600
    assert file(store, 0).parent.stat().st_mode & 0o077 == 0
    assert b"\x01" * 16 not in file(store, 0).read_bytes()
    assert "k" * 8 not in repr(store)


def test_the_first_is_the_same_at_every_party_and_for_every_order():
    for names in (NAMES, dict(reversed(NAMES.items()))):
        for me in NAMES:
            assert list(names)[CorrelationStore(Path(), b"", me, names).first] == B
    assert set_id([A, B, C]) == set_id([C, A, B]) != set_id([A, B])
    assert batch_of(b"j" * 32, 0) != batch_of(b"j" * 32, 1)


class Killed(BaseException):
    """kill -9: nothing after it happens."""


POINTS = ("open", "unlink", "unlinked", "fsync", "synced", "unseal")


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("nth", [1, 2])
def test_killed_at_any_point_a_parcel_is_used_once_at_most(tmp_path, monkeypatch, point, nth):
    store = stocked(tmp_path)
    calls = dict.fromkeys(POINTS, 0)

    def dying(before, call, after=None):
        def wrapped(*args, **options):
            reach(before)
            result = call(*args, **options)
            if after:
                reach(after)
            return result

        return wrapped

    def reach(name):
        calls[name] += 1
        if name == point and calls[name] == nth:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", dying("open", Path.open))
        patched.setattr(Path, "unlink", dying("unlink", Path.unlink, "unlinked"))
        patched.setattr(os, "fsync", dying("fsync", os.fsync, "synced"))
        patched.setattr(correlations, "unseal", dying("unseal", correlations.unseal))
        given = []
        try:
            given += burnt(store, KIND, [ParcelId(BATCH, 0), ParcelId(BATCH, 1)])
            given += burnt(store, KIND, [ParcelId(BATCH, 2)])
        except Killed:
            pass
    again = CorrelationStore(store.folder, store.key, store.me, store.names)
    left = burnt(again, KIND, again.parcels(KIND))
    assert len(given) + len(left) <= 3
    assert not set(given) & set(left)


def test_of_two_processes_one_gets_a_parcel(tmp_path, monkeypatch):
    store, theirs = stocked(tmp_path), []
    unlink = Path.unlink

    def overtaken(self, **options):
        monkeypatch.setattr(Path, "unlink", unlink)
        theirs.extend(burnt(store, KIND, [ParcelId(BATCH, 0)]))  # the other one, just before us
        unlink(self, **options)

    monkeypatch.setattr(Path, "unlink", overtaken)
    assert burnt(store, KIND, [ParcelId(BATCH, 0)]) == [None]
    assert theirs == [b"\x01" * SIZE]


def test_a_folder_that_another_process_removed_is_no_trouble(tmp_path, monkeypatch):
    store = stocked(tmp_path, 1)
    unlink = Path.unlink

    def then_removed(self, **options):
        unlink(self, **options)
        self.parent.rmdir()

    monkeypatch.setattr(Path, "unlink", then_removed)
    assert burnt(store, KIND, [ParcelId(BATCH, 0)]) == [b"\x01" * SIZE]


@pytest.mark.parametrize("how", ["flipped", "cut", "longer", "empty", "place", "kind", "batch", "set", "node", "key"])
def test_a_file_in_anothers_place_is_refused_by_name_and_burnt(tmp_path, how):
    store = stocked(tmp_path / "one")
    path, body = file(store, 0), file(store, 0).read_bytes()
    other = tmp_path / "other"
    match how:
        case "flipped":
            path.write_bytes(body[:200] + bytes([body[200] ^ 1]) + body[201:])
        case "cut":
            path.write_bytes(body[:-1])
        case "longer":
            path.write_bytes(body + b"x")
        case "empty":
            path.write_bytes(b"")
        case "place":
            file(store, 1).replace(path)
        case "kind":
            path.rename(path.with_name("bit_pairs-0"))
        case "batch":
            path.write_bytes(file(stocked(other, batch=bytes(16)), 0, bytes(16)).read_bytes())
        case "set":
            path.write_bytes(file(stocked(other, names={A: "bank", B: "bureau"}), 0).read_bytes())
        case "node":
            path.write_bytes(file(stocked(other, me=B), 0).read_bytes())
        case "key":
            path.write_bytes(file(stocked(other, key=b"x" * 32), 0).read_bytes())
    kind = "bit_pairs" if how == "kind" else KIND
    with pytest.raises(DataError, match="made ahead with bureau, telecom cannot be used") as caught:
        burnt(store, kind, [ParcelId(BATCH, 0)])
    assert caught.value.fields["file"] == str(path.with_name(f"{kind}-0"))
    assert "hansa correlations drop" in caught.value.remedy
    assert burnt(store, kind, [ParcelId(BATCH, 0)]) == [None]


def test_what_is_no_parcel_is_passed_over(tmp_path):
    store = stocked(tmp_path, 1)
    batch = file(store, 0).parent
    for name in ("bit_triples-01", f"bit_triples-{MAX_PLACE}", "bit_triples-1.partial", "threes-1", "bit_triples-"):
        (batch / name).write_bytes(b"x")
    (store.folder / "notes").mkdir()
    (store.folder / ("0" * 32)).write_text("no folder")
    assert store.parcels(KIND) == [ParcelId(BATCH, 0)]
    assert contents(store.folder).amounts == {"triples": 0, "bit_triples": 1 << 20, "bit_pairs": 0, "dabits": 0}


def test_a_batch_is_published_whole_and_once(tmp_path):
    store = CorrelationStore(store_folder(tmp_path, list(NAMES)), b"k" * 32, A, NAMES)
    job = tmp_path / "jobs" / "j"
    made = preprocessing_folder(job, 0)
    made.mkdir(parents=True)
    store.put(made, KIND, ParcelId(BATCH, 0), bytes(SIZE))
    assert store.parcels(KIND) == []
    assert bytes_on_disk(tmp_path) == SIZE + 40
    publish(made, store.folder, BATCH, list(NAMES))
    publish(made, store.folder, BATCH, list(NAMES))
    assert store.parcels(KIND) == [ParcelId(BATCH, 0)]
    assert members(store.folder) == sorted(NAMES)
    assert contents(store.folder).size == bytes_on_disk(tmp_path) == SIZE + 40
    preprocessing_folder(job, 1).mkdir()
    forget_unpublished(job)
    assert list(job.iterdir()) == []
    drop(store.folder)
    assert correlations.store_folders(tmp_path) == []
    assert members(store.folder) == []


def test_the_room_on_disk_is_kept(tmp_path):
    store = stocked(tmp_path)
    held = 3 * (SIZE + 40)
    check_room(tmp_path, 2_000_000 - held, 2)
    with pytest.raises(UsageError, match="it would take 1 MB, and this node has room for 1"):
        check_room(tmp_path, 2_000_001 - held, 2)
    burnt(store, KIND, store.parcels(KIND)[:1])
    check_room(tmp_path, 2_000_001 - held, 2)
