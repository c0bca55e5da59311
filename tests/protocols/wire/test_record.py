"""Peer records: signed by their subject, bounded, the highest sequence counts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.config.errors import HansaError
from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire import canonical, limits, signing
from hansa.protocols.wire.record import PeerRecord, newer, split_address, valid_name

STATIC = b"s" * 32


def make(trio_of, sequence=5, *, rank=0, name="bank", addresses=("bank.example:7400",)):
    return PeerRecord.make(trio_of.signing_keys[rank], trio_of.identities[rank], STATIC, name, addresses, sequence)


def signed_as_is(trio_of, **changes):
    """A record whose signature is right whatever the fields hold."""
    fields = {
        "identity": trio_of.identities[0],
        "static_key": STATIC,
        "name": "bank",
        "addresses": ["bank.example:7400"],
        "sequence": 5,
    } | changes
    signed = [fields[name] for name in ("static_key", "name", "addresses", "sequence")]
    sig = signing.sign(trio_of.signing_keys[0], "peer-record", canonical.encode(signed))
    return canonical.encode({"sig": sig, **fields})


def test_it_survives_the_wire(trio_of):
    record = make(trio_of, addresses=("bank.example:7400", "[2001:db8::1]:7400", "10.0.0.1:1"))
    assert PeerRecord.decode_untrusted(record.encode()) == record
    assert PeerRecord.decode_untrusted(signed_as_is(trio_of)) == make(trio_of)


@pytest.mark.parametrize(
    ("field", "most", "too_much"),
    [
        ("name", "n" * 64, "n" * 65),
        ("addresses", ["a:1"] * limits.RECORD_MAX_ADDRESSES, ["a:1"] * (limits.RECORD_MAX_ADDRESSES + 1)),
        ("addresses", ["h" * 253 + ":65535"], ["h" * 254 + ":65535"]),
        ("addresses", [], None),
        ("sequence", 1 << 62, (1 << 62) + 1),
        ("sequence", 1, 0),
        ("static_key", STATIC, STATIC + b"s"),
    ],
)
def test_each_bound_holds_and_one_more_does_not(trio_of, field, most, too_much):
    PeerRecord.decode_untrusted(signed_as_is(trio_of, **{field: most}))
    with pytest.raises(PeerMisbehaved, match="a peer record from a peer"):
        PeerRecord.decode_untrusted(signed_as_is(trio_of, **{field: too_much}))


@pytest.mark.parametrize(
    "address", [b"a:1", 7, None, ["a:1"], "a", "a:", ":1", "a:0", "a:65536", "a:080", "a b:1", "a:1\n"]
)
def test_what_is_no_address_is_refused(trio_of, address):
    with pytest.raises(PeerMisbehaved, match="bad address"):
        PeerRecord.decode_untrusted(signed_as_is(trio_of, addresses=[address]))


@pytest.mark.parametrize("name", ["", "-x", "a b", "bänk", "a/b", "a\n"])
def test_what_is_no_name_is_refused(trio_of, name):
    assert not valid_name(name)
    with pytest.raises(PeerMisbehaved, match="name"):
        PeerRecord.decode_untrusted(signed_as_is(trio_of, name=name))


def test_too_large_a_record_is_not_looked_at():
    with pytest.raises(PeerMisbehaved, match="bytes where at most 4096"):
        PeerRecord.decode_untrusted(bytes(limits.RECORD_MAX_BYTES + 1))


@pytest.mark.parametrize(
    "change", [{"name": "bonk"}, {"sequence": 6}, {"addresses": ["evil.example:7400"]}, {"static_key": b"t" * 32}]
)
def test_nobody_else_can_change_it(trio_of, change):
    value = canonical.decode_untrusted(make(trio_of).encode(), 4096) | change
    with pytest.raises(SecurityError, match="peer-record"):
        PeerRecord.decode_untrusted(canonical.encode(value))


def test_a_record_written_by_hand_is_read_from_our_store_only(trio_of):
    record = PeerRecord.by_hand(trio_of.identities[0], STATIC, "bank", "bank.example:7400")
    assert PeerRecord.decode_pinned(record.encode()) == record
    with pytest.raises(PeerMisbehaved, match="written by hand"):
        PeerRecord.decode_untrusted(record.encode())
    assert newer(record, make(trio_of, 1))


def test_the_higher_sequence_counts(trio_of):
    old, new = make(trio_of, 5), make(trio_of, 6, addresses=("moved.example:7400",))
    assert newer(None, old)
    assert newer(old, new)
    assert not newer(new, old)
    assert not newer(old, make(trio_of, 5))


def test_two_records_with_one_sequence_are_reported(trio_of):
    with pytest.raises(PeerMisbehaved, match="bank signed two different records with sequence 5"):
        newer(make(trio_of), make(trio_of, addresses=("elsewhere.example:1",)))


@pytest.mark.parametrize(
    ("address", "parts"),
    [("a:1", ("a", 1)), ("127.0.0.1:65535", ("127.0.0.1", 65535)), ("[::1]:7400", ("::1", 7400))],
)
def test_addresses_are_split(address, parts):
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["::1:7400", "a:00001", "a:" + "9" * 5000, "a:١", "http://a:1", "a:+1", "-a:1"])
def test_a_bad_address_says_how_to_write_one(address):
    with pytest.raises(ValueError, match="write host:port") as caught:
        split_address(address)
    assert len(str(caught.value)) < 500


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_record_ends_in_our_errors(trio_of, data):
    raw = bytearray(make(trio_of).encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(raw), bytes(raw[: data.draw(st.integers(0, len(raw)))]), make(trio_of).encode() + b"\0"):
        with pytest.raises(HansaError, match=r"."):
            PeerRecord.decode_untrusted(damaged)
