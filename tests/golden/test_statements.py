"""What an earlier version signed, sealed or named verifies, opens, and is made alike."""

import hashlib

import pytest

from hansa.algorithms.gbdt.model.tree_model import TreeModel
from hansa.algorithms.lr.model import PartyModel
from hansa.node.tee.keys.epoch_tokens import EpochToken, lineage_of
from hansa.node.worker.links import LinkTerms, PeerTerms
from hansa.protocols.wire import chain
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements import parcel
from hansa.protocols.wire.attestation.statements.binding import Role, report_data
from hansa.protocols.wire.attestation.statements.proof import Proof
from hansa.protocols.wire.attestation.statements.release_policy import ReleasePolicy
from hansa.protocols.wire.attestation.statements.votes import Vote
from hansa.protocols.wire.consent.certificate import Certificate, Signature
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.invitation import Invitation
from hansa.protocols.wire.record import PeerRecord

NOW = 1_800_000_000
CODES = (Code("SGX", b"c" * 32), Code("SEV-SNP", b"d" * 48))


@pytest.fixture(scope="module")
def said(golden):
    """Every statement as bytes, under its name."""
    texts = {name: value for name, value in golden("statements").items() if isinstance(value, str)}
    return {name: bytes.fromhex(value) for name, value in texts.items() if name != "invitation"}


def test_a_signature_and_its_certificate(said, golden, keys):
    contract = Contract.decode_untrusted(said["contract of the certificate"])
    first = golden("statements")["signature"]
    job_key = bytes.fromhex(first["job_key"])
    signature = Signature.make(keys.signing[0], keys.identities[0], contract, 0, job_key)
    assert signature.sig.hex() == first["sig"]
    certificate = Certificate.decode_untrusted(said["certificate"])
    certificate.verify(contract)
    assert certificate.entries[0] == signature
    assert certificate.encode() == said["certificate"]


def test_peer_records(said, keys):
    addresses = ("bureau.example:7400", "[::1]:7401")
    record = PeerRecord.make(keys.signing[1], keys.identities[1], b"x" * 32, "bureau", addresses, 3)
    assert record.encode() == said["peer record"]
    assert PeerRecord.decode_untrusted(said["peer record"]) == record
    typed = PeerRecord.by_hand(keys.identities[2], b"y" * 32, "telecom", "telecom.example:7400")
    assert typed.encode() == said["peer record by hand"]
    assert PeerRecord.decode_pinned(said["peer record by hand"]) == typed


def test_an_invitation(said, golden, keys):
    code = golden("statements")["invitation"]
    invitation = Invitation(keys.identities[0], b"x" * 32, "bank.example:7400", NOW + 60, b"i" * 16)
    assert Invitation.parse(code, NOW) == invitation
    assert invitation.code() == code
    assert (invitation.token, invitation.psk) == (said["invitation token"], said["invitation psk"])


def test_a_vote(said, keys):
    vote = Vote.make(keys.signing[0], keys.identities[0], *CODES, NOW + 86_400)
    assert vote.encode() == said["vote"]
    assert Vote.decode_untrusted(said["vote"]) == vote


def test_a_release_policy_and_the_parcel_under_it(said, keys):
    job_id = Contract.decode_untrusted(said["contract of the certificate"]).job_id
    columns = ("age", "income")
    policy = ReleasePolicy(
        job_id, keys.identities[0], keys.identities[4], "enclave", CODES, "clients", columns, NOW + 3600
    )
    assert policy.signed(keys.signing[0]) == said["release policy"]
    assert ReleasePolicy.verified_untrusted(said["release policy"]) == policy
    found = []
    assert parcel.open_untrusted(said["parcel"], b"z" * 32, found.append) == b"rows"
    assert found == [policy]


def test_a_proof_and_what_evidence_is_bound_to(said, keys):
    proof = Proof("tsm", b"evidence", (b"one", b"two"))
    assert proof.encode() == said["proof"]
    assert Proof.decode_untrusted(said["proof"]) == proof
    bound = report_data(identity=keys.identities[4], handshake_hash=b"h" * 32, nonce=b"n" * 32, role=Role.DEALER)
    assert bound == said["report data"]


def test_an_epoch_token(said, keys):
    key = b"k" * 32
    token = EpochToken.make(key, lineage_of(key, keys.identities[4], CODES[0]), 5, b"s" * 16)
    assert token.encode() == said["epoch token"]
    assert EpochToken.decode_all_untrusted(said["epoch token"]) == [token]


def test_an_audit_chain(said, golden, keys):
    recorded = [
        chain.AuditEntry(seq, time_ms, kind, *map(bytes.fromhex, rest))
        for seq, time_ms, kind, *rest in golden("statements")["audit entries"]
    ]
    assert chain.verify_chain(recorded, keys.identities[0]) == (2, recorded[-1].hash)
    previous = chain.GENESIS
    for entry in recorded:
        assert chain.append(previous, entry.seq, entry.time_ms, entry.kind, entry.body, keys.signing[0]) == entry
        previous = entry.hash
    head = chain.head_of(recorded[-1], keys.identities[0])
    assert head.sig == said["audit head sig"]
    chain.verify_head_untrusted(head)


def test_the_prologue_of_a_link_between_workers(said, keys):
    job_id = Contract.decode_untrusted(said["contract of the certificate"]).job_id
    here = LinkTerms(0, keys.identities[0], job_id, 2, b"p" * 32, said["certificate"], ("AESGCM_SHA256",))
    job_key = hashlib.blake2b(bytes([1, 0]), digest_size=32).digest()
    there = PeerTerms(1, "bureau", keys.identities[1], job_key, ("b:1",), b"t" * 16)
    assert here.handshake(there).prologue_extra == said["worker prologue"]


def test_states_of_models(said):
    linear = PartyModel.from_state(said["linear model"])
    assert (linear.columns, linear.opened) == (("age", "income"), {"age": 0.5, "intercept": -1.0})
    assert linear.to_state() == said["linear model"]
    trees = TreeModel.from_state(said["tree model"])
    assert (trees.columns, len(trees.trees)) == (("age", "region"), 1)
    assert trees.to_state() == said["tree model"]
