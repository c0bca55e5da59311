"""Encrypted connections over real sockets: what works, what a hostile peer or a bad network can do, cancellation."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
from trio.socket import SocketType
from trio.testing import MockClock

from hansa.config.errors import HansaError
from hansa.node.net import connection as channel
from hansa.node.net.connection import ChannelClosed, Connection, HandshakeParams, Purpose, accept, dial, read_preamble
from hansa.protocols.errors import PeerLost, PeerMisbehaved, PeerTimeout, ProtocolError, SecurityError
from hansa.protocols.wire.channel.handshaking import Handshaking
from hansa.protocols.wire.channel.preamble import SUITES, Preamble, PreambleRefused
from hansa.protocols.wire.limits import CHANNEL_MAX_MESSAGE, NOISE_MAX_MESSAGE
from hansa.protocols.wire.noise import KeyPair

A, B, MALLORY = KeyPair.generate(), KeyPair.generate(), KeyPair.generate()
HERE = HandshakeParams("KK", A.secret, SUITES, B.public, b"job", b"from a")
THERE = HandshakeParams("KK", B.secret, SUITES, A.public, b"job", b"from b")
LARGE = 100 * 1000 * 1000
CLOGGING = 64 << 20

Outcome = Connection | HansaError
Wire = Callable[[SocketType, SocketType], Awaitable[None]]


@pytest.fixture
def clock() -> MockClock:
    """Time that runs on when nothing happens; the threshold lets loopback deliver first."""
    return MockClock(autojump_threshold=0.05)


def tcp_pair() -> tuple[SocketType, SocketType]:
    """Two ends of one loopback connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    for sock in (near, far):
        sock.setblocking(False)
    return trio.socket.from_stdlib_socket(near), trio.socket.from_stdlib_socket(far)


@asynccontextmanager
async def listening(serve: Callable[[SocketType], Awaitable[None]]) -> AsyncIterator[int]:
    """A port whose first connection ``serve`` gets."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]

    async def serve_one() -> None:
        await serve((await listener.accept()).socket)

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(serve_one)
        yield int(listener.socket.getsockname()[1])
        nursery.cancel_scope.cancel()


async def never_answer(sock: SocketType) -> None:
    with sock:
        await trio.sleep_forever()


async def hang_up(*outcomes: Outcome) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Connection):
            await outcome.close()


async def meet(
    here: HandshakeParams = HERE, there: HandshakeParams = THERE, wire: Wire | None = None
) -> tuple[Outcome, Outcome]:
    """Dial and accept; each side's connection, or its error. ``wire`` sits between them as the network."""
    outcomes: dict[str, Outcome] = {}
    done = {"dialed": trio.Event(), "accepted": trio.Event()}

    async def responder(sock: SocketType) -> None:
        try:
            outcomes["accepted"] = await accept(sock, await read_preamble(sock), params=there)
        except HansaError as error:
            sock.close()
            outcomes["accepted"] = error
        done["accepted"].set()

    async with trio.open_nursery() as nursery:

        async def serve(sock: SocketType) -> None:
            if wire is None:
                await responder(sock)
                return
            near, far = tcp_pair()
            nursery.start_soon(responder, far)
            await wire(sock, near)

        async with listening(serve) as port:
            try:
                outcomes["dialed"] = await dial("127.0.0.1", port, purpose=Purpose.WORKER, token=b"token", params=here)
            except HansaError as error:
                outcomes["dialed"] = error
            await done["accepted"].wait()
        nursery.cancel_scope.cancel()
    return outcomes["dialed"], outcomes["accepted"]


@asynccontextmanager
async def connected(
    here: HandshakeParams = HERE, there: HandshakeParams = THERE
) -> AsyncIterator[tuple[Connection, Connection]]:
    dialed, accepted = await meet(here, there)
    assert isinstance(dialed, Connection)
    assert isinstance(accepted, Connection)
    try:
        yield dialed, accepted
    finally:
        await dialed.close()
        await accepted.close()


def network(
    *,
    alter: Callable[[int, int], int] | None = None,
    cut_after: int | None = None,
    step: int = 65536,
) -> Wire:
    """A relay: ``alter(position, byte)`` changes what the initiator says, ``cut_after`` ends it, ``step`` trickles."""

    async def forward(
        source: SocketType, sink: SocketType, change: Callable[[int, int], int] | None, limit: int | None
    ) -> None:
        at = 0
        try:
            while limit is None or at < limit:
                data = await source.recv(step if limit is None else min(step, limit - at))
                if not data:
                    break
                if change is not None:
                    data = bytes(change(at + index, byte) for index, byte in enumerate(data))
                at += len(data)
                while data:
                    data = data[await sink.send(data) :]
        except (OSError, trio.ClosedResourceError):
            pass  # an end has closed: so does the other, below
        sink.close()
        source.close()

    async def wire(near: SocketType, far: SocketType) -> None:
        with near, far:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(forward, near, far, alter, cut_after)
                nursery.start_soon(forward, far, near, None, None)

    return wire


