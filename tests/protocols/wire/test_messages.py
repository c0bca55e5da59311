"""Control messages: a closed vocabulary; any other bytes end in our errors, any field one beyond its bound too."""

from contextlib import suppress
from dataclasses import fields, replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansa.config.errors import HansaError
from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire import canonical, limits, messages
from hansa.protocols.wire.chain import AuditHead
from hansa.protocols.wire.consent.statements import End, Equivocation, Offer, ResumeOffer
from hansa.protocols.wire.messages import (
    AttestReply,
    AttestRequest,
    CatalogReply,
    CatalogRequest,
    DatasetInfo,
    Failed,
    Heads,
    HeadsRequest,
    Hello,
    JobDone,
    KeysReply,
    KeysRequest,
    Probe,
    ProbeResult,
    ProgressNote,
    Records,
    Sealed,
    Votes,
)

ID = b"j" * 32
COUNTER = (1 << 63) - 1
DATASET = DatasetInfo("clients", ID, (("age", "number"), ("city", "text")), ("id",), None)


@pytest.fixture(scope="module")
def samples(trio_of):
    """One message of every type."""
    contract = trio_of.contract()
    signatures = [trio_of.sign(rank, contract) for rank in range(3)]
    rival = trio_of.sign(0, trio_of.contract(name="another"))
    found = [
        Hello("bank", "0.1", 7, ("a:1",), "tsm"),
        Records((b"one", b"two")),
        Offer(contract.encode(), tuple(signatures)),
        End.make(trio_of.signing_keys[0], trio_of.identities[0], ID, "refused", "not this purpose"),
        Equivocation(signatures[0], rival),
        ResumeOffer(signatures[1], (0, 1, 2)),
        ProgressNote(ID, 0, "train", 1, 2, 3, 4, 5),
        Failed(ID, 0, 10, ID, "train", b"error"),
        JobDone(ID, 0, ID),
        AuditHead(ID, 1, ID, bytes(64)),
        HeadsRequest(1),
        Heads(1, (AuditHead(ID, 1, ID, bytes(64)),)),
        CatalogRequest(1),
        CatalogReply(1, (DATASET, replace(DATASET, label="default"))),
        Probe(1, ID),
        ProbeResult(1, ID, True, 250, "ok"),
        AttestRequest(1, bytes(32), "dealer", bytes(40)),
        AttestReply(1, b"proof", "", b""),
        Sealed(bytes(40)),
        KeysRequest(ID, bytes(8)),
        KeysReply(b"keys", True),
        Votes((b"vote",)),
    ]
    return {messages.tag_of(message): message for message in found}


NAMES = sorted(messages.TAGS)


def test_every_message_has_one_tag():
    assert sorted(messages.TAGS.values(), key=str) == sorted(get_args(messages.Message), key=str)


def test_there_is_a_sample_of_every_type(samples):
    assert sorted(samples) == NAMES


def body(message):
    return canonical.decode_untrusted(messages.encode(message), limits.CONTROL_MAX_BYTES)["body"]


def sent(message, **changes):
    """Its bytes with fields replaced; ``...`` takes one out."""
    value = {name: new for name, new in (body(message) | changes).items() if new is not ...}
    return canonical.encode({"type": messages.tag_of(message), "body": value})


@pytest.mark.parametrize("name", NAMES)
def test_it_survives_the_wire(samples, name):
    message = samples[name]
    again = messages.decode_untrusted(memoryview(messages.encode(message)))
    assert again == message
    assert type(again) is type(message)


@pytest.mark.parametrize("name", NAMES)
def test_every_field_must_be_there_and_no_other(samples, name):
    message = samples[name]
    for field in fields(message):
        with pytest.raises(PeerMisbehaved, match=f"lacks '{field.name}'"):
            messages.decode_untrusted(sent(message, **{field.name: ...}))
    with pytest.raises(PeerMisbehaved, match="unknown fields: extra"):
        messages.decode_untrusted(sent(message, extra=1))


@pytest.mark.parametrize("name", NAMES)
def test_a_field_of_a_wrong_type_is_refused(samples, name):
    message = samples[name]
    for field in fields(message):
        for wrong in (1.5, [[]], {"a": 1}, "\x00", b"", -1, COUNTER + 1, True):
            if (
                isinstance(getattr(message, field.name), bytes)
                and wrong == b""
                and name in {"Offer", "Failed", "AttestReply", "AttestRequest", "JobKeys", "KeysRequest", "Sealed"}
            ):
                continue  # bytes of any length, read further on
            with pytest.raises(PeerMisbehaved, match="from a peer"):
                messages.decode_untrusted(sent(message, **{field.name: wrong}))


