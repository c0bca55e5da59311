"""What a node makes of hardware's proofs: its own policy file, the contract's codes, and the members' votes."""

import time

import pytest
from nacl.signing import SigningKey
from support.tee.amd import AT, DATA

from hansa.node.tee.evidence.judge import Judge
from hansa.node.tee.peers.votes import VoteBook
from hansa.protocols.errors import SecurityError
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.simulated import WORD, insecure_make
from hansa.protocols.wire.attestation.statements.proof import Proof
from hansa.protocols.wire.attestation.statements.votes import Vote

CODE, OTHER = Code("SEV-SNP", b"\x22" * 48), Code("SEV-SNP", b"\x23" * 48)
SIGNING_KEYS = [bytes([number]) * 32 for number in (1, 2, 3)]
MEMBERS = [bytes(SigningKey(key).verify_key) for key in SIGNING_KEYS]


@pytest.fixture
def policy(tmp_path):
    """``policy(code)``: a policy file that lists it."""

    def write(code):
        path = tmp_path / "tee.toml"
        path.write_text(f'[[snp]]\nmeasurement = "{code.measurement.hex()}"\n')
        return path

    return write


def test_listed_code_over_the_right_data_is_accepted(proof, policy):
    judged = Judge(policy(CODE), "hardware").judge(proof(), DATA, None)
    assert judged.accepted, judged.why
    assert (judged.platform, judged.code) == ("SEV-SNP", CODE.measurement)
    assert Judge(policy(CODE), "hardware").judge(proof(), DATA, (CODE, OTHER)).accepted


@pytest.mark.parametrize(
    ("listed", "data", "codes", "why"),
    [
        (OTHER, DATA, None, "measurement"),
        (CODE, b"s" * 64, None, "nonce"),
        (CODE, DATA, (OTHER,), "the contract does not accept the code"),
        (CODE, DATA, (Code("TDX", CODE.measurement),), "does not accept the code SEV-SNP:2222"),
    ],
)
def test_anything_else_is_refused(listed, data, codes, why, proof, policy):
    judged = Judge(policy(listed), "hardware").judge(proof(), data, codes)
    assert not judged.accepted
    assert why in judged.why


def test_without_a_policy_file_no_hardware_is_accepted(proof, tmp_path):
    judge = Judge(tmp_path / "tee.toml", "hardware")
    assert not judge.accepts_any
    assert "it has no tee.toml" in judge.judge(proof(), DATA, None).why


def test_a_file_that_lists_no_code_accepts_none(proof, tmp_path):
    (tmp_path / "tee.toml").write_text("")
    why = Judge(tmp_path / "tee.toml", "hardware").judge(proof(), DATA, (CODE,)).why
    assert why == "measurement: the policy requires a measurement, and lists none"


SIMULATED = insecure_make(b"\x22" * 48, DATA)


@pytest.mark.parametrize(
    ("ours", "theirs", "codes", "who"),
    [
        (WORD, WORD, None, None),
        (WORD, WORD, (OTHER, Code(WORD, b"\x22" * 48)), None),
        ("hardware", WORD, None, "this node's settings do"),
        (WORD, "sev-guest", None, "the peer's settings do"),
        (WORD, WORD, (CODE,), "the contract does"),
    ],
)
def test_simulated_evidence_needs_the_word_in_three_places(ours, theirs, codes, who, policy):
    """Whatever its backend says, what is marked as simulated is judged as that."""
    judged = Judge(policy(CODE), ours).judge(Proof(theirs, SIMULATED), DATA, codes)
    assert judged.accepted == (who is None), judged.why
    if who is None:
        assert (judged.platform, judged.code) == (WORD, b"\x22" * 48)
    else:
        assert judged.why == f"simulated: simulated evidence is refused: {who} not say '{WORD}'"


def test_what_claims_to_be_simulated_is_never_judged_as_hardware(proof, policy):
    genuine = proof()
    judged = Judge(policy(CODE), WORD).judge(Proof(WORD, genuine.evidence, genuine.collateral), DATA, None)
    assert judged.why == "malformed: simulated evidence does not begin with its mark"


class NoMesh:
    """Nobody is there."""

    def on_up(self, callback):
        pass

    def handle(self, kind, handler):
        pass

    async def broadcast(self, identities, message):
        pass


@pytest.mark.parametrize(("cast", "accepted"), [((0,), False), ((0, 1), True), ((0, 2), False)])
async def test_code_that_enough_members_voted_for_needs_no_entry(cast, accepted, proof, policy, tmp_path):
    """Two of the first two members: the third is a peer, but no voter."""
    votes = VoteBook(
        tmp_path / "votes",
        NoMesh(),
        signing_key=SIGNING_KEYS[0],
        me=MEMBERS[0],
        peers=lambda: MEMBERS[1:],
        record=print,
    )
    for rank in cast:
        votes._keep(Vote.make(SIGNING_KEYS[rank], MEMBERS[rank], OTHER, CODE, AT + 60))
    judge = Judge(policy(OTHER), "hardware", lambda: votes.endorsed(MEMBERS[:2], 2))
    judged = judge.judge(proof(), DATA, None)
    assert judged.accepted == accepted
    if accepted:
        assert "policy file: the members' votes accept this code" in judged.as_dict()["not_checked"]
    assert not judge.judge(proof(), b"s" * 64, None).accepted
    assert not judge.judge(proof(at_90=b"\x24" * 48), DATA, None).accepted
    assert not judge.judge(proof(at_8=(0x30000 | 1 << 19).to_bytes(8, "little")), DATA, None).accepted
    assert votes.endorsed(MEMBERS[:2], 0) == []


@pytest.mark.parametrize(
    ("more", "accepted"),
    [("", True), (f'host_data = "{"44" * 32}"', False), (f'id_key_digest = "{"55" * 48}"\nleast_guest_svn = 5', False)],
)
def test_votes_take_nothing_off_what_the_file_asks_of_that_code(more, accepted, proof, policy):
    path = policy(CODE)
    path.write_text(path.read_text() + more)
    judged = Judge(path, "hardware", lambda: [CODE]).judge(proof(), DATA, None)
    assert judged.accepted == accepted
    assert not Judge(path, "hardware", lambda: [OTHER]).judge(proof(at_90=b"\x24" * 48), DATA, None).accepted


def test_votes_are_enough_where_the_file_lists_no_code(proof, tmp_path):
    (tmp_path / "tee.toml").write_text("")

    def accepted(*endorsed):
        return Judge(tmp_path / "tee.toml", "hardware", lambda: endorsed).judge(proof(), DATA, None).accepted

    assert accepted(CODE, OTHER)
    assert not accepted(OTHER, Code("TDX", CODE.measurement))
    assert not accepted()


async def test_votes_survive_and_end(tmp_path, monkeypatch):
    now = float(AT)
    monkeypatch.setattr(time, "time", lambda: now)
    path = tmp_path / "votes"
    recorded = []
    fields = {"signing_key": SIGNING_KEYS[0], "me": MEMBERS[0], "peers": lambda: MEMBERS[1:], "record": recorded.append}
    vote = await VoteBook(path, NoMesh(), **fields).cast(OTHER, CODE, AT + 60)
    again = VoteBook(path, NoMesh(), **fields)
    assert again.all() == recorded == [vote]
    now += 60
    assert again.all() == []
    path.write_text('["00"]')
    with pytest.raises(SecurityError, match="cannot be read: the votes in it are lost"):
        VoteBook(path, NoMesh(), **fields)
