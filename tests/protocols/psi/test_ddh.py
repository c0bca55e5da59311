"""Set intersection among parties in one process: what it finds, what it refuses, what it costs and what it shows."""

import os
from functools import partial

import numpy as np
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_core_ed25519_add, crypto_core_ed25519_is_valid_point

from hansa.protocols.errors import PeerAborted, PeerMisbehaved, ProtocolError
from hansa.protocols.mpc.session.memory import memory_link_pair, network, outcomes_of_parties, parties, run_parties
from hansa.protocols.psi import ddh

SEED = bytes(16)
ORDER_8 = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
"""A point of order 8 (libsodium's list of small-order points)."""
P = 2**255 - 19


async def intersect_all(sets, *, seed=SEED, max_rows=10_000, links=None):
    async with parties(len(sets), links=links) as sessions:

        async def party(s):
            return await ddh.intersect(s, sets[s.rank], seed=seed, max_rows=max_rows)

        indices = await run_parties(sessions, party)
    return indices, [session.transcript for session in sessions]


def keys_of(sets, indices):
    return [[keys[i] for i in rows] for keys, rows in zip(sets, indices, strict=True)]


names = st.sets(st.binary(max_size=6), max_size=8)


@given(
    sets=st.integers(2, 4).flatmap(lambda n: st.lists(names, min_size=n, max_size=n)), common=names, seed=st.randoms()
)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
async def test_against_plain_sets(sets, common, seed):
    lists = [list(keys | common) for keys in sets]
    for keys in lists:
        seed.shuffle(keys)
    indices, _ = await intersect_all(lists)
    found = keys_of(lists, indices)
    assert set(found[0]) == set.intersection(*map(set, lists))
    assert len(found[0]) == len(set(found[0]))
    assert all(keys == found[0] for keys in found)


async def test_the_order_is_the_seeds_not_the_inputs():
    common = [f"c{i}".encode() for i in range(20)]
    sets = [[*common, b"x"], [b"y", *common[::-1]], common[7:] + common[:7]]
    first = keys_of(sets, (await intersect_all(sets))[0])[0]
    turned = [keys[::-1] for keys in sets]
    assert keys_of(turned, (await intersect_all(turned))[0])[0] == first
    assert [common[i] for i in ddh.in_common_order(common, SEED)] == first
    other = keys_of(sets, (await intersect_all(sets, seed=bytes([1]) * 16))[0])[0]
    assert other != first
    assert sorted(other) == sorted(first)


async def test_nothing_in_common_and_nothing_at_all():
    for sets in ([[b"a"], [b"b"], [b"a", b"b"]], [[], [b"a"], [b"a"]], [[], [], []]):
        indices, _ = await intersect_all(sets)
        assert [rows.size for rows in indices] == [0, 0, 0]
        assert indices[0].dtype == np.int64


async def test_several_chunks(monkeypatch):
    monkeypatch.setattr(ddh, "CHUNK", 3)
    keys = [bytes([i]) for i in range(10)]
    sets = [keys, keys[:7], keys[2:]]
    indices, _ = await intersect_all(sets)
    assert set(keys_of(sets, indices)[0]) == set(keys[2:7])


async def test_progress_reaches_what_was_announced():
    keys = [bytes([i]) for i in range(5)]
    seen = []
    async with parties(3) as sessions:

        async def party(s):
            note = seen.append if s.rank == 0 else lambda done: None
            return await ddh.intersect(s, keys, seed=SEED, max_rows=10, progress=note)

        await run_parties(sessions, party)
    assert seen == sorted(seen)
    assert seen[-1] == ddh.work(5, 3)


async def test_a_double_key_is_refused():
    async with parties(2) as sessions:
        with pytest.raises(ProtocolError, match="stands twice"):
            await run_parties(sessions, lambda s: ddh.intersect(s, [b"a", b"a"], seed=SEED, max_rows=10))


async def test_costs():
    sets = [[bytes([i]) for i in range(n)] for n in (6, 9, 12)]
    _, transcripts = await intersect_all(sets)
    common = 6
    for rank, transcript in enumerate(transcripts):
        last_of = len(sets[(rank + 1) % 3])
        points = sum(map(len, sets)) + last_of + 2 * common
        assert transcript.bytes_sent == 32 * points + 2 * 8 + 2 * 32 + 2 * 32  # the sizes, two hashes
        assert transcript.rounds == 1 + 3 * 3 - 1  # the session's own, and the intersection's
        assert transcript.openings == []


