import os
import socket

import pytest
import trio

from hansa.node.errors import JobError
from hansa.node.worker import fd_passing
from hansa.node.worker.fd_passing import FramePipe, PipeClosed, pipe_pair


def pipes():
    left, right = pipe_pair()
    return FramePipe(left), FramePipe(right)


async def test_frames_arrive_whole_and_in_order():
    left, right = pipes()
    await left.send(b"one")
    await left.send(b"")
    await left.send(b"three")
    assert [(await right.receive())[0] for _ in range(3)] == [b"one", b"", b"three"]
    left.close()
    right.close()


async def test_large_frame_crosses_while_both_ends_run():
    left, right = pipes()
    body = os.urandom(3_000_000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(left.send, body)
        received, _ = await right.receive()
    assert received == body
    left.close()
    right.close()


async def test_a_socket_is_handed_over_and_works():
    left, right = pipes()
    mine, theirs = socket.socketpair()
    await left.send(b"here", (theirs.fileno(),))
    await left.send(b"after")
    theirs.close()
    body, fds = await right.receive()
    assert body == b"here"
    with socket.socket(fileno=fds[0]) as passed:
        passed.sendall(b"hello")
        assert mine.recv(5) == b"hello"
    assert await right.receive() == (b"after", ())
    mine.close()
    left.close()
    right.close()


async def test_two_frames_with_sockets_keep_theirs_apart():
    left, right = pipes()
    pairs = [socket.socketpair() for _ in range(3)]
    for i, (_, theirs) in enumerate(pairs):
        await left.send(bytes([i]), (theirs.fileno(),))
        theirs.close()
    for i, (mine, _) in enumerate(pairs):
        body, fds = await right.receive()
        assert body == bytes([i])
        with socket.socket(fileno=fds[0]) as passed:
            passed.sendall(bytes([i]))
        assert mine.recv(1) == bytes([i])
        mine.close()
    left.close()
    right.close()


async def test_concurrent_senders_do_not_mix_frames():
    left, right = pipes()
    async with trio.open_nursery() as nursery:
        for i in range(20):
            nursery.start_soon(left.send, bytes([i]) * 50_000)
        seen = set()
        for _ in range(20):
            body, _ = await right.receive()
            assert body == body[:1] * 50_000
            seen.add(body[0])
    assert seen == set(range(20))
    left.close()
    right.close()


async def test_the_end_of_the_other_process_is_pipe_closed():
    left, right = pipes()
    left.close()
    with pytest.raises(PipeClosed, match="ended"):
        await right.receive()
    with pytest.raises(PipeClosed, match="ended"):
        await right.send(b"x")
    right.close()


async def test_bounds(monkeypatch):
    left, right = pipes()
    monkeypatch.setattr(fd_passing, "MAX_FRAME", 10)
    await left.send(b"x" * 10)
    with pytest.raises(JobError, match="11 bytes does not fit"):
        await left.send(b"x" * 11)
    assert (await right.receive())[0] == b"x" * 10
    monkeypatch.setattr(fd_passing, "MAX_FRAME", 100)
    await left.send(b"y" * 11)
    monkeypatch.setattr(fd_passing, "MAX_FRAME", 10)
    with pytest.raises(PipeClosed, match="11 bytes"):
        await right.receive()
    left.close()
    right.close()


async def test_close_closes_descriptors_nobody_took():
    left, right = pipes()
    mine, theirs = socket.socketpair()
    mine.settimeout(5)
    await left.send(b"", (theirs.fileno(),))
    left.close()
    theirs.close()
    with pytest.raises(PipeClosed, match="ended"):
        await right._fill(1000)
    right.close()
    assert mine.recv(1) == b""
    mine.close()
