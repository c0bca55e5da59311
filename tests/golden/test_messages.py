"""Control messages of an earlier version are read, and written alike."""

import pytest

from hansa.protocols.wire import messages

TAGS = (
    *("AttestReply", "AttestRequest", "AuditHead", "Catalog", "CatalogRequest", "End", "Evidence", "Failed", "Heads"),
    *("HeadsRequest", "Hello", "JobDone", "JobKeys", "KeysRequest", "Offer", "Probe", "ProbeResult", "Progress"),
    *("Records", "ResumeOffer", "Sealed", "Votes"),
)


@pytest.fixture(scope="module")
def recorded(golden):
    return golden("messages")


def test_every_tag_of_then_is_recorded_and_still_known(recorded):
    assert sorted(recorded) == sorted(TAGS)
    assert set(TAGS) <= set(messages.TAGS)


@pytest.mark.parametrize("tag", TAGS)
def test_a_message_is_read_and_written_alike(recorded, tag):
    written = bytes.fromhex(recorded[tag])
    message = messages.decode_untrusted(written)
    assert messages.tag_of(message) == tag
    assert messages.encode(message) == written


def test_signed_messages_verify(recorded, keys):
    end = messages.decode_untrusted(bytes.fromhex(recorded["End"]))
    end.verify()
    assert end.identity == keys.identities[0]
    messages.decode_untrusted(bytes.fromhex(recorded["Evidence"])).verify()
