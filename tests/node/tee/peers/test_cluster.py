"""Enclaves among themselves: what one lacks comes in bounded messages, and nobody's fault stops the rest."""

from types import SimpleNamespace

import pytest
import trio
from support.tee.members import CODE, JOB, NODE, OTHER, VOTERS, contract, opened, use, vote

from hansa.node.tee.keys.vault_keys import ModelKey
from hansa.node.tee.peers import cluster as module
from hansa.node.tee.peers.cluster import Cluster, page
from hansa.protocols.errors import PeerLost, SecurityError
from hansa.protocols.wire import limits, messages
from hansa.protocols.wire.messages import KeysReply, KeysRequest, Sealed

FIRST, SECOND, MEMBER = b"1" * 32, b"2" * 32, b"m" * 32


class Attestations:
    """Everybody is proven, unless the test says otherwise."""

    def __init__(self, path, code):
        self.prover, self.standing = object(), {}
        self.vault = opened(path, code, node=NODE)
        self.model_keys = SimpleNamespace(
            vault=self.vault, epoch_token=self.vault.epoch_token, open=lambda: None, on_made=None, on_shut=None
        )
        self.proofs, self.refused, self.judged = [], set(), None

    def on_judged(self, listener):
        self.judged = listener

    def name_of(self, identity):
        return identity[:1].decode()

    def enclaves(self):
        return list(self.standing)

    def accepted(self, identity):
        return self.standing.get(identity)

    async def proven(self, identity, role):
        self.proofs.append(identity)
        await trio.lowlevel.checkpoint()
        return SimpleNamespace(
            accepted=identity not in self.refused,
            platform=self.standing[identity].platform,
            code=self.standing[identity].code,
        ), b""


class Mesh:
    """One node's end of links; messages cross as bytes, and wait until they are read."""

    def __init__(self, me):
        self.me, self.others, self.handlers, self.links, self.sent = me, {}, {}, {}, []
        self.waiting = self.most = 0

    def handle(self, kind, handler):
        self.handlers[kind] = handler

    def online(self, identity):
        return identity in self.others

    def link(self, identity):
        return self.links.get(identity)

    async def send(self, identity, message):
        if identity not in self.others:
            raise PeerLost("it is gone", remedy="wait")
        data = messages.encode(message)
        self.sent.append(message)
        self.waiting += len(data)
        self.most = max(self.most, self.waiting)
        self.others[identity].inbox.send_nowait((self, data))

    async def broadcast(self, identities, message):
        self.sent.extend(message for identity in identities if identity == MEMBER)

    async def read(self, source):
        async for mesh, data in source:
            message = messages.decode_untrusted(data)
            await self.handlers[type(message)](mesh.me, message)
            mesh.waiting -= len(data)


class KnownVotes:
    def __init__(self):
        self.on_new, self.votes = [], []

    def all(self):
        return self.votes


class Log:
    def __init__(self):
        self.entries = []

    def append(self, kind, body):
        self.entries.append((kind, body))

    def of(self, kind):
        return [body for each, body in self.entries if each == kind]


@pytest.fixture
def pair(tmp_path, nursery):
    """Two enclaves of these codes, connected."""

    async def make(codes=(CODE, CODE)):
        nodes = []
        for me, code in zip((FIRST, SECOND), codes, strict=True):
            mesh, attestations, log, votes = Mesh(me), Attestations(tmp_path / me.decode(), code), Log(), KnownVotes()
            cluster = Cluster(mesh, attestations, votes, log, lambda: [MEMBER])
            await nursery.start(cluster.serve)
            mesh.inbox, source = trio.open_memory_channel(1000)
            nursery.start_soon(mesh.read, source)
            nodes.append(
                SimpleNamespace(
                    me=me,
                    mesh=mesh,
                    vault=attestations.vault,
                    log=log,
                    votes=votes,
                    attestations=attestations,
                    cluster=cluster,
                )
            )
        for one, other in (nodes, nodes[::-1]):
            code = other.vault.code
            one.attestations.standing[other.me] = SimpleNamespace(
                accepted=True, platform=code.platform, code=code.measurement
            )
            one.mesh.others[other.me] = other.mesh
            one.mesh.links[other.me] = SimpleNamespace(hello=SimpleNamespace(hardware="x"))
        return nodes

    return make


async def judged(node, other):
    await node.attestations.judged(other.me, node.attestations.standing[other.me])
    await settled(node, other)


async def settled(*nodes):
    """Until everything that was said has been taken in, also in threads."""
    await trio.testing.wait_all_tasks_blocked(0.01)
    with trio.fail_after(100):
        while any(node.mesh.waiting or node.cluster._answering for node in nodes):
            await trio.testing.wait_all_tasks_blocked(0.01)


