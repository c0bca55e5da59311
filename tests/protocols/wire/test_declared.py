"""Classes that declare beside each field how it is read: one map each way, older versions without later fields."""

from dataclasses import FrozenInstanceError

import pytest

from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.wire.declared import (
    bit,
    blobs,
    declared,
    number,
    octets,
    optional_part,
    parts,
    plain,
    printable,
    read_untrusted,
    real,
)


@declared()
class Leg:
    """A part with a field of version 2."""

    length: float = real(0.0, 9.0)
    shoe: str = printable(5, since=2, default="none")


@declared()
class Animal:
    """All that a field can be: a list of parts, a part or None, what is written otherwise than kept."""

    name: str = printable(5, 1)
    legs: tuple[Leg, ...] = parts(Leg, "a leg", 2)
    tail: Leg | None = optional_part(Leg, "a tail", since=2, default=None)
    tame: bool = bit(default=False)
    marks: tuple[bytes, ...] = blobs(2, 3, default=())
    chip: bytes = octets(2, default=b"00", repr=False)


CAT = Animal("cat", (Leg(1), Leg(2.5, "boot")), Leg(0.0), True, (b"a", b"bcd"))


def test_one_map_each_way():
    said = plain(CAT)
    assert said == {
        "name": "cat",
        "legs": [{"length": 1.0, "shoe": "none"}, {"length": 2.5, "shoe": "boot"}],
        "tail": {"length": 0.0, "shoe": "none"},
        "tame": 1,
        "marks": [b"a", b"bcd"],
        "chip": b"00",
    }
    assert type(said["legs"][0]["length"]) is float
    assert type(said["tame"]) is int
    assert read_untrusted(Animal, said, "an animal") == CAT


def test_an_older_version_has_no_later_field_at_any_depth():
    said = plain(CAT, 1)
    assert "tail" not in said
    assert said["legs"] == [{"length": 1.0}, {"length": 2.5}]
    old = read_untrusted(Animal, said, "an animal", 1)
    assert (old.tail, old.legs) == (None, (Leg(1.0), Leg(2.5)))
    with pytest.raises(PeerMisbehaved, match="a leg from a peer has unknown fields: shoe"):
        read_untrusted(Animal, said | {"legs": plain(CAT)["legs"]}, "an animal", 1)
    with pytest.raises(PeerMisbehaved, match="a leg from a peer lacks 'shoe'"):
        read_untrusted(Animal, plain(CAT) | {"legs": said["legs"]}, "an animal", 2)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": ""}, "an animal from a peer has no valid 'name'"),
        ({"legs": [{"length": 1.0, "shoe": "none"}] * 3}, "no valid 'legs'"),
        ({"legs": [{"length": 9.1, "shoe": "none"}]}, "a leg from a peer has no valid 'length'"),
        ({"legs": [7]}, "a leg from a peer is not a map"),
        ({"tail": {}}, "a tail from a peer lacks 'length'"),
        ({"tame": 2}, "no valid 'tame'"),
        ({"tame": True}, "no valid 'tame'"),
        ({"marks": [b"abcd"]}, "no valid 'marks'"),
        ({"marks": [b"", b"", b""]}, "no valid 'marks'"),
        ({"wings": 2}, "unknown fields: wings"),
    ],
)
def test_what_does_not_fit_is_named(change, why):
    with pytest.raises(PeerMisbehaved, match=why):
        read_untrusted(Animal, plain(CAT) | change, "an animal")


def test_it_is_a_frozen_dataclass_that_hides_what_it_should():
    with pytest.raises(FrozenInstanceError):
        CAT.name = "dog"
    with pytest.raises(TypeError, match="legs"):
        Animal("cat")
    assert "chip" not in repr(CAT)
    assert not hasattr(CAT, "__dict__")
    assert hasattr(
        declared(slots=False)(type("Loose", (), {"__annotations__": {"n": int}, "n": number(1)}))(1), "__dict__"
    )