# --- what works ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("pattern", ["XX", "IK", "KK", "XXpsk0"])
async def test_two_nodes_meet_and_talk(pattern: str, suite: str) -> None:
    psk = b"p" * 32 if "psk" in pattern else None
    here = replace(HERE, pattern=pattern, remote_static=B.public if pattern in {"IK", "KK"} else None, psk=psk)
    there = replace(
        THERE, pattern=pattern, suites=(suite,), remote_static=A.public if pattern == "KK" else None, psk=psk
    )
    async with connected(here, there) as (a, b):
        assert (a.remote_static, a.remote_payload, a.suite) == (B.public, b"from b", suite)
        assert (b.remote_static, b.remote_payload, b.suite) == (A.public, b"from a", suite)
        assert a.handshake_hash == b.handshake_hash
        await a.send(b"one ", bytearray(b"message "), memoryview(b"in parts"))
        assert await b.receive() == b"one message in parts"
        await b.send(b"")
        assert await a.receive() == b""
        assert (a.bytes_sent, b.bytes_sent) == (b.bytes_received, a.bytes_received)


async def test_a_message_of_a_hundred_megabytes() -> None:
    data = os.urandom(1 << 20) * (LARGE >> 20) + b"tail"
    async with connected() as (a, b), trio.open_nursery() as nursery:
        nursery.start_soon(a.send, data)
        assert await b.receive() == data


async def test_large_messages_both_ways_at_once_do_not_deadlock() -> None:
    data = bytes(CLOGGING)

    async def exchange(conn: Connection) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(conn.send, data)
            assert len(await conn.receive()) == len(data)

    async with connected() as (a, b), trio.open_nursery() as nursery:
        nursery.start_soon(exchange, a)
        nursery.start_soon(exchange, b)


async def test_concurrent_senders_never_mix_their_messages() -> None:
    async with connected() as (a, b), trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(a.send, bytes([number]) * (number * 20_000))
        seen = [bytes(await b.receive()) for _ in range(20)]
    assert sorted(map(len, seen)) == [number * 20_000 for number in range(20)]
    assert all(len(set(message)) <= 1 for message in seen)


async def test_a_network_that_delivers_byte_by_byte() -> None:
    ends: list[Outcome] = []
    async with trio.open_nursery() as nursery:
        near, far = tcp_pair()
        client, relay_in = tcp_pair()

        async def respond() -> None:
            ends.append(await accept(far, await read_preamble(far), params=THERE))

        nursery.start_soon(network(step=1), relay_in, near)
        nursery.start_soon(respond)
        a = await channel._handshake(client, Handshaking.initiate(HERE, Purpose.WORKER, b"token"))
        await a.send(bytes(5000))
        while not ends:
            await trio.lowlevel.checkpoint()
        b = ends[0]
        assert isinstance(b, Connection)
        assert await b.receive() == bytes(5000)
        await a.close()
        await b.close()


async def test_a_socket_may_change_hands_after_its_preamble() -> None:
    received: list[Connection] = []

    async def hand_over(sock: SocketType) -> None:
        raw = (await read_preamble(sock)).raw
        moved = trio.socket.from_stdlib_socket(socket.socket(fileno=os.dup(sock.fileno())))
        sock.close()
        received.append(await accept(moved, Preamble.decode_untrusted(raw), params=THERE))
        await received[0].send(b"from the other process")

    async with listening(hand_over) as port:
        conn = await dial("127.0.0.1", port, purpose=Purpose.WORKER, token=b"token", params=HERE)
        assert await conn.receive() == b"from the other process"
    await conn.close()
    await received[0].close()


# --- hostile peers and bad networks ----------------------------------------------------------------------------------


async def test_any_altered_byte_of_the_initiator_s_opening_fails(clock: MockClock) -> None:
    counted = 0

    def count(position: int, byte: int) -> int:
        nonlocal counted
        counted = max(counted, position + 1)
        return byte

    await hang_up(*await meet(wire=network(alter=count)))
    assert counted > 100
    for victim in range(counted):
        dialed, accepted = await meet(wire=network(alter=lambda at, byte, v=victim: byte ^ (at == v)))  # type: ignore[misc]
        assert isinstance(accepted, HansaError), victim
        if isinstance(dialed, Connection):  # the last word of the handshake was the altered one: its reader hangs up
            with pytest.raises(PeerLost, match=r"lost|without a goodbye"):
                await dialed.receive()