def filled(count, columns=("age",)):
    """Jobs of many pairs, so that no share is full."""
    return [
        contract(f"job {number}", columns=columns, who=[b"%032d" % (number // 9), VOTERS[0]]) for number in range(count)
    ]


def put(vault, jobs):
    vault.merge({job.job_id: ModelKey(job.job_id, job) for job in jobs}, own_code=True)


async def test_many_keys_come_without_the_link_ever_holding_much(pair, monkeypatch):
    """More than a link's queue holds would drop the link, and with it the hand-over, for ever."""
    monkeypatch.setattr(limits, "HANDED_AT_ONCE", 20_000)
    first, second = await pair()
    jobs = filled(150)
    put(first.vault, jobs)
    await judged(second, first)
    assert len(second.vault) == 150
    assert second.vault.key(use(jobs[7])) == jobs[7].job_id
    pages = [message for message in first.mesh.sent if isinstance(message, KeysReply)]
    assert len(pages) > 10
    assert first.mesh.most < 21_000
    assert len(first.attestations.proofs) == 1


async def test_a_sealed_file_that_does_not_open_is_on_record_from_the_start(pair, tmp_path):
    """Of other code here; of another machine, another node or a broken one alike."""
    opened(tmp_path / FIRST.decode(), OTHER, node=NODE).make(filled(1)[0])
    first, second = await pair()
    await trio.testing.wait_all_tasks_blocked(0.01)
    (refused,) = first.log.of("sealed-state-refused")
    assert "was sealed by other code (SGX:" in refused["reason"]
    assert second.log.of("sealed-state-refused") == []


async def test_only_what_is_lacking_is_handed_over(pair):
    first, second = await pair()
    jobs = filled(6)
    put(first.vault, jobs[:4])
    put(second.vault, jobs[2:])
    await judged(second, first)
    await judged(first, second)
    assert len(first.vault) == len(second.vault) == 6
    assert first.log.of("keys-handed-over") == [{"peer": "2", "code": f"SGX:{CODE.measurement.hex()}", "keys": 2}]
    sent = len(first.mesh.sent)
    await judged(second, first)
    assert len(first.mesh.sent) == sent


async def test_a_conflicting_key_stops_no_other_and_is_on_record_once(pair):
    first, second = await pair()
    own = second.vault.make(JOB)
    first.vault.make(JOB)
    put(first.vault, filled(5))
    for _ in range(3):
        await judged(second, first)
    assert len(second.vault) == 6
    assert second.vault.key(use()) == own
    assert [body["jobs"] for body in second.log.of("keys-conflict")] == [[JOB.job_id.hex()[:16]]]
    assert len(first.log.of("keys-handed-over")) == 1


async def test_keys_without_room_do_not_stop_those_after_them(pair, monkeypatch):
    monkeypatch.setattr(limits, "HANDED_AT_ONCE", 1)  # every key in a message of its own
    first, second = await pair()
    junk = [contract(f"junk {number}") for number in range(6)]
    others = filled(4)
    put(first.vault, junk + others)
    monkeypatch.setattr(limits, "VAULT_MAX_ENTRIES", 8)
    for _ in range(2):
        await judged(second, first)
    assert len(second.vault) == 2 + 2  # a quarter each
    assert all(len(body["jobs"]) == 1 for body in second.log.of("keys-without-room"))
    assert len(second.log.of("keys-without-room")) == 6


async def test_a_new_key_goes_to_the_others_by_itself_and_alone(pair):
    first, second = await pair()
    put(first.vault, filled(5))
    key = first.vault.make(JOB)
    first.attestations.model_keys.on_made(JOB.job_id)
    await settled(first, second)
    assert (len(second.vault), second.vault.key(use())) == (1, key)
    assert [message for message in first.mesh.sent if isinstance(message, Sealed)] == [
        Sealed(first.vault.epoch_token())
    ]


async def test_a_state_that_is_shut_asks_for_all_and_is_mended(pair, tmp_path):
    first, second = await pair()
    put(first.vault, filled(4))
    await judged(second, first)
    second.vault._why_shut = "it was rolled back"
    second.attestations.model_keys.on_shut("it was rolled back")
    await settled(first, second)
    assert second.vault.why_shut == ""
    assert second.log.of("sealed-state-refused") == [{"reason": "it was rolled back"}]
    assert len(first.log.of("keys-handed-over")) == 2


async def test_other_code_has_what_was_voted_for_once_it_was(pair):
    first, second = await pair((CODE, OTHER))
    put(first.vault, [JOB, contract("unanimous", votes=3)])
    await judged(second, first)
    assert len(second.vault) == 0
    for node in (first, second):
        node.votes.votes = [vote(0), vote(1)]
    second.votes.on_new[0]()
    await settled(first, second)
    assert len(second.vault) == 1
    assert second.vault.key(use()) == JOB.job_id


async def test_who_is_not_proven_has_nothing_and_is_not_believed(pair):
    first, second = await pair()
    put(first.vault, filled(2))
    first.attestations.refused.add(SECOND)
    await judged(second, first)
    assert len(second.vault) == 0
    first.attestations.refused.clear()
    del second.attestations.standing[FIRST]
    await first.cluster._queue_request(SECOND, KeysRequest(b"", b""))
    await settled(first, second)
    assert len(second.vault) == 0
    first.mesh.links[SECOND].hello.hardware = ""
    await first.cluster._queue_request(SECOND, KeysRequest(b"", b""))
    await settled(first, second)
    assert len(first.log.of("keys-handed-over")) == 1


async def test_keys_over_a_connection_that_was_replaced_are_nobodys(pair, monkeypatch):
    """Decoding takes its time, and the genuine enclave may be back before it ends: what it proves is not about these keys."""
    _, second = await pair()
    real = module.decode_keys_untrusted

    def slow(data):
        second.mesh.links[FIRST] = SimpleNamespace(hello=SimpleNamespace(hardware="x"))
        return real(data)

    monkeypatch.setattr(module, "decode_keys_untrusted", slow)
    message = KeysReply(module.encode_keys([ModelKey(b"k" * 32, JOB)]), False)
    await second.cluster._receive(FIRST, message)
    assert len(second.vault) == 0
    monkeypatch.setattr(module, "decode_keys_untrusted", real)
    await second.cluster._receive(FIRST, message)
    assert len(second.vault) == 1


async def test_a_proof_counts_on_its_own_connection_and_for_a_while(pair, autojump_clock):
    first, second = await pair()
    jobs = filled(3)
    for number, (wait, fresh) in enumerate(((0, False), (module.PROOF_LASTS_S + 1, False), (0, True))):
        put(first.vault, jobs[number : number + 1])
        await trio.sleep(wait)
        if fresh:
            first.mesh.links[SECOND] = SimpleNamespace(hello=SimpleNamespace(hardware="x"))
        for _ in range(2):
            await judged(second, first)
        assert len(first.attestations.proofs) == number + 1
    assert len(second.vault) == 3


async def test_whoever_asks_without_end_is_not_answered(pair, monkeypatch):
    monkeypatch.setattr(module, "ASKED_AT_ONCE", 2.0)
    monkeypatch.setattr(module, "ASKED_PER_S", 1e-9)
    first, second = await pair()
    put(first.vault, filled(1))
    for _ in range(4):
        await first.cluster._queue_request(SECOND, KeysRequest(b"", b""))
        await settled(first, second)
    assert len(first.log.of("keys-handed-over")) == 2


async def test_pages_that_lead_nowhere_are_not_asked_for_again(pair):
    """Whoever always says that there is more would else be asked for ever."""
    first, second = await pair()
    key = ModelKey(b"k" * 32, JOB)
    second.cluster._asked_after[FIRST] = JOB.job_id
    await second.cluster._receive(FIRST, KeysReply(module.encode_keys([key]), True))
    await second.cluster._receive(FIRST, KeysReply(module.encode_keys([]), True))
    assert [message for message in second.mesh.sent if isinstance(message, KeysRequest)] == []
    assert first.log.entries == []


@pytest.mark.parametrize(
    "error", [OSError("the disk is full"), SecurityError("it is shut", remedy="wait"), ValueError("x")]
)
async def test_no_fault_of_one_enclave_ends_the_others_business(error, pair, monkeypatch):
    first, second = await pair()

    async def broken(*about):
        raise error

    put(first.vault, filled(1))
    monkeypatch.setattr(first.mesh, "broadcast", broken)
    first.attestations.model_keys.on_made(JOB.job_id)
    await settled(first, second)
    await judged(second, first)
    assert len(second.vault) == 1


def test_a_page_holds_a_bounded_number_of_bytes_and_goes_on_after_the_last():
    jobs = filled(7)
    keys = {job.job_id: ModelKey(job.job_id, job) for job in jobs}
    order = [keys[job_id] for job_id in sorted(keys)]
    size = max(key.size for key in order)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "HANDED_AT_ONCE", 3 * size)
        assert page(keys, after=b"", held=b"") == (order[:3], True)
        assert page(keys, after=order[2].contract.job_id, held=b"") == (order[3:6], True)
        assert page(keys, after=order[5].contract.job_id, held=b"") == (order[6:], False)
        assert page(keys, after=b"", held=order[0].digest + order[2].digest)[0] == [order[1], *order[3:5]]
        patch.setattr(limits, "HANDED_AT_ONCE", 1)
        assert page(keys, after=b"", held=b"") == (order[:1], True)
    assert page({}, after=b"", held=b"") == ([], False)
