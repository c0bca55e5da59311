"""The home of an earlier version's node opens: its keys, its database, everything that is sealed in it."""

import json
import sqlite3
import time
from pathlib import Path

import pytest
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

from hansa.algorithms.lr.model import PartyModel
from hansa.node.audit import Audit
from hansa.node.correlations.store import CorrelationStore, files_in, members, set_id
from hansa.node.identity import Identity, load_identity
from hansa.node.jobs.failure import Priority
from hansa.node.jobs.record import JobRecord, JobState
from hansa.node.jobs.store import JobStore
from hansa.node.net.peers import PeerBook
from hansa.node.sealing import SealedCheckpoints, model_name, unseal
from hansa.node.store import FILE, Store
from hansa.node.tee.keys.vault import Vault
from hansa.node.tee.peers.epochs import SeenEpochs
from hansa.node.tee.peers.votes import VoteBook
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.consent.contract import Contract

NOW = 1_800_000_000
CODE = Code("SGX", b"c" * 32)


@pytest.fixture
def home(golden, tmp_path):
    for name, data in golden("home")["files"].items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes.fromhex(data))
        path.chmod(0o600)
    return tmp_path


@pytest.fixture
def store(tmp_path):
    file = sqlite3.connect(tmp_path / FILE)
    file.executescript((Path(__file__).parent / "node.sql").read_text())
    file.close()
    opened = Store(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def identity(keys):
    return Identity.from_secrets(keys.signing[0], b"t" * 32, b"q" * 32)


def contract(golden, name):
    return Contract.decode_untrusted(bytes.fromhex(golden("contracts")[name]["bytes"]))


def test_the_key_file_opens_with_and_without_a_passphrase(home, identity):
    assert load_identity(home / "plain") == identity
    assert load_identity(home / "sealed", "correct horse") == identity


async def test_the_audit_log_is_whole_and_goes_on(store, identity, keys):
    audit = Audit(store, identity)
    assert await audit.verify_chain() == 3
    assert [entry["kind"] for entry in audit.shown()] == ["node-started", "consent", "peer-pinned"]
    audit.append("node-started", {"version": "now"})
    assert await audit.verify_chain() == 4
    assert [head.seq for head in audit.heads_of(keys.identities[1])] == [1]


def test_peers_settings_and_datasets(store, identity, keys):
    book = PeerBook(store, identity.public, "bank")
    assert [(peer.name, peer.how) for peer in book.all()] == [("bureau", "invited"), ("telecom", "added")]
    assert book.find("bureau").record.addresses == ("bureau.example:7400", "[::1]:7401")
    assert book.learn(book.get(keys.identities[1]).record, "telecom", accept_new=True) is None
    assert store.meta("port") == (7400).to_bytes(4, "big")
    [(description,)] = store.rows("SELECT description FROM datasets")
    assert json.loads(description)["name"] == "clients"
    assert store.row("SELECT secret, expires FROM invites") == (b"i" * 16, NOW + 60)


def test_jobs_are_read_and_written_alike(store, golden, keys):
    written = [bytes(body) for (body,) in store.rows("SELECT record FROM jobs ORDER BY created")]
    records = JobStore(store).load_jobs()
    states = [JobState.EXPIRED, JobState.PROPOSED, JobState.INTERRUPTED, JobState.DONE, JobState.REFUSED]
    assert [record.state for record in records] == states
    assert [record.encode() for record in records] == written
    _, _, interrupted, done, refused = records
    assert (interrupted.verdict.priority, interrupted.verdict.culprit) == (Priority.NODE_LOST, keys.identities[1])
    assert interrupted.verdict.error == interrupted.error
    assert (interrupted.attempt, interrupted.offered, interrupted.resume_epoch) == (1, 2, 3)
    assert (interrupted.job_secret, interrupted.offered_secret) == (b"p" * 32, b"o" * 32)
    assert interrupted.certificate.hex() == golden("statements")["certificate"]
    assert done.done_by == {keys.identities[1]: b"d" * 32, keys.identities[4]: b"d" * 32}
    assert done.result["metrics"] == {"auc": 0.75}
    assert len(refused.ends) == 1
    assert [event["step"] for event in JobStore(store).events(interrupted.job_id)] == ["train"]


def test_a_job_of_then_is_signed_under_its_own_id(store, golden):
    known = {said["job_id"] for said in golden("contracts").values()}
    for job_id, body in store.rows("SELECT job_id, record FROM jobs"):
        assert JobRecord.decode(bytes(body)).job_id == bytes(job_id)
        assert bytes(job_id).hex() in known


def test_a_model_and_checkpoints_open_with_the_jobs_key(home, golden, identity):
    job_id = contract(golden, "v4 attested dealer").job_id
    key = identity.sealing_key(job_id)
    model = unseal(key, (home / "blobs" / f"{job_id.hex()[:32]}.model").read_bytes(), model_name(job_id))
    assert PartyModel.from_state(model).columns == ("age", "income")
    folder = home / "jobs" / job_id.hex()[:16]
    assert SealedCheckpoints(folder, key, job_id, 2, 3).load() == (3, b"after epoch 3")
    assert SealedCheckpoints(folder, key, job_id, 2, 0).load() == (0, b"after epoch 0")


def test_an_enclaves_vault_opens(home, golden, keys):
    vault = Vault(home / "tee" / "keys.sealed", CODE, keys.identities[4], lambda: b"k" * 32)
    assert (vault.why_unread, vault.why_shut, len(vault), vault.epoch) == ("", "", 1, 1)
    assert vault.make(contract(golden, "v4 enclave")).hex() == golden("home")["vault key of v4 enclave"]


def test_epochs_that_enclaves_have_shown_are_remembered(home, golden, keys):
    seen = SeenEpochs(home / "tee" / "epochs.json")
    assert seen.tokens_of(keys.identities[4]).hex() == golden("statements")["epoch token"]


class Alone:
    """A mesh with nobody in it."""

    def on_up(self, greet):
        pass

    def handle(self, kind, handler):
        pass


def test_votes_are_remembered(home, golden, keys, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    me, other = keys.identities[:2]
    path = home / "tee" / "votes.json"
    book = VoteBook(path, Alone(), signing_key=keys.signing[0], me=me, peers=lambda: [other], record=lambda vote: None)
    assert sorted(vote.encode().hex() for vote in book.all()) == sorted(golden("home")["votes"])


def test_stored_correlations_open(home, golden, identity, keys):
    """The recording sealed zeros. Zeros under the recorded nonce are the key stream, whatever the associated data."""
    names = dict(zip(keys.identities[:2], ("bank", "bureau"), strict=True))
    key = identity.sealing_key(set_id(list(names)))
    recorded = golden("home")["parcels of zeros"]
    for name, parcel in recorded.items():
        path, nonce = home / name, bytes.fromhex(parcel["nonce"])
        zeros = bytes(parcel["bytes"] - 40)
        body = crypto_aead_xchacha20poly1305_ietf_encrypt(zeros, b"", nonce, key)[:-16]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(nonce + body + bytes.fromhex(parcel["tag"]))
    [folder] = (home / "correlations").iterdir()
    assert members(folder) == sorted(names)
    store = CorrelationStore(folder, key, identity.public, names)
    found = [(kind, parcel) for kind, parcel, _ in files_in(folder)]
    assert len(found) == len(recorded) == 4
    for kind, parcel in found:
        [sealed] = store.burn(kind, [parcel])
        assert not any(store.unseal(kind, parcel, sealed))
