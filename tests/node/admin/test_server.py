"""The admin socket: what clients ask, what rude ones do, and that neither ends the daemon."""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from hansa.node.admin import protocol
from hansa.node.admin import server as server_module
from hansa.node.admin.client import AdminClient
from hansa.node.admin.server import AdminServer
from hansa.node.errors import DaemonNotRunning, RelayedError, UsageError
from hansa.protocols.errors import PeerLost

Notify = Callable[[str, dict[str, Any]], Awaitable[None]]


@asynccontextmanager
async def serving(home: Path) -> AsyncIterator[AdminServer]:
    server = AdminServer({})

    async def echo(text: str) -> str:
        return text

    async def count(to: int, notify: Notify) -> int:
        for number in range(to):
            await notify("count", {"number": number})
        return to

    async def refuse() -> None:
        raise UsageError("no", remedy="ask otherwise", peer="bank")

    async def refuse_in_group() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refuse)

    async def bug() -> None:
        raise ZeroDivisionError

    async def much() -> str:
        return "x" * protocol.MAX_LINE

    server.methods |= {
        "echo": echo,
        "count": count,
        "refuse": refuse,
        "refuse_in_group": refuse_in_group,
        "bug": bug,
        "much": much,
    }
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run, home / "admin.sock")
        yield server
        nursery.cancel_scope.cancel()


async def with_client(home: Path, use: Callable[[AdminClient], Any]) -> Any:
    def run() -> Any:
        with AdminClient(home) as client:
            return use(client)

    return await trio.to_thread.run_sync(run)


async def raw(home: Path, data: bytes) -> list[dict[str, Any]]:
    """Send bytes, half-close nothing, read one line."""
    stream = await trio.open_unix_socket(str(home / "admin.sock"))
    async with stream:
        await stream.send_all(data)
        got = b""
        with trio.fail_after(10):
            while not got.endswith(b"\n"):
                piece = await stream.receive_some(65536)
                if not piece:
                    break
                got += piece
    return [json.loads(line) for line in got.splitlines()]


async def test_calls_notifications_and_errors(tmp_path: Path) -> None:
    async with serving(tmp_path):
        assert await with_client(tmp_path, lambda c: c.call("echo", text="hé")) == "hé"
        assert await with_client(tmp_path, lambda c: list(c.stream("count", to=2))) == [
            ("count", {"number": 0}),
            ("count", {"number": 1}),
            ("result", 2),
        ]
        for method in ("refuse", "refuse_in_group"):
            with pytest.raises(RelayedError, match="no\n  next: ask otherwise") as caught:
                await with_client(tmp_path, lambda c, m=method: c.call(m))
            assert (caught.value.code, caught.value.fields) == ("usage", {"peer": "bank"})
        with pytest.raises(RelayedError, match="unknown method nothing"):
            await with_client(tmp_path, lambda c: c.call("nothing"))
        with pytest.raises(RelayedError, match="missing a required argument"):
            await with_client(tmp_path, lambda c: c.call("echo"))
        with pytest.raises(RelayedError, match="failed inside 'bug'"):
            await with_client(tmp_path, lambda c: c.call("bug"))
        with pytest.raises(RelayedError, match="longer than 8 MiB"):
            await with_client(tmp_path, lambda c: c.call("much"))
        assert await with_client(tmp_path, lambda c: [c.call("echo", text=str(i)) for i in range(3)]) == ["0", "1", "2"]


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]", b"7", b"null", b'{"method":1}', b'{"method":"echo","params":[1]}', b"[" * 100_000, b"\xff\xfe"],
)
async def test_what_is_not_a_request_is_refused(tmp_path: Path, line: bytes) -> None:
    async with serving(tmp_path):
        (answer,) = await raw(tmp_path, line + b"\n")
        assert answer["error"]["code"] == protocol.PARSE_ERROR
        assert answer["id"] is None
        assert await with_client(tmp_path, lambda c: c.call("echo", text="a")) == "a"


@pytest.mark.parametrize("end", [b"", b"\n"])
async def test_an_oversized_line_is_refused(tmp_path: Path, end: bytes) -> None:
    async with serving(tmp_path):
        stream = await trio.open_unix_socket(str(tmp_path / "admin.sock"))
        async with stream:
            got = b""
            with trio.fail_after(20):
                try:
                    await stream.send_all(b" " * (protocol.MAX_LINE + 1) + end)
                    got = await stream.receive_some(1000)
                except trio.BrokenResourceError:
                    got = await stream.receive_some(1000)
        assert b"longer than 8 MiB" in got
        assert await with_client(tmp_path, lambda c: c.call("echo", text="a")) == "a"