@pytest.mark.parametrize("name", NAMES)
def test_every_prefix_and_trailing_junk_is_refused(samples, name):
    data = messages.encode(samples[name])
    for cut in range(0, len(data), max(1, len(data) // 100)):
        with pytest.raises(PeerMisbehaved, match="a peer sent"):
            messages.decode_untrusted(data[:cut])
    with pytest.raises(PeerMisbehaved, match="a peer sent"):
        messages.decode_untrusted(data + b"\xc0")


TEXT, NAME = limits.TEXT_MAX, limits.NAME_MAX


@pytest.mark.parametrize(
    ("name", "field", "most", "too_much"),
    [
        ("Hello", "name", "n" * NAME, "n" * (NAME + 1)),
        ("Hello", "name", "n", ""),
        ("Hello", "version", "v" * 32, "v" * 33),
        ("Hello", "clock", 1 << 40, (1 << 40) + 1),
        ("Hello", "addresses", ["a" * 300] * 8, ["a" * 301]),
        ("Hello", "addresses", ["a"] * limits.RECORD_MAX_ADDRESSES, ["a"] * (limits.RECORD_MAX_ADDRESSES + 1)),
        ("Records", "records", [b"r"] * limits.MAX_RECORDS, [b"r"] * (limits.MAX_RECORDS + 1)),
        ("Records", "records", [b"r" * limits.RECORD_MAX_BYTES], [b"r" * (limits.RECORD_MAX_BYTES + 1)]),
        ("Offer", "contract", b"c" * limits.CONTRACT_MAX_BYTES, b"c" * (limits.CONTRACT_MAX_BYTES + 1)),
        ("End", "reason", "r" * TEXT, "r" * (TEXT + 1)),
        ("End", "sig", bytes(64), bytes(65)),
        ("ResumeOffer", "checkpoints", [1] * limits.MAX_CHECKPOINTS, [1] * (limits.MAX_CHECKPOINTS + 1)),
        ("ResumeOffer", "checkpoints", [limits.MAX_ATTEMPT], [limits.MAX_ATTEMPT + 1]),
        ("Progress", "attempt", limits.MAX_ATTEMPT, limits.MAX_ATTEMPT + 1),
        ("Progress", "step", "s" * NAME, "s" * (NAME + 1)),
        ("Progress", "bytes_sent", COUNTER, COUNTER + 1),
        ("Progress", "job_id", ID, ID[1:]),
        ("Failed", "priority", 100, 101),
        ("Failed", "error", b"e" * 16384, b"e" * 16385),
        ("Failed", "culprit", None, ID + b"x"),
        ("JobDone", "digest", ID, ID + b"x"),
        ("AuditHead", "seq", COUNTER, COUNTER + 1),
        ("ProbeResult", "ok", 1, 2),
        ("ProbeResult", "detail", "d" * TEXT, "d" * (TEXT + 1)),
    ],
)
def test_each_bound_holds_and_one_more_does_not(samples, name, field, most, too_much):
    messages.decode_untrusted(sent(samples[name], **{field: most}))
    with pytest.raises(PeerMisbehaved, match=r"from a peer has no valid '.+'"):
        messages.decode_untrusted(sent(samples[name], **{field: too_much}))


@pytest.mark.parametrize(
    ("name", "field", "bound"),
    [
        ("Offer", "signatures", limits.CONTRACT_MAX_MEMBERS),
        ("Heads", "heads", limits.MAX_HEADS),
        ("Catalog", "datasets", limits.CATALOG_MAX_DATASETS),
    ],
)
def test_each_list_is_bounded(samples, name, field, bound):
    item = body(samples[name])[field][0]
    messages.decode_untrusted(sent(samples[name], **{field: [item] * bound}))
    with pytest.raises(PeerMisbehaved, match=f"'{field}'"):
        messages.decode_untrusted(sent(samples[name], **{field: [item] * (bound + 1)}))


@pytest.mark.parametrize(
    ("field", "most", "too_much"),
    [
        ("name", "n" * NAME, "n" * (NAME + 1)),
        ("columns", [["c" * 4 * NAME, "text"]], [["c" * (4 * NAME + 1), "text"]]),
        ("columns", [["c", "text"]] * limits.CONTRACT_MAX_COLUMNS, [["c", "text"]] * (limits.CONTRACT_MAX_COLUMNS + 1)),
        ("columns", [], [["c"]]),
        ("columns", [["c", "number"]], [["c", "code"]]),
        ("columns", [["c", "number"]], [{"c": "number"}]),
        ("key", ["k"] * 16, ["k"] * 17),
        ("label", "l" * 4 * NAME, "l" * (4 * NAME + 1)),
        ("label", None, ""),
    ],
)
def test_a_dataset_is_bounded(samples, field, most, too_much):
    plain = body(samples["Catalog"])["datasets"][0]
    messages.decode_untrusted(sent(samples["Catalog"], datasets=[plain | {field: most}]))
    with pytest.raises(PeerMisbehaved, match="from a peer"):
        messages.decode_untrusted(sent(samples["Catalog"], datasets=[plain | {field: too_much}]))


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"type": "Hello"},
        {"type": "Execute", "body": {}},
        {"type": "__class__", "body": {}},
        {"type": ["Hello"], "body": {}},
        {"type": "DatasetInfo", "body": {}},  # a part of a message is none
        {"type": "Signature", "body": {}},
        {"type": "Hello", "body": []},
        {"type": "HeadsRequest", "body": {"request": 1}, "more": 1},
    ],
)
def test_what_is_no_message_is_refused(value):
    with pytest.raises(PeerMisbehaved, match="message"):
        messages.decode_untrusted(canonical.encode(value))