async def test_an_opening_cut_at_any_byte_ends_on_both_sides(clock: MockClock) -> None:
    whole = len(Preamble.build(Purpose.WORKER, b"token", SUITES).raw) + 2 + 32 + 6 + 16 + 2 + 16
    for cut in range(whole):
        dialed, accepted = await meet(wire=network(cut_after=cut))
        assert isinstance(accepted, PeerLost), cut
        if isinstance(dialed, Connection):
            with pytest.raises(PeerLost, match=r"lost|without a goodbye"):
                await dialed.receive()


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (replace(HERE, static_secret=MALLORY.secret), THERE),
        (replace(HERE, remote_static=MALLORY.public), THERE),
        (HERE, replace(THERE, static_secret=MALLORY.secret)),
        (HERE, replace(THERE, prologue_extra=b"another job")),
    ],
)
async def test_keys_or_jobs_that_do_not_match(here: HandshakeParams, there: HandshakeParams) -> None:
    dialed, accepted = await meet(here, there)
    assert isinstance(accepted, SecurityError)
    assert isinstance(dialed, PeerLost)
    assert "hansa doctor" in dialed.remedy


async def test_a_downgrade_on_the_way_fails() -> None:
    def swap(position: int, byte: int) -> int:
        """Turns the first suite offered, AESGCM_SHA256, into a name nobody speaks: the next best is chosen."""
        return byte ^ 1 if position == 4 + 3 + 5 + 2 else byte

    dialed, accepted = await meet(wire=network(alter=swap))
    assert isinstance(accepted, SecurityError)
    assert isinstance(dialed, PeerLost)


async def test_no_common_suite_is_said_on_both_sides() -> None:
    dialed, accepted = await meet(replace(HERE, suites=SUITES[:1]), replace(THERE, suites=SUITES[1:]))
    assert isinstance(dialed, PreambleRefused)
    assert isinstance(accepted, PreambleRefused)
    assert "no common suite" in dialed.message
    assert "channel.suites" in accepted.remedy


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", bytes(200), b"HNSA\x01\x63"])
async def test_garbage_at_the_port(garbage: bytes) -> None:
    near, far = tcp_pair()
    with near, far:
        await near.send(garbage)
        with pytest.raises(PeerMisbehaved, match="not a hansa preamble"):
            await read_preamble(far)


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x00" * 100, b"HNSA\x01\x00\xffjunk"])
async def test_a_port_that_is_not_hansa_s(garbage: bytes) -> None:
    async def serve(sock: SocketType) -> None:
        with sock:
            await sock.send(garbage)
            await sock.recv(1000)

    async with listening(serve) as port:
        with pytest.raises(PeerMisbehaved, match="not a hansa preamble"):
            await dial("127.0.0.1", port, purpose=Purpose.CONTROL, token=b"", params=HERE)


async def test_a_recorded_opening_played_again_opens_nothing(clock: MockClock) -> None:
    said = bytearray()

    def record(position: int, byte: int) -> int:
        said.append(byte)
        return byte

    await hang_up(*await meet(wire=network(alter=record)))
    said = said[: len(Preamble.build(Purpose.WORKER, b"token", SUITES).raw) + 2 + 32 + 6 + 16 + 2 + 16]
    near, far = tcp_pair()
    with near:
        await near.send(bytes(said))
        with pytest.raises(SecurityError, match="replayed"):
            await accept(far, await read_preamble(far), params=THERE)
    near, far = tcp_pair()
    with near:
        await near.send(bytes(said[: -(2 + 16)]))  # without the confirmation
        with pytest.raises(PeerTimeout, match="silent during the handshake"):
            await accept(far, await read_preamble(far), params=THERE)


async def test_a_preamble_drop_by_drop_runs_into_its_deadline(clock: MockClock) -> None:
    near, far = tcp_pair()

    async def drip() -> None:
        for byte in Preamble.build(Purpose.CONTROL, b"t" * 32, SUITES).raw:
            await near.send(bytes([byte]))
            await trio.sleep(1)

    with near, far:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drip)
            start = trio.current_time()
            with pytest.raises(PeerTimeout, match="before it said what it wants"):
                await read_preamble(far)
            assert 4.9 < trio.current_time() - start < 6.1  # virtual seconds
            nursery.cancel_scope.cancel()


