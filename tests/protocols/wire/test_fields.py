"""Reading a map that a peer may have made up: each reader names the field, and nothing is left over."""

import pytest

from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.wire.fields import Fields


def of(value):
    return Fields({"x": value}, "a thing")


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (lambda f: f.text("x", 3), ["", "abc", "äöü"], ["abcd", b"abc", None, 1, "a\n", "\x7f", "\u2028", "\u202e"]),
        (lambda f: f.text("x", 3, least=1), ["a"], [""]),
        (lambda f: f.optional_text("x", 3), [None, "a"], ["", "abcd", 0]),
        (lambda f: f.choice("x", "a", "b"), ["a", "b"], ["c", b"a", None, ["a"], {"a": 1}]),
        (lambda f: f.number("x", -1, 3), [-1, 0, 3], [-2, 4, 1.0, True, "1", None]),
        (lambda f: f.real("x", 0, 1), [0, 1, 0.5], [-0.1, 1.1, float("nan"), float("inf"), True, "0"]),
        (lambda f: f.flag("x"), [True, False], [0, 1, "true", None, [True]]),
        (lambda f: f.octets("x", 2), [b"ab"], [b"a", b"abc", "ab", None]),
        (lambda f: f.optional_octets("x", 2), [None, b"ab"], [b"", "ab", 0]),
        (lambda f: f.blob("x", 2), [b"", b"ab"], [b"abc", "a", None]),
        (lambda f: f.texts("x", 2, 1), [[], ["a", "b"]], [["a"] * 3, ["ab"], [""], [1], "a", None]),
        (lambda f: f.integers("x", 2, 5), [[], [0, 5]], [[1] * 3, [6], [-1], [True], 1]),
        (lambda f: f.map("x"), [{}, {"a": 1}], [[], None, "a"]),
    ],
)
def test_a_reader_takes_what_fits_and_names_what_does_not(read, good, bad):
    for value in good:
        fields = of(value)
        found = read(fields)
        assert (list(found) if isinstance(found, tuple) else found) == value
        fields.end()
    for value in bad:
        with pytest.raises(PeerMisbehaved, match=r"a thing from a peer has .*'x'"):
            read(of(value))


def test_absent_unread_and_twice_read_fields_are_refused():
    with pytest.raises(PeerMisbehaved, match="a thing from a peer lacks 'y'"):
        of(1).number("y", 0, 1)
    with pytest.raises(PeerMisbehaved, match="lacks 'y'"):
        of(1).optional_text("y", 1)
    with pytest.raises(PeerMisbehaved, match="unknown fields: x"):
        of(1).end()
    fields = of(1)
    fields.number("x", 0, 1)
    with pytest.raises(PeerMisbehaved, match="lacks 'x'"):
        fields.number("x", 0, 1)


@pytest.mark.parametrize("value", [None, [], "x", 1, b""])
def test_what_is_no_map_is_refused(value):
    with pytest.raises(PeerMisbehaved, match="a thing from a peer is not a map"):
        Fields(value, "a thing")


def test_a_field_may_be_looked_for():
    fields = of(1)
    assert fields.has("x")
    assert not fields.has("y")
    fields.number("x", 0, 1)
    assert not fields.has("x")


def test_reading_leaves_the_callers_map_alone():
    value = {"x": 1}
    Fields(value, "a thing").number("x", 0, 1)
    assert value == {"x": 1}


def test_names_that_nobody_knows_are_told_without_their_control_characters():
    fields = Fields({"a\n\x1b[2J": 1}, "a thing")
    with pytest.raises(PeerMisbehaved) as caught:
        fields.end()
    assert caught.value.message.isprintable()
