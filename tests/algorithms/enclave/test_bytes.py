"""Tables and answers as bytes: what survives, and what made-up bytes do."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.enclave_members import GBDT, tables, terms

from hansa.algorithms.enclave import packed_table
from hansa.algorithms.enclave.answer import EnclaveAnswer
from hansa.algorithms.errors import DataError
from hansa.algorithms.gbdt.model.tree_model import Importance
from hansa.algorithms.gbdt.params import MOST_WEIGHT
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.psi.ddh import places_in_order

T = terms()
PACKED = packed_table.pack(T, tables(T, rows=20, own=3)[0])


@pytest.mark.parametrize("algorithm", ["lr", "gbdt"])
def test_a_table_survives(algorithm):
    t = terms(algorithm)
    table = tables(t)[0]
    data = packed_table.pack(t, table)
    places, found = packed_table.unpack_untrusted(t, 0, data, scored=False)
    kind = np.float32 if algorithm == "gbdt" else np.float64
    assert np.array_equal(found.features, table.features.astype(kind))
    assert np.array_equal(found.label, table.label)
    assert (found.columns, found.weights, found.keys) == (table.columns, None, [])
    assert [bytes(place) for place in places] == places_in_order(table.keys, t.seed)
    assert not any(key in data for key in table.keys)
    assert len(data) <= packed_table.most_bytes(t, 0)


def test_more_rows_than_the_contract_allows_do_not_leave():
    with pytest.raises(DataError, match="has 430 rows, the contract allows 429"):
        packed_table.pack(terms(max_rows=429), tables(T)[0])


@pytest.mark.parametrize("length", [0, 3, 4, 10, 80, len(PACKED) - 1])
def test_a_table_that_is_cut_off_is_refused(length):
    with pytest.raises(PeerMisbehaved):
        packed_table.unpack_untrusted(T, 0, PACKED[:length], scored=False)


def test_a_longer_table_and_another_partys_are_refused():
    for rank, data in ((0, PACKED + b"\0"), (1, PACKED)):
        with pytest.raises(PeerMisbehaved):
            packed_table.unpack_untrusted(T, rank, data, scored=False)
    with pytest.raises(PeerMisbehaved, match="bank sent a table of other columns"):
        packed_table.unpack_untrusted(T, 0, PACKED, scored=True)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(PACKED) - 1), st.integers(1, 255))
def test_a_changed_byte_changes_a_number_or_is_refused(at, by):
    changed = bytearray(PACKED)
    changed[at] ^= by
    try:
        places, table = packed_table.unpack_untrusted(T, 0, bytes(changed), scored=False)
    except (PeerMisbehaved, DataError):
        return
    numbers = b"".join(each.tobytes() for each in (places, table.features, table.label))
    assert sum(a != b for a, b in zip(numbers, PACKED[-len(numbers) :], strict=True)) == 1


def test_categories_that_were_not_named_are_refused():
    t = terms(categorical=(("bank_1",), ()))
    table = tables(t, rows=20, own=3)[0]
    for value in (2.0, -1.0, 0.5):
        features = np.zeros_like(table.features)
        features[3, 1] = value
        packed = packed_table.pack(
            t, type(table)(table.keys, features, table.columns, table.label, {"bank_1": ("a", "b")})
        )
        with pytest.raises(PeerMisbehaved, match="bank sent categories in 'bank_1' that it did not name"):
            packed_table.unpack_untrusted(t, 0, packed, scored=False)


def test_weights_are_numbers_from_0_to_the_most():
    t = terms(weighted=True)
    table = replace(tables(t, rows=20, own=3)[0], weights=np.linspace(0, MOST_WEIGHT, 23))
    found = packed_table.unpack_untrusted(t, 0, packed_table.pack(t, table), scored=False)[1]
    assert np.array_equal(found.weights, table.weights)
    for value in (-1e-9, np.nextafter(MOST_WEIGHT, np.inf), np.inf, np.nan):
        wrong = replace(table, weights=np.append(table.weights[1:], value))
        with pytest.raises(PeerMisbehaved, match="bank sent weights that are not from 0 to"):
            packed_table.unpack_untrusted(t, 0, packed_table.pack(t, wrong), scored=False)


def places(*ends):
    """Places that are alike in their first eight bytes, and end so."""
    return np.array([b"p" * 8 + bytes([end]) * 8 for end in ends]).view("V16")


def test_places_that_begin_alike_are_told_apart():
    found = packed_table.common([places(9, 3, 7, 5), places(5, 7, 4, 9), places(7, 1, 9, 5)], ("a", "b", "c"))
    assert [own.tolist() for own in found] == [[3, 2, 0], [0, 1, 3], [3, 0, 2]]
    with pytest.raises(PeerMisbehaved, match="b sent a key twice"):
        packed_table.common([places(1, 2), places(2, 1, 2)], ("a", "b"))


def test_both_ways_of_finding_them_find_the_same():
    """By eight bytes where these tell all of a party's rows apart, else by sixteen."""
    rng = np.random.default_rng(5)
    for turn in range(60):
        pool = rng.integers(0, 4, size=(40, 16), dtype=np.uint8)
        pool[:, :8] = rng.integers(0, 2 + 254 * (turn % 2), size=(40, 8))
        pool = np.unique(pool, axis=0)
        some = [rng.permutation(pool)[: rng.integers(0, len(pool) + 1)] for _ in range(2 + turn % 3)]
        given = [np.frombuffer(each.tobytes(), dtype="V16") for each in some]
        found, slowly = packed_table.common(given, tuple("abcd")), packed_table._by_all_bytes(given, tuple("abcd"))
        assert all(np.array_equal(one, other) for one, other in zip(found, slowly, strict=True))


