"""What a member remembers of an enclave's sealed state, and what it does not believe."""

import pytest
from support.tee.members import CODE, KEY, NODE, OTHER

from hansa.node.tee.keys.epoch_tokens import EpochToken, lineage_of
from hansa.node.tee.peers.epochs import SeenEpochs
from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire import limits

TEE = b"e" * 32


def token(epoch, state=b"s", lineage=b"l"):
    return EpochToken(epoch, lineage.rjust(16, b"\0"), state * 16, bytes(32)).encode()


def test_a_mark_is_its_makers_only():
    lineage = lineage_of(KEY, NODE, CODE)
    made = EpochToken.make(KEY, lineage, 5, b"s" * 16)
    assert len(made.encode()) == limits.EPOCH_TOKEN_BYTES
    assert EpochToken.decode_all_untrusted(made.encode() * 2) == [made, made]
    made.check(KEY)
    good = made.encode()
    for place in range(len(good)):
        [changed] = EpochToken.decode_all_untrusted(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(SecurityError, match="has not made"):
            changed.check(KEY)
    with pytest.raises(SecurityError, match="has not made"):
        made.check(b"x" * 32)
    lineages = {
        lineage,
        lineage_of(b"x" * 32, NODE, CODE),
        lineage_of(KEY, b"m" * 32, CODE),
        lineage_of(KEY, NODE, OTHER),
    }
    assert len(lineages) == 4


def test_a_member_remembers_the_latest_epoch(tmp_path):
    path = tmp_path / "epochs"
    seen = SeenEpochs(path)
    assert seen.tokens_of(TEE) == b""
    for epoch in (0, 3, 3, 5):
        seen.note(TEE, token(epoch))
    again = SeenEpochs(path)
    assert again.tokens_of(TEE) == token(5)
    with pytest.raises(SecurityError, match="it shows epoch 4, and has shown epoch 5 before"):
        again.note(TEE, token(4))
    again.note(b"f" * 32, token(1))
    assert SeenEpochs(path).tokens_of(b"f" * 32) == token(1)
    for broken in ("{", '{"ee": "00"}', "[]"):
        path.write_text(broken)
        with pytest.raises(SecurityError, match="cannot be read"):
            SeenEpochs(path)


def test_two_states_of_one_epoch_are_a_rollback(tmp_path):
    seen = SeenEpochs(tmp_path / "epochs")
    seen.note(TEE, token(2))
    with pytest.raises(SecurityError, match="rolled back: it has shown two states of one epoch, 2"):
        seen.note(TEE, token(2, state=b"t"))
    seen.note(TEE, token(3, state=b"t"))


def test_a_new_line_is_believed_and_the_old_one_remembered(tmp_path):
    """New code or microcode has lost what was sealed; whoever then puts the older code back is found as before."""
    seen = SeenEpochs(tmp_path / "epochs")
    seen.note(TEE, token(9))
    seen.note(TEE, token(1, lineage=b"m"))
    assert SeenEpochs(tmp_path / "epochs").tokens_of(TEE) == token(9) + token(1, lineage=b"m")
    with pytest.raises(SecurityError, match="it shows epoch 8, and has shown epoch 9"):
        seen.note(TEE, token(8))


def test_no_line_is_forgotten_for_a_new_one(tmp_path):
    seen = SeenEpochs(tmp_path / "epochs")
    for number in range(limits.EPOCH_LINEAGES_MAX):
        seen.note(TEE, token(1, lineage=b"%d" % number))
    before = seen.tokens_of(TEE)
    with pytest.raises(SecurityError, match="begun anew more than 64 times"):
        seen.note(TEE, token(1, lineage=b"more"))
    assert seen.tokens_of(TEE) == before
    seen.note(TEE, token(2, lineage=b"0"))
    assert len(seen.tokens_of(TEE)) == limits.EPOCH_LINEAGES_MAX * limits.EPOCH_TOKEN_BYTES


def test_one_enclave_too_many_is_not_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "EPOCHS_MAX_ENCLAVES", 1)
    seen = SeenEpochs(tmp_path / "epochs")
    for identity in (TEE, b"f" * 32):
        seen.note(identity, token(1))
    seen.note(TEE, token(2))
    assert (seen.tokens_of(TEE), seen.tokens_of(b"f" * 32)) == (token(2), b"")


@pytest.mark.parametrize("length", [1, 40, 71, 73])
def test_what_is_no_mark_is_refused(length, tmp_path):
    with pytest.raises(PeerMisbehaved, match=f"shows {length} bytes as epoch tokens of 72"):
        SeenEpochs(tmp_path / "epochs").note(TEE, bytes(length))