async def test_a_line_of_exactly_the_bound_is_read(tmp_path: Path) -> None:
    async with serving(tmp_path):
        request = b'{"id":1,"method":"echo","params":{"text":"a"}}'
        (answer,) = await raw(tmp_path, request.ljust(protocol.MAX_LINE) + b"\n")
        assert answer["result"] == "a"


async def test_a_request_without_id_gets_no_answer(tmp_path: Path) -> None:
    async with serving(tmp_path):
        lines = b'{"method":"echo","params":{"text":"a"}}\n{"id":5,"method":"echo","params":{"text":"b"}}\n'
        (answer,) = await raw(tmp_path, lines)
        assert (answer["id"], answer["result"]) == (5, "b")


async def test_clients_that_leave_in_the_middle_end_nothing_but_their_request(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        ended = trio.Event()

        async def slow(notify: Notify) -> None:
            try:
                await trio.sleep_forever()
            finally:
                ended.set()

        server.methods["slow"] = slow

        def rude(data: bytes) -> None:
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(tmp_path / "admin.sock"))
            client.sendall(data)
            client.close()

        await trio.to_thread.run_sync(rude, b'{"id":1,"method":"slow"}\n')
        with trio.fail_after(5):
            await ended.wait()
        for _ in range(3):
            await trio.to_thread.run_sync(rude, b'{"id":1,"method":"echo","params":{"text":"a"}}\n' * 1000)
        await trio.to_thread.run_sync(rude, b'{"id":1,"method":"count","params":{"to":100000}}\n')
        assert await with_client(tmp_path, lambda c: c.call("echo", text="a")) == "a"


async def test_too_many_clients_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CLIENTS", 1)
    async with serving(tmp_path):
        stream = await trio.open_unix_socket(str(tmp_path / "admin.sock"))
        async with stream:
            await stream.send_all(b'{"id":1,"method":"echo","params":{"text":"a"}}\n')
            await stream.receive_some(1000)
            with pytest.raises(RelayedError, match="programs use this node at once"):
                await with_client(tmp_path, lambda c: c.call("echo", text="a"))


async def test_only_this_user_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path):
        assert stat.S_IMODE((tmp_path / "admin.sock").stat().st_mode) == 0o600
        monkeypatch.setattr(os, "getuid", lambda: 4242)
        monkeypatch.setattr(server_module, "_peer_uid", lambda sock: 4243)
        with pytest.raises(DaemonNotRunning, match="no hansa daemon answers"):
            await with_client(tmp_path, lambda c: c.call("echo", text="a"))
        monkeypatch.setattr(server_module, "_peer_uid", lambda sock: 4242)
        assert await with_client(tmp_path, lambda c: c.call("echo", text="a")) == "a"


async def test_a_stale_socket_is_replaced_and_a_stopped_server_leaves_none(tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "admin.sock"))
    stale.close()
    async with serving(tmp_path):
        assert await with_client(tmp_path, lambda c: c.call("echo", text="a")) == "a"
    assert not (tmp_path / "admin.sock").exists()
    with pytest.raises(DaemonNotRunning, match="next: start it with `hansa run"), AdminClient(tmp_path):
        pass


async def test_a_client_whose_daemon_dies_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:

        async def lost() -> None:
            raise PeerLost("bank is offline", remedy="hansa doctor")

        server.methods["lost"] = lost
        with pytest.raises(RelayedError, match="bank is offline") as caught:
            await with_client(tmp_path, lambda c: c.call("lost"))
        assert caught.value.exit_code == PeerLost.exit_code
        client = AdminClient(tmp_path)
        assert await trio.to_thread.run_sync(lambda: client.call("echo", text="a")) == "a"
    with pytest.raises(DaemonNotRunning, match="no hansa daemon answers"):
        await trio.to_thread.run_sync(lambda: client.call("echo", text="a"))


def test_the_peer_credentials_are_those_of_the_connecting_process() -> None:
    here, there = socket.socketpair()
    with here, there:
        if not hasattr(socket, "SO_PEERCRED"):
            pytest.skip("no SO_PEERCRED on this platform")
        raw_credentials = here.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        assert server_module._peer_uid(here) == struct.unpack("3i", raw_credentials)[1] == os.getuid()