def test_who_ends_otherwise_is_somebody_else():
    here, there = (np.frombuffer(b"p" * 8 + end * 8, dtype="V16") for end in (b"x", b"y"))
    assert [own.tolist() for own in packed_table.common([here, there], ("a", "b"))] == [[], []]


def test_common_rows_are_found_in_one_order():
    t = terms(n=3)
    data = tables(t)
    places = [
        packed_table.unpack_untrusted(t, r, packed_table.pack(t, table), scored=False)[0]
        for r, table in enumerate(data)
    ]
    found = packed_table.common(places, t.names)
    keys = [[data[rank].keys[row] for row in own] for rank, own in enumerate(found)]
    assert keys[0] == keys[1] == keys[2]
    assert set(keys[0]) == set.intersection(*(set(table.keys) for table in data))
    nobody = packed_table.unpack_untrusted(t, 1, packed_table.pack(t, tables(t, rows=0, own=1)[1]), scored=False)[0][:0]
    assert [len(own) for own in packed_table.common([places[0], nobody, places[2]], t.names)] == [0, 0, 0]


ANSWER = EnclaveAnswer(
    np.array([4, 0, 2]),
    1,
    np.array([0.25]),
    {"auc": 0.7, "ks": 0.4, "accuracy": 0.8, "log_loss": 0.5},
    {"age": 1.5},
    {"bank": {"bank_0": Importance(2, 1.5, 3.0)}},
    (0.5, 0.4),
    b"closed",
)


def test_an_answer_survives():
    again = EnclaveAnswer.decode_untrusted(ANSWER.encode(), T, 5)
    assert again.rows.tolist() == [4, 0, 2]
    assert again.scores.tolist() == [0.25]
    for name in ("test_rows", "metrics", "opened", "importance", "history", "closed"):
        assert getattr(again, name) == getattr(ANSWER, name)


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": np.array([5, 0, 2])},
        {"rows": np.array([-1, 0, 2])},
        {"rows": np.array([0, 0, 2])},
        {"test_rows": 4},
        {"scores": np.array([0.25, 0.5])},
        {"metrics": {"auc": 0.7}},
    ],
)
def test_an_answer_that_does_not_fit_the_table_is_refused(changes):
    values = {name: getattr(ANSWER, name) for name in EnclaveAnswer.__slots__} | changes
    with pytest.raises(PeerMisbehaved):
        EnclaveAnswer.decode_untrusted(EnclaveAnswer(**values).encode(), T, 5)


def test_scores_of_classes_have_a_column_each():
    t = terms(params={**GBDT, "objective": "multi:softprob", "num_class": 3})
    answer = EnclaveAnswer(np.array([1, 0]), scores=np.arange(6.0).reshape(2, 3))
    assert EnclaveAnswer.decode_untrusted(answer.encode(), t, 2).scores.shape == (2, 3)
    with pytest.raises(PeerMisbehaved):
        EnclaveAnswer.decode_untrusted(EnclaveAnswer(np.array([1, 0]), scores=np.arange(5.0)).encode(), t, 2)
