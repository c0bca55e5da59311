"""What a member remembers of an enclave's sealed state, and what it does not believe."""

import pytest
from support.tee.members import CODE, KEY, NODE, OTHER

from hansa.node.tee.keys.epoch_tokens import EpochToken, line_of
from hansa.node.tee.peers.epochs import SeenEpochs
from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire import limits

TEE = b"e" * 32


def mark(epoch, state=b"s", line=b"l"):
    return EpochToken(epoch, line.rjust(16, b"\0"), state * 16, bytes(32)).encode()


def test_a_mark_is_its_makers_only():
    line = line_of(KEY, NODE, CODE)
    made = EpochToken.make(KEY, line, 5, b"s" * 16)
    assert len(made.encode()) == limits.EPOCH_MARK_BYTES
    assert EpochToken.each_untrusted(made.encode() * 2) == [made, made]
    made.check(KEY)
    good = made.encode()
    for place in range(len(good)):
        [changed] = EpochToken.each_untrusted(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(SecurityError, match="has not made"):
            changed.check(KEY)
    with pytest.raises(SecurityError, match="has not made"):
        made.check(b"x" * 32)
    lines = {line, line_of(b"x" * 32, NODE, CODE), line_of(KEY, b"m" * 32, CODE), line_of(KEY, NODE, OTHER)}
    assert len(lines) == 4


def test_a_member_remembers_the_latest_epoch(tmp_path):
    path = tmp_path / "epochs"
    seen = SeenEpochs(path)
    assert seen.seen(TEE) == b""
    for epoch in (0, 3, 3, 5):
        seen.note(TEE, mark(epoch))
    again = SeenEpochs(path)
    assert again.seen(TEE) == mark(5)
    with pytest.raises(SecurityError, match="it shows epoch 4, and has shown epoch 5 before"):
        again.note(TEE, mark(4))
    again.note(b"f" * 32, mark(1))
    assert SeenEpochs(path).seen(b"f" * 32) == mark(1)
    for broken in ("{", '{"ee": "00"}', "[]"):
        path.write_text(broken)
        with pytest.raises(SecurityError, match="cannot be read"):
            SeenEpochs(path)


def test_two_states_of_one_epoch_are_a_rollback(tmp_path):
    seen = SeenEpochs(tmp_path / "epochs")
    seen.note(TEE, mark(2))
    with pytest.raises(SecurityError, match="rolled back: it has shown two states of one epoch, 2"):
        seen.note(TEE, mark(2, state=b"t"))
    seen.note(TEE, mark(3, state=b"t"))


def test_a_new_line_is_believed_and_the_old_one_remembered(tmp_path):
    """New code or microcode has lost what was sealed; whoever then puts the older code back is found as before."""
    seen = SeenEpochs(tmp_path / "epochs")
    seen.note(TEE, mark(9))
    seen.note(TEE, mark(1, line=b"m"))
    assert SeenEpochs(tmp_path / "epochs").seen(TEE) == mark(9) + mark(1, line=b"m")
    with pytest.raises(SecurityError, match="it shows epoch 8, and has shown epoch 9"):
        seen.note(TEE, mark(8))


def test_no_line_is_forgotten_for_a_new_one(tmp_path):
    seen = SeenEpochs(tmp_path / "epochs")
    for number in range(limits.EPOCH_LINES_MAX):
        seen.note(TEE, mark(1, line=b"%d" % number))
    before = seen.seen(TEE)
    with pytest.raises(SecurityError, match="begun anew more than 64 times"):
        seen.note(TEE, mark(1, line=b"more"))
    assert seen.seen(TEE) == before
    seen.note(TEE, mark(2, line=b"0"))
    assert len(seen.seen(TEE)) == limits.EPOCH_LINES_MAX * limits.EPOCH_MARK_BYTES


def test_one_enclave_too_many_is_not_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "EPOCHS_MAX_ENCLAVES", 1)
    seen = SeenEpochs(tmp_path / "epochs")
    for identity in (TEE, b"f" * 32):
        seen.note(identity, mark(1))
    seen.note(TEE, mark(2))
    assert (seen.seen(TEE), seen.seen(b"f" * 32)) == (mark(2), b"")


@pytest.mark.parametrize("length", [1, 40, 71, 73])
def test_what_is_no_mark_is_refused(length, tmp_path):
    with pytest.raises(PeerMisbehaved, match=f"shows {length} bytes as marks of 72"):
        SeenEpochs(tmp_path / "epochs").note(TEE, bytes(length))
