"""Canonical msgpack: one value, one byte string; everything else is refused by one error."""

import math

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.protocols.errors import PeerMisbehaved, ProtocolError
from hansa.protocols.wire import canonical, limits

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.binary(max_size=20)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=4)
    ),
    max_leaves=10,
)


def depth(value):
    if isinstance(value, (list, dict)):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max((depth(item) for item in inner), default=0)
    return 1


def nested(levels):
    value = []
    for _ in range(levels - 1):
        value = [value]
    return value


@settings(deadline=None)
@given(VALUES)
def test_what_is_encoded_decodes_to_itself(value):
    if depth(value) > canonical.MAX_DEPTH:
        with pytest.raises(ProtocolError, match="nested too deeply"):
            canonical.encode(value)
        return
    data = canonical.encode(value)
    assert canonical.decode_untrusted(data, len(data)) == value
    assert canonical.encode(canonical.decode_untrusted(data, len(data))) == data


@settings(deadline=None)
@given(VALUES.filter(lambda value: depth(value) <= canonical.MAX_DEPTH), st.binary(min_size=1, max_size=3))
def test_a_prefix_or_trailing_junk_is_refused(value, junk):
    data = canonical.encode(value)
    for cut in range(len(data)):
        with pytest.raises(PeerMisbehaved, match="a peer sent"):
            canonical.decode_untrusted(data[:cut], 1000)
    with pytest.raises(PeerMisbehaved, match="a peer sent"):
        canonical.decode_untrusted(data + junk, 1 << 20)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=64))
def test_any_bytes_decode_canonically_or_are_refused(data):
    try:
        value = canonical.decode_untrusted(data, 64)
    except PeerMisbehaved:
        return
    assert canonical.encode(value) == data


def test_the_order_of_a_map_does_not_show():
    assert canonical.encode({"b": 1, "a": {"d": 2, "c": 3}}) == canonical.encode({"a": {"c": 3, "d": 2}, "b": 1})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",  # never used by msgpack
        b"\x82\xa1b\x01\xa1a\x01",  # keys out of order
        b"\x82\xa1a\x01\xa1a\x01",  # a key twice
        b"\x81\x01\x01",  # a key that is a number
        b"\x81\xc4\x01a\x01",  # a key that is bytes
        b"\xcc\x01",  # 1 in two bytes
        b"\xd9\x01a",  # a short text in the long form
        b"\xca\x00\x00\x00\x00",  # a float of 32 bits
        msgpack.packb(math.nan),
        msgpack.packb(math.inf),
        b"\xd4\x05x",  # an extension
        b"\xd6\xff\x00\x00\x00\x00",  # a timestamp
        b"\xd5\xff\x00\x00",  # half a timestamp
        b"\xa1\xff",  # not UTF-8
        b"\xa3\xed\xa0\x80",  # half a surrogate pair
        b"\xdd\xff\xff\xff\xff",  # a list of 2^32 - 1, without any
        b"\xc6\xff\xff\xff\xff",  # 4 GiB, without any
        b"\x91" * 5000 + b"\xc0",
    ],
)
def test_what_has_another_form_is_refused(data):
    with pytest.raises(PeerMisbehaved, match="a peer sent"):
        canonical.decode_untrusted(data, 1 << 20)


def test_each_limit_holds_and_one_more_does_not():
    data = canonical.encode("x" * 100)
    assert canonical.decode_untrusted(data, len(data)) == "x" * 100
    with pytest.raises(PeerMisbehaved, match=f"{len(data)} bytes where at most {len(data) - 1}"):
        canonical.decode_untrusted(data, len(data) - 1)

    deepest = nested(canonical.MAX_DEPTH)
    assert canonical.decode_untrusted(msgpack.packb(deepest), 100) == deepest
    with pytest.raises(PeerMisbehaved, match="nested too deeply"):
        canonical.decode_untrusted(msgpack.packb([deepest]), 100)
    with pytest.raises(ProtocolError, match="nested too deeply"):
        canonical.encode([deepest])


def test_values_are_counted_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr(limits, "CANONICAL_MAX_VALUES", 8)
    assert canonical.decode_untrusted(canonical.encode([1, {"a": 2, "b": 3}, 4]), 100) == [1, {"a": 2, "b": 3}, 4]
    for value in ([1, {"a": 2, "b": 3}, 4, 5, 6], [0] * 8, [{}] * 4, [[]] * 4):
        with pytest.raises(PeerMisbehaved, match="more values than one message may hold"):
            canonical.decode_untrusted(canonical.encode(value), 100)


@pytest.mark.parametrize("value", [object(), {1: 2}, {b"a": 1}, 1 << 64, -(1 << 63) - 1, math.nan, -math.inf, {1}])
def test_what_has_no_canonical_form_is_not_encoded(value):
    with pytest.raises(ProtocolError, match="no canonical form"):
        canonical.encode([value])


def test_text_that_is_not_unicode_is_not_encoded():
    with pytest.raises(ProtocolError, match="not Unicode"):
        canonical.encode("file-\udcff.csv")


def test_tuples_and_buffers_are_lists_and_bytes():
    assert canonical.encode((1, memoryview(b"a"), bytearray(b"b"))) == canonical.encode([1, b"a", b"b"])
    assert canonical.decode_untrusted(memoryview(canonical.encode(b"a")), 10) == b"a"