def test_too_large_a_message_is_not_looked_at():
    with pytest.raises(PeerMisbehaved, match=f"at most {limits.CONTROL_MAX_BYTES}"):
        messages.decode_untrusted(bytes(limits.CONTROL_MAX_BYTES + 1))


def test_a_forged_signature_inside_is_a_security_error(samples):
    for name, field in (("Evidence", "second"), ("ResumeOffer", "signature")):
        forged = body(samples[name])[field] | {"sig": bytes(64)}
        with pytest.raises(SecurityError, match="does not verify"):
            messages.decode_untrusted(sent(samples[name], **{field: forged}))
    signatures = body(samples["Offer"])["signatures"]
    signatures[1]["job_key"] = bytes(32)
    with pytest.raises(SecurityError, match="does not verify"):
        messages.decode_untrusted(sent(samples["Offer"], signatures=signatures))


def test_an_end_is_its_makers_and_says_printable_words(trio_of):
    end = End.make(trio_of.signing_keys[1], trio_of.identities[1], ID, "refused", "no\x1b[31m\u202e" + "x" * 600)
    assert end.reason == ("no [31m " + "x" * 600)[:TEXT]
    end.verify()
    messages.decode_untrusted(messages.encode(end))
    for change in ({"kind": "cancelled"}, {"reason": "yes"}, {"job_id": bytes(32)}, {"identity": trio_of.stranger}):
        with pytest.raises(SecurityError, match="does not verify"):
            replace(end, **change).verify()


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_misbehaviour(data):
    try:
        message = messages.decode_untrusted(data)
    except PeerMisbehaved:
        return
    assert messages.encode(message) == data


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.binary(max_size=40) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(NAMES), st.data())
def test_any_value_in_any_place_ends_in_our_errors(samples, name, data):
    value = {"body": body(samples[name])}
    where, step = value, "body"
    while isinstance(where[step], (dict, list)) and where[step] and data.draw(st.integers(0, 3)):
        where = where[step]
        step = data.draw(st.sampled_from(sorted(where) if isinstance(where, dict) else list(range(len(where)))))
    where[step] = data.draw(JUNK)
    try:
        raw = canonical.encode({"type": name, **value})
        message = messages.decode_untrusted(raw)
    except HansaError:
        return
    assert messages.tag_of(message) == name


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(NAMES), st.data())
def test_any_flipped_byte_ends_in_our_errors(samples, name, data):
    raw = bytearray(messages.encode(samples[name]))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(HansaError):
        messages.decode_untrusted(bytes(raw))


@pytest.mark.parametrize(
    ("name", "field", "most"),
    [
        ("KeysRequest", "after", 32),
        ("KeysRequest", "held", limits.KEY_DIGEST_BYTES * limits.KEYS_HELD_MAX),
        ("AttestRequest", "mark", limits.EPOCH_TOKEN_BYTES * limits.EPOCH_LINEAGES_MAX),
        ("AttestReply", "mark", limits.EPOCH_TOKEN_BYTES),
        ("Sealed", "mark", limits.EPOCH_TOKEN_BYTES),
    ],
)
def test_one_byte_more_than_enclaves_and_members_say_is_refused(samples, name, field, most):
    message = samples[name]
    assert getattr(messages.decode_untrusted(sent(message, **{field: bytes(most)})), field) == bytes(most)
    with pytest.raises(PeerMisbehaved, match=f"no valid '{field}'"):
        messages.decode_untrusted(sent(message, **{field: bytes(most + 1)}))


def test_one_vote_more_than_a_message_holds_is_refused(samples):
    votes = [b"v"] * limits.VOTES_MAX
    assert len(messages.decode_untrusted(sent(samples["Votes"], votes=votes)).votes) == limits.VOTES_MAX
    with pytest.raises(PeerMisbehaved, match="no valid 'votes'"):
        messages.decode_untrusted(sent(samples["Votes"], votes=[*votes, b"v"]))