async def test_a_handshake_that_stalls_runs_into_its_deadline(clock: MockClock) -> None:
    near, far = tcp_pair()
    with near:
        await near.send(Preamble.build(Purpose.WORKER, b"token", SUITES).raw)
        preamble = await read_preamble(far)
        with pytest.raises(PeerTimeout, match="silent during the handshake"):
            await accept(far, preamble, params=THERE)
        assert far.fileno() == -1


async def test_a_listener_that_never_answers(clock: MockClock) -> None:
    async with listening(never_answer) as port:
        with pytest.raises(PeerTimeout, match="silent while connecting"):
            await dial("127.0.0.1", port, purpose=Purpose.CONTROL, token=b"", params=HERE)


@pytest.mark.parametrize("host", ["127.0.0.1", "a" * 70 + ".example", ""])
async def test_nobody_there(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(PeerLost, match="while connecting to"):
        await dial(host, port, purpose=Purpose.CONTROL, token=b"", params=HERE)


async def test_a_deadline_around_us_stays_ours(clock: MockClock) -> None:
    async with listening(never_answer) as port:
        with trio.move_on_after(1) as scope:
            await dial("127.0.0.1", port, purpose=Purpose.CONTROL, token=b"", params=HERE)
        assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("junk", "error", "why"),
    [
        (b"\x00\x20" + b"z" * 32, SecurityError, "does not decrypt"),
        (b"\x00\x00", PeerMisbehaved, "a record of 0 bytes"),
        (b"\xff\xff" + bytes(NOISE_MAX_MESSAGE), SecurityError, "does not decrypt"),
    ],
)
async def test_forged_records_end_the_connection_for_both(junk: bytes, error: type[HansaError], why: str) -> None:
    async with connected() as (a, b):
        await b.send(b"before")
        await a._sock.send(junk)
        for _ in range(2):
            with pytest.raises(error, match=why):
                await b.receive()
        with pytest.raises(error, match=why):
            await b.send(b"nothing more")
        assert await a.receive() == b"before"
        with pytest.raises(PeerLost, match=r"lost|without a goodbye"):
            await a.receive()


async def test_a_replayed_record_ends_the_connection() -> None:
    async with connected() as (a, b):
        record = bytes(next(a._sender.message(b"pay once")))
        await a._sock.send(record + record)
        assert await b.receive() == b"pay once"
        with pytest.raises(SecurityError, match="replayed"):
            await b.receive()


@pytest.mark.parametrize("cut", [1, 2, 10, 70_000])
async def test_a_connection_cut_inside_a_message(cut: int) -> None:
    async with connected() as (a, b):
        await a._sock.send(bytes(next(a._sender.message(bytes(200_000))))[:cut])
        a._sock.close()
        with pytest.raises(PeerLost, match="without a goodbye"):
            await b.receive()


# --- goodbye ---------------------------------------------------------------------------------------------------------


async def test_a_goodbye_reaches_the_peer_with_its_reason() -> None:
    async with connected() as (a, b):
        await a.send(b"last words")
        await a.close("the job is done")
        await a.close("again")
        assert await b.receive() == b"last words"
        for _ in range(2):
            with pytest.raises(ChannelClosed, match="the job is done") as caught:
                await b.receive()
            assert caught.value.reason == "the job is done"
        for call in (a.receive, lambda: a.send(b"x")):
            with pytest.raises(PeerLost, match="closed here: the job is done"):
                await call()


async def test_a_goodbye_survives_data_nobody_read_and_a_failed_send() -> None:
    async with connected() as (a, b):
        await b.send(b"nobody reads this")
        await a.close("bye")
        with pytest.raises(PeerLost, match="while sending"):
            await b.send(bytes(CLOGGING))
        with pytest.raises(PeerLost, match="while sending"):
            await b.send(b"and none after it")
        with pytest.raises(ChannelClosed, match="bye"):
            await b.receive()


