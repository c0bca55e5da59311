"""What a hostile peer or a bad network can do to an encrypted connection: it ends, with a name for it, or never begins."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
import trio
from support.net.connections import (
    HERE,
    MALLORY,
    THERE,
    connected,
    hang_up,
    listening,
    meet,
    network,
    never_answer,
    tcp_pair,
)
from trio.socket import SocketType
from trio.testing import MockClock

from hansa.config.errors import HansaError
from hansa.node.net.connection import Connection, HandshakeParams, Purpose, accept, dial, read_preamble
from hansa.protocols.errors import PeerLost, PeerMisbehaved, PeerTimeout, SecurityError
from hansa.protocols.wire.channel.preamble import SUITES, Preamble, PreambleRefused
from hansa.protocols.wire.limits import NOISE_MAX_MESSAGE


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
