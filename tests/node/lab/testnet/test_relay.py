"""The shaping relay: bytes intact both ways, latency and bandwidth as asked, changes at once, ends that are ends."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from hansa.node.lab.testnet.relay import serve_relay
from hansa.node.lab.testnet.shape import Shape, parse_bandwidth, parse_latency


@asynccontextmanager
async def relayed_echo(shape: Shape) -> AsyncIterator[trio.SocketStream]:
    async def echo(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, echo, 0, host="127.0.0.1"))
        target = ("127.0.0.1", listeners[0].socket.getsockname()[1])
        port = await nursery.start(partial(serve_relay, target, shape))
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            yield stream
        nursery.cancel_scope.cancel()


async def exactly(stream: trio.SocketStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        some = await stream.receive_some(count - len(data))
        assert some, "the stream ended early"
        data += some
    return data


async def test_bytes_pass_whole_and_in_order() -> None:
    sent = os.urandom(3_000_000)
    async with relayed_echo(Shape()) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, sent)
        with trio.fail_after(20):
            assert await exactly(stream, len(sent)) == sent


async def test_latency_is_at_least_as_asked_and_changes_while_the_connection_stands() -> None:
    shape = Shape(latency_s=0.05)
    async with relayed_echo(shape) as stream:
        for latency in (0.05, 0.15):
            shape.latency_s = latency
            start = trio.current_time()
            await stream.send_all(b"x")
            await exactly(stream, 1)
            assert trio.current_time() - start >= 2 * latency


async def test_bandwidth_is_at_most_as_asked() -> None:
    async with relayed_echo(Shape(bytes_per_s=1e6)) as stream:
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, bytes(300_000))
            await exactly(stream, 300_000)
        assert trio.current_time() - start >= 0.25


async def test_a_half_closed_connection_still_answers() -> None:
    async with relayed_echo(Shape()) as stream:
        await stream.send_all(b"last words")
        await stream.send_eof()
        with trio.fail_after(5):
            assert await exactly(stream, 10) == b"last words"
            assert await stream.receive_some(1) == b""


async def test_a_dead_target_ends_the_connection() -> None:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(partial(serve_relay, ("127.0.0.1", 9), Shape()))
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            with trio.fail_after(5):
                assert await stream.receive_some(1) == b""
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("text", "seconds"), [("50ms", 0.05), ("200us", 0.0002), ("1.5s", 1.5), ("0ms", 0.0)])
def test_latencies(text: str, seconds: float) -> None:
    assert parse_latency(text) == pytest.approx(seconds)


@pytest.mark.parametrize(("text", "rate"), [("100mbit", 12.5e6), ("1gbit", 125e6), ("256kbit", 32e3)])
def test_bandwidths(text: str, rate: float) -> None:
    assert parse_bandwidth(text) == rate


@pytest.mark.parametrize("text", ["", "50", "-5ms", "ms", "11s", "1e3ms", "50 ms", "١ms"])
def test_what_is_no_latency(text: str) -> None:
    with pytest.raises(ValueError, match="is not a latency"):
        parse_latency(text)


@pytest.mark.parametrize("text", ["", "100", "1bit", "0mbit", "7kbit", "nanmbit", "100Mbit"])
def test_what_is_no_bandwidth(text: str) -> None:
    with pytest.raises(ValueError, match="is not a bandwidth"):
        parse_bandwidth(text)


def test_unlimited_is_infinite() -> None:
    assert Shape().bytes_per_s == math.inf