# --- what a peer may send ------------------------------------------------------------------------------------------


class Meddler:
    """A link whose far end changes the k-th message of 32-byte points it sends."""

    def __init__(self, link, change, at):
        self.link, self.change, self.left = link, change, at

    async def send(self, *parts):
        whole = b"".join(bytes(part) for part in parts)
        length = int.from_bytes(whole[16:24], "little")
        if length >= 32 and whole[0] == 1 and whole[1] == 0:  # data, raw bytes
            self.left -= 1
            if self.left == 0:
                body = self.change(whole[24 : 24 + length])
                whole = whole[:16] + len(body).to_bytes(8, "little") + body + whole[24 + length :]
        await self.link.send(whole)

    async def receive(self):
        return await self.link.receive()


async def with_meddler(change, at=1, frm=1, to=2):
    links = network(3, memory_link_pair)
    links[frm][to] = Meddler(links[frm][to], change, at)
    sets = [[bytes([i]) for i in range(4)]] * 3
    async with parties(3, links=links) as sessions:
        with trio.fail_after(20):
            return await outcomes_of_parties(sessions, lambda s: ddh.intersect(s, sets[s.rank], seed=SEED, max_rows=10))


def replace_first(point):
    return lambda body: point(body) + body[32:]


BAD_POINTS = {
    "no point of the curve": lambda body: (2).to_bytes(32, "little"),
    "all zero": lambda body: bytes(32),
    "the neutral element": lambda body: (1).to_bytes(32, "little"),
    "order eight": lambda body: ORDER_8,
    "torsion added": lambda body: crypto_core_ed25519_add(body[:32], ORDER_8),
    "not canonical": lambda body: (P + 3).to_bytes(32, "little"),
    "all ones": lambda body: b"\xff" * 32,
}


@pytest.mark.parametrize("name", BAD_POINTS)
async def test_a_point_outside_the_group_names_its_sender(name):
    outcomes = await with_meddler(replace_first(BAD_POINTS[name]))
    assert isinstance(outcomes[2], PeerMisbehaved)
    assert outcomes[2].fields["peer"] == 1
    assert "no element of the prime-order group" in outcomes[2].message
    for rank in (0, 1):
        assert isinstance(outcomes[rank], PeerAborted)
        assert outcomes[rank].fields["culprit"] == 1


def test_the_torsion_point_is_one():
    point = ddh.hash_to_group(b"x")
    assert crypto_core_ed25519_is_valid_point(point)
    assert not crypto_core_ed25519_is_valid_point(crypto_core_ed25519_add(point, ORDER_8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda body: body[:-32], "bytes where 4 points were due"),
        (lambda body: body[:-1], "bytes where 4 points were due"),
        (lambda body: b"", "0 bytes where 4 points were due"),
        (lambda body: body + body[:32], "bytes where 4 points were due"),
        (lambda body: body + bytes(ddh.CHUNK * 32), "are allowed"),
    ],
)
async def test_a_wrong_count_names_its_sender(change, message):
    outcomes = await with_meddler(change)
    assert isinstance(outcomes[2], PeerMisbehaved)
    assert message in outcomes[2].message
    assert outcomes[2].fields["peer"] == 1


async def test_a_row_twice_in_a_final_set_is_refused():
    """Party 1 is the last hop of party 2's set: what it then tells party 2 is the second message to it."""
    for at in (1, 2, 3):
        outcomes = await with_meddler(lambda body: body[:32] + body[:32] + body[64:], at=at)
        assert isinstance(outcomes[2], PeerMisbehaved | PeerAborted)
        assert not any(isinstance(outcome, np.ndarray) and outcome.size == 4 for outcome in outcomes)


async def test_a_set_above_the_limit_is_refused_before_it_comes():
    async with parties(2) as sessions:

        async def party(s):
            return await ddh.intersect(s, [bytes([i]) for i in range(3 + s.rank)], seed=SEED, max_rows=3 + s.rank)

        outcomes = await outcomes_of_parties(sessions, party)
    assert isinstance(outcomes[0], PeerMisbehaved)
    assert "a set of 4 rows where the contract allows 3" in outcomes[0].message