async def test_closing_wakes_whoever_waits(clock: MockClock) -> None:
    async def expect_lost(call: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(PeerLost, match="closed here"):
            await call()

    async with connected() as (a, _), trio.open_nursery() as nursery:
        nursery.start_soon(expect_lost, a.receive)
        nursery.start_soon(expect_lost, lambda: a.send(bytes(CLOGGING)))
        nursery.start_soon(a.keep_alive)  # returns: there is nothing left to keep
        await trio.testing.wait_all_tasks_blocked(0.05)
        start = trio.current_time()
        await a.close("enough")
        assert trio.current_time() - start < 1.5  # virtual seconds, although the peer never reads


# --- signs of life ---------------------------------------------------------------------------------------------------


async def serve_life(conn: Connection, nursery: trio.Nursery) -> None:
    async def drain() -> None:
        while True:
            await conn.receive()

    nursery.start_soon(conn.keep_alive)
    nursery.start_soon(drain)


async def test_idle_connections_live_and_know_their_latency(clock: MockClock) -> None:
    async with connected() as (a, b), trio.open_nursery() as nursery:
        await serve_life(a, nursery)
        await serve_life(b, nursery)
        await trio.sleep(60)
        assert a.latency_s is not None
        assert b.latency_s is not None
        assert trio.current_time() - a.last_heard < 6
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("clogged", [False, True], ids=["idle", "while we send"])
async def test_a_silent_peer_is_noticed_by_all_tasks(clock: MockClock, clogged: bool) -> None:
    errors: list[HansaError] = []

    async def note(call: Callable[[], Awaitable[object]]) -> None:
        try:
            await call()
        except HansaError as error:
            errors.append(error)

    async with connected() as (a, _):
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note, a.receive)
            nursery.start_soon(note, a.keep_alive)
            if clogged:
                nursery.start_soon(note, lambda: a.send(bytes(CLOGGING)))
        assert 19 < trio.current_time() - start < 27  # virtual seconds
    assert len(errors) == 2 + clogged
    assert all(isinstance(error, PeerTimeout) and "silent for 20 s" in error.message for error in errors)


async def test_polling_does_not_hide_silence(clock: MockClock) -> None:
    async with connected() as (a, _), trio.open_nursery() as nursery:

        async def expect_timeout() -> None:
            with pytest.raises(PeerTimeout, match="silent"):
                await a.keep_alive()

        async def poll() -> None:
            while True:
                with trio.move_on_after(3):
                    await a.receive()

        nursery.start_soon(expect_timeout)
        start = trio.current_time()
        with pytest.raises(PeerTimeout, match="silent"):
            await poll()
        assert trio.current_time() - start < 25  # virtual seconds


async def test_a_reader_that_pauses_does_not_call_its_peer_silent(clock: MockClock) -> None:
    async with connected() as (a, b), trio.open_nursery() as nursery:
        nursery.start_soon(a.keep_alive)
        await serve_life(b, nursery)
        await trio.sleep(60)
        await b.send(b"here all the time")
        assert await a.receive() == b"here all the time"
        nursery.cancel_scope.cancel()


# --- cancellation ----------------------------------------------------------------------------------------------------


async def test_a_cancelled_send_ends_the_connection_for_both() -> None:
    async with connected() as (a, b):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(a.send, bytes(CLOGGING))
                await trio.testing.wait_all_tasks_blocked(0.05)
                scope.cancel()
        with pytest.raises(PeerLost, match="cut short here"):
            await a.send(b"and another")
        with pytest.raises(PeerLost, match=r"lost|without a goodbye"):
            await b.receive()


async def test_a_sender_cancelled_while_it_waits_its_turn_harms_nothing() -> None:
    async with connected() as (a, b), trio.open_nursery() as nursery:
        nursery.start_soon(a.send, bytes(CLOGGING))
        await trio.testing.wait_all_tasks_blocked(0.05)
        with trio.move_on_after(0.01):
            await a.send(b"never said")
        assert len(await b.receive()) == CLOGGING
        await a.send(b"said")
        assert await b.receive() == b"said"


async def test_a_send_cancelled_before_it_begins_harms_nothing() -> None:
    async with connected() as (a, b):
        with trio.CancelScope() as scope:
            scope.cancel()
            await a.send(b"never said")
        await a.send(b"said")
        assert await b.receive() == b"said"


async def test_a_cancelled_receive_loses_nothing() -> None:
    async with connected() as (a, b):
        sent = [bytes([number]) * (1 + number * 10_000) for number in range(30)]
        seen: list[bytes] = []

        async def send_all() -> None:
            for message in sent:
                await a.send(message)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_all)
            while len(seen) < len(sent):
                with trio.move_on_after(0.0005):
                    seen.append(bytes(await b.receive()))
        assert seen == sent


async def test_buffered_messages_do_not_starve_other_tasks() -> None:
    async with connected() as (a, b):
        for _ in range(100):
            await a.send(b"x")
        await trio.testing.wait_all_tasks_blocked(0.05)
        await b.receive()
        with trio.testing.assert_checkpoints():
            await b.receive()


async def test_a_message_that_is_too_long_harms_nothing() -> None:
    part = bytes(1 << 20)
    async with connected() as (a, b):
        with pytest.raises(ProtocolError, match="too long for a channel"):
            await a.send(*[part] * (CHANNEL_MAX_MESSAGE >> 20), b"x")
        await a.send(b"still here")
        assert await b.receive() == b"still here"
