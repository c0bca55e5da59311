"""The peer book: names that stay unique, introductions that stay bounded, removals that last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hansa.node.errors import UsageError
from hansa.node.identity import Identity
from hansa.node.net import peers as peers_module
from hansa.node.net.peers import PeerBook
from hansa.node.store import Store
from hansa.protocols.errors import ConsentError, PeerMisbehaved
from hansa.protocols.wire.record import PeerRecord


def somebody() -> Identity:
    return Identity.from_secrets(os.urandom(32), os.urandom(32), os.urandom(32))


def record(name: str = "bureau", sequence: int = 1, of: Identity | None = None) -> PeerRecord:
    return (of or somebody()).record(name, ("127.0.0.1:7400",), sequence)


@pytest.fixture
def me() -> Identity:
    return somebody()


@pytest.fixture
def book(tmp_path: Path, me: Identity) -> Iterator[PeerBook]:
    store = Store(tmp_path)
    yield PeerBook(store, me.public, "bank")
    store.close()


def test_pinned_found_and_removed(book: PeerBook) -> None:
    pinned = book.pin(record("bureau"), "invited")
    book.pin(record("telecom"), "joined")
    assert [p.name for p in book.all()] == ["bureau", "telecom"]
    for text in ("bureau", pinned.fingerprint, pinned.identity.hex(), pinned.identity.hex()[:8].upper()):
        assert book.find(text) == pinned
    book.remove(pinned.identity)
    assert book.get(pinned.identity) is None
    with pytest.raises(UsageError, match=r"no peer is called 'bureau' \(peers: telecom\)"):
        book.find("bureau")


def test_an_ambiguous_name_says_so(book: PeerBook, monkeypatch: pytest.MonkeyPatch) -> None:
    book.pin(record("bureau"), "invited")
    book.pin(record("telecom"), "invited")
    same = [replace(p, record=replace(p.record, identity=b"\xaa" * 32)) for p in book.all()]
    monkeypatch.setattr(book, "all", lambda: same)
    with pytest.raises(UsageError, match="2 peers are called 'aaaa'"):
        book.find("aaaa")


def test_a_taken_name_is_refused_to_operators(book: PeerBook) -> None:
    book.pin(record("bureau"), "invited")
    with pytest.raises(ConsentError, match="two nodes would have the name 'bureau'"):
        book.pin(record("bureau"), "invited")
    with pytest.raises(ConsentError, match="two nodes would have the name 'bank'"):
        book.pin(record("bank"), "invited")


def test_an_introduced_node_with_a_taken_name_is_shown_under_another(book: PeerBook) -> None:
    book.pin(record("bureau"), "invited")
    first = book.learn(record("bureau"), "bureau", accept_new=True)
    own = book.learn(record("bank"), "bureau", accept_new=True)
    assert first is not None
    assert own is not None
    assert first.name == f"bureau-{first.fingerprint}"
    assert own.name == f"bank-{own.fingerprint}"
    assert first.how == "introduced by bureau"
    assert sorted(book.warnings) == sorted(
        f"two nodes are called '{p.record.name}'; one is shown as '{p.name}' here" for p in (first, own)
    )
    book.remove(first.identity)
    book.remove(own.identity)
    assert book.warnings == []


def test_names_made_to_collide_with_the_way_out_still_get_one(book: PeerBook) -> None:
    late = somebody()
    book.pin(record("bureau"), "invited")
    for taken in (f"bureau-{late.fingerprint}", f"bureau-{late.public.hex()[:32]}"):
        assert book.learn(record(taken), "bureau", accept_new=True) is not None
    learnt = book.learn(record("bureau", of=late), "bureau", accept_new=True)
    assert learnt is not None
    assert learnt.name == late.public.hex()


def test_a_long_name_that_is_taken_stays_a_valid_name(book: PeerBook) -> None:
    book.pin(record("b" * 64), "invited")
    learnt = book.learn(record("b" * 64), "bureau", accept_new=True)
    assert learnt is not None
    assert len(learnt.name) <= 64


def test_only_newer_records_count_and_the_name_here_stays(book: PeerBook) -> None:
    bureau = somebody()
    book.pin(record("bureau", 5, bureau), "invited")
    assert book.learn(record("bureau", 4, bureau), "telecom", accept_new=True) is None
    assert book.learn(record("bureau", 5, bureau), "telecom", accept_new=True) is None
    later = book.learn(bureau.record("credit-bureau", ("10.0.0.1:7400",), 6), "telecom", accept_new=False)
    assert later is not None
    assert (later.name, later.how, later.record.addresses) == ("bureau", "invited", ("10.0.0.1:7400",))
    with pytest.raises(PeerMisbehaved, match="signed two different records with sequence 6"):
        book.learn(record("other", 6, bureau), "telecom", accept_new=True)


def test_a_key_typed_by_hand_is_changed_by_no_record(book: PeerBook) -> None:
    bureau = somebody()
    typed = PeerRecord.by_hand(bureau.public, b"\x07" * 32, "bureau", "127.0.0.1:1")
    book.pin(typed, "added")
    assert book.learn(record("bureau", 9, bureau), "telecom", accept_new=True) is None
    assert book.all()[0].record == typed
    right = PeerRecord.by_hand(bureau.public, bureau.static.public, "bureau", "127.0.0.1:1")
    book.pin(right, "added")
    assert book.learn(record("bureau", 9, bureau), "telecom", accept_new=True) is not None


def test_introductions_can_be_declined_and_removals_last(book: PeerBook, me: Identity) -> None:
    bureau = somebody()
    assert book.learn(record("bureau", 1, bureau), "telecom", accept_new=False) is None
    assert book.learn(record("bank", 1, me), "telecom", accept_new=True) is None
    book.pin(record("bureau", 1, bureau), "invited")
    book.remove(bureau.public)
    assert book.learn(record("bureau", 2, bureau), "telecom", accept_new=True) is None
    assert book.pin(record("bureau", 2, bureau), "invited").name == "bureau"
    assert book.learn(record("bureau", 3, bureau), "telecom", accept_new=True) is not None


def test_no_member_can_flood_the_book(book: PeerBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_module, "MAX_PEERS", 3)
    for number in range(3):
        assert book.learn(record(f"n{number}"), "bureau", accept_new=True) is not None
    assert book.learn(record("n4"), "bureau", accept_new=True) is None
    with pytest.raises(UsageError, match="3 peers are pinned already"):
        book.pin(record("n5"), "invited")
    assert len(book.all()) == 3


def test_the_nodes_own_key_is_no_peer(book: PeerBook, me: Identity) -> None:
    with pytest.raises(UsageError, match="the node's own key"):
        book.pin(record("other", 1, me), "added")


def test_contradictions_are_warnings_until_the_peer_is_removed(book: PeerBook) -> None:
    bureau = book.pin(record("bureau"), "invited")
    book.contradicted(bureau.identity, "bureau signed two records")
    assert book.warnings == ["bureau signed two records"]
    book.remove(bureau.identity)
    assert book.warnings == []
