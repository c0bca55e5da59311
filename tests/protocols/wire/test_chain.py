"""The audit chain: whoever edits, drops, swaps, adds or re-signs an entry is found, and told which."""

from dataclasses import replace

import pytest
from nacl.signing import SigningKey

from hansa.protocols.errors import SecurityError
from hansa.protocols.wire import chain

SIGNING_KEY = b"\x01" * 32
IDENTITY = bytes(SigningKey(SIGNING_KEY).verify_key)


def log(count, signing_key=SIGNING_KEY, kind="consent"):
    entries, previous = [], chain.GENESIS
    for seq in range(1, count + 1):
        entry = chain.append(previous, seq, 1000 * seq, kind, b"body %d" % seq, signing_key)
        entries.append(entry)
        previous = entry.hash
    return entries


def test_an_honest_log_verifies():
    entries = log(5)
    assert chain.verify_chain(entries, IDENTITY) == (5, entries[-1].hash)
    assert chain.verify_chain([], IDENTITY) == (0, chain.GENESIS)


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("body", b"another"),
        ("kind", "refusal"),
        ("time_ms", 7),
        ("seq", 9),
        ("hash", bytes(32)),
        ("sig", bytes(64)),
        ("body", "text, as an editor of the file leaves it"),
        ("body", None),
        ("time_ms", None),
        ("time_ms", 1 << 70),
        ("kind", object()),
        ("hash", None),
        ("hash", "00"),
        ("sig", None),
        ("sig", b""),
        ("seq", "1"),
    ],
)
def test_an_altered_entry_is_named(at, field, value):
    entries = log(5)
    entries[at] = replace(entries[at], **{field: value})
    with pytest.raises(SecurityError, match=f"altered at entry {at + 1}:"):
        chain.verify_chain(entries, IDENTITY)


def test_a_rewritten_entry_is_found_even_with_its_own_hash():
    entries = log(5)
    entries[2] = chain.append(entries[1].hash, 3, 3000, "consent", b"another", SIGNING_KEY)
    with pytest.raises(SecurityError, match="altered at entry 4:"):
        chain.verify_chain(entries, IDENTITY)


def test_dropped_swapped_and_repeated_entries_are_found():
    one, two, three, four = log(4)
    for entries, at in (
        ([two, three, four], 1),
        ([one, three, four], 2),
        ([one, three, two, four], 2),
        ([one, two, two, three], 3),
    ):
        with pytest.raises(SecurityError, match=f"altered at entry {at}:"):
            chain.verify_chain(entries, IDENTITY)


def test_a_number_left_out_is_found_though_its_owner_signed_around_it():
    one = chain.append(chain.GENESIS, 1, 1000, "consent", b"x", SIGNING_KEY)
    three = chain.append(one.hash, 3, 3000, "consent", b"x", SIGNING_KEY)
    with pytest.raises(SecurityError, match="altered at entry 2:"):
        chain.verify_chain([one, three], IDENTITY)


def test_another_nodes_log_is_not_ours():
    with pytest.raises(SecurityError, match="altered at entry 1:"):
        chain.verify_chain(log(2, signing_key=b"\x02" * 32), IDENTITY)


def test_a_shortened_log_verifies_alone_which_is_why_peers_keep_heads():
    entries = log(5)
    head = chain.head_of(entries[4], IDENTITY)
    chain.verify_head_untrusted(head)
    count, last = chain.verify_chain(entries[:4], IDENTITY)
    assert (count, last) != (head.seq, head.hash)


@pytest.mark.parametrize("change", [{"seq": 6}, {"hash": bytes(32)}, {"sig": bytes(64)}, {"identity": b"i" * 32}])
def test_a_forged_head_is_refused(change):
    head = chain.head_of(log(5)[4], IDENTITY)
    with pytest.raises(SecurityError, match="audit-head"):
        chain.verify_head_untrusted(replace(head, **change))


def test_the_hash_tells_its_fields_apart():
    """A kind cannot run into the body, nor a body into the kind."""
    hashes = {
        chain.append(chain.GENESIS, 1, 1, "ab", b"c", SIGNING_KEY).hash,
        chain.append(chain.GENESIS, 1, 1, "a", b"bc", SIGNING_KEY).hash,
        chain.append(chain.GENESIS, 11, 1, "a", b"bc", SIGNING_KEY).hash,
        chain.append(chain.GENESIS, 1, 11, "a", b"bc", SIGNING_KEY).hash,
        chain.append(b"\1" * 32, 1, 1, "a", b"bc", SIGNING_KEY).hash,
    }
    assert len(hashes) == 5