# --- what a party sees ---------------------------------------------------------------------------------------------


class Tap:
    """A link that keeps what comes in."""

    def __init__(self, link, heard):
        self.link, self.heard = link, heard

    async def send(self, *parts):
        await self.link.send(*parts)

    async def receive(self):
        message = await self.link.receive()
        if message[0] == 1 and message[1] == 0:
            length = int.from_bytes(bytes(message[16:24]), "little")
            label = bytes(message[24 + length :]).decode()
            self.heard.setdefault(label, []).extend(bytes(message[24 + i : 24 + i + 32]) for i in range(0, length, 32))
        return message


async def view_of(rank, sets):
    """Every point that party ``rank`` received, by the label of the fork it came on."""
    heard = {}
    links = network(3, memory_link_pair)
    links[rank] = {peer: Tap(link, heard) for peer, link in links[rank].items()}
    indices, _ = await intersect_all(sets, links=links)
    return heard, indices


SETS = [[f"k{i}".encode() for i in rows] for rows in (range(40), range(10, 50), range(20, 60))]


@pytest.mark.parametrize("rank", [0, 1, 2])
async def test_no_received_point_is_a_known_key_and_no_two_runs_share_one(rank):
    first, _ = await view_of(rank, SETS)
    second, _ = await view_of(rank, SETS)
    points = [point for some in first.values() for point in some]
    plain = {ddh.hash_to_group(key) for keys in SETS for key in keys}
    assert len(points) >= 200
    assert not plain & set(points)
    assert not set(points) & {point for some in second.values() for point in some}


async def test_the_places_in_a_received_set_tell_nothing_of_the_senders_order():
    """Spearman's rank correlation between a party's own order and that in which its points come back stays small."""
    keys = [f"k{i}".encode() for i in range(400)]
    heard, _ = await view_of(0, [keys, keys, keys])
    orders = []
    for label, points in heard.items():
        for at in range(0, len(points), 400):
            some = points[at : at + 400]
            orders.append((label, np.argsort(np.argsort(some))))
    assert len(orders) >= 4
    for _, order in orders:
        correlation = np.corrcoef(order, np.arange(order.size))[0, 1]
        assert abs(correlation) < 5 / np.sqrt(order.size)


async def test_with_inputs_changed_the_bytes_look_alike():
    """Two-sample chi-square on the bytes of all points a party receives (the last of each aside: it has a fixed bit)."""
    counts = []
    for prefix in (b"a", b"completely-other-"):
        sets = [[prefix + key for key in keys] for keys in SETS]
        heard, _ = await view_of(1, sets)
        points = {point for some in heard.values() for point in some}  # one that is heard twice would count double
        body = b"".join(point[:31] for point in points)
        counts.append(np.bincount(np.frombuffer(body, dtype=np.uint8), minlength=256))
    a, b = counts
    expected = (a + b) / 2
    chi = float((((a - expected) ** 2 + (b - expected) ** 2) / expected).sum())
    assert chi < 255 + 6 * np.sqrt(2 * 255)


async def test_a_leaky_hash_would_not_pass(monkeypatch):
    """The tests above bite: a party that forgets to blind shows points that the others know."""
    monkeypatch.setattr(ddh, "_exponentiate", lambda points, scalar: list(points))
    heard, _ = await view_of(0, SETS)
    plain = {ddh.hash_to_group(key) for keys in SETS for key in keys}
    assert plain & {point for some in heard.values() for point in some}


async def test_a_pairwise_intersection_is_not_shown_to_its_members():
    """Keys that parties 0 and 1 share and 2 lacks: what comes back to 0 in stage 2 has only the common rows."""
    heard, indices = await view_of(0, SETS)
    returned = [points for label, points in heard.items() if "chain-0" in label]
    assert [len(points) for points in returned] == [20]
    assert len(indices[0]) == 20


async def test_fresh_secrets_each_time(monkeypatch):
    drawn = []
    token_bytes = partial(os.urandom)

    def spy(n):
        drawn.append(token_bytes(n))
        return drawn[-1]

    monkeypatch.setattr(ddh.secrets, "token_bytes", spy)
    await intersect_all([[b"a"], [b"a"]])
    await intersect_all([[b"a"], [b"a"]])
    assert len(set(drawn)) == 4
    assert all(len(secret) == 64 for secret in drawn)
