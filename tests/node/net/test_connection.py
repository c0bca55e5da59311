"""Encrypted connections over real sockets: messages, goodbyes, signs of life, cancellation."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import trio
from support.net.connections import (
    CLOGGING,
    HERE,
    LARGE,
    THERE,
    A,
    B,
    Outcome,
    connected,
    listening,
    network,
    tcp_pair,
)
from trio.socket import SocketType
from trio.testing import MockClock

from hansa.config.errors import HansaError
from hansa.node.net import connection as channel
from hansa.node.net.connection import ChannelClosed, Connection, Purpose, accept, dial, read_preamble
from hansa.protocols.errors import PeerLost, PeerTimeout, ProtocolError
from hansa.protocols.wire.channel.handshaking import Handshaking
from hansa.protocols.wire.channel.preamble import SUITES, Preamble
from hansa.protocols.wire.limits import CHANNEL_MAX_MESSAGE

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
