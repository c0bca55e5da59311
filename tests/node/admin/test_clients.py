"""The blocking client and the one under trio, on one daemon's socket: the same answers, the same errors."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from hansa.node.admin import protocol
from hansa.node.admin.async_client import AsyncAdminClient
from hansa.node.admin.client import AdminClient, connect
from hansa.node.admin.server import AdminServer, Notify
from hansa.node.errors import DaemonNotRunning, RelayedError, UsageError


class Jobs:
    """Stands for a daemon's methods."""

    def __init__(self) -> None:
        self.watchers = 0
        self.meeting = 0

    async def status(self) -> dict[str, Any]:
        return {"name": "bank"}

    async def meet(self) -> list[Any]:
        """Answers once three have asked."""
        self.meeting += 1
        while self.meeting < 3:
            await trio.sleep(0.001)
        return []

    async def show(self, job: str) -> None:
        raise UsageError(f"no job is called '{job}'", remedy="hansa job list", job=job)

    async def events(self, job: str, notify: Notify) -> dict[str, Any]:
        self.watchers += 1
        try:
            for done in range(3):
                await notify("job.event", {"job": job, "done": done})
            if job == "endless":
                await trio.sleep_forever()
        finally:
            self.watchers -= 1
        return {"state": "done"}


@asynccontextmanager
async def daemon(home: Path) -> AsyncIterator[Jobs]:
    jobs, server = Jobs(), AdminServer({})
    server.methods |= {
        "node.status": jobs.status,
        "peer.list": jobs.meet,
        "job.show": jobs.show,
        "job.watch": jobs.events,
    }
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run, home / "admin.sock")
        yield jobs
        nursery.cancel_scope.cancel()


async def in_thread(work: Callable[[], Any]) -> Any:
    return await trio.to_thread.run_sync(work)


async def test_the_same_calls_block_or_are_awaited(tmp_path: Path) -> None:
    def block() -> list[Any]:
        with connect(tmp_path) as node:
            return [node.status(), [event["done"] for event in node.watch("4f1c")], node.status()]

    async with daemon(tmp_path):
        async with connect(str(tmp_path)) as node:
            waited = [await node.status(), [event["done"] async for event in node.watch("4f1c")], await node.status()]
        assert waited == await in_thread(block) == [{"name": "bank"}, [0, 1, 2], {"name": "bank"}]


async def test_the_same_errors(tmp_path: Path) -> None:
    async with daemon(tmp_path), connect(tmp_path) as node:
        with pytest.raises(RelayedError, match="no job is called 'x'\n  next: hansa job list"):
            await node.job("x")
        with pytest.raises(RelayedError, match="no job is called 'x'\n  next: hansa job list"):
            await in_thread(lambda: connect(tmp_path).job("x"))
        with pytest.raises(RelayedError, match=r"unknown method node\.stop"):
            await node.stop()


async def test_where_no_daemon_answers_both_say_so_at_once(tmp_path: Path) -> None:
    with pytest.raises(DaemonNotRunning, match=f"no hansa daemon answers for {tmp_path}"), connect(tmp_path):
        pass
    with pytest.raises(DaemonNotRunning, match=f"no hansa daemon answers for {tmp_path}"):
        async with connect(tmp_path):
            pass
    with pytest.raises(DaemonNotRunning, match="next: start it with `hansa run --home"):
        connect(tmp_path).status()
    with pytest.raises(DaemonNotRunning, match="next: start it with `hansa run --home"):
        await AsyncAdminClient(tmp_path).status()


async def rude(home: Path, answer: bytes, *, task_status: trio.TaskStatus[None]) -> None:
    """A daemon that answers with these bytes and hangs up."""

    async def reply(stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError):  # who has read too much hangs up first
                await stream.send_all(answer)
                await stream.send_eof()
                await stream.receive_some()

    with trio.socket.socket(trio.socket.AF_UNIX) as bound:
        await bound.bind(str(home / "admin.sock"))
        bound.listen()
        await trio.serve_listeners(reply, [trio.SocketListener(bound)], task_status=task_status)


@pytest.mark.parametrize("answer", [b"", b'{"id":1,"result":', b"\n", b'"' + b"x" * (protocol.MAX_LINE + 2)])
async def test_a_daemon_that_breaks_off_is_not_running(tmp_path: Path, answer: bytes) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: rude(tmp_path, answer, task_status=task_status))
        with pytest.raises(DaemonNotRunning, match="no hansa daemon answers"):
            await AsyncAdminClient(tmp_path).status()
        with pytest.raises(DaemonNotRunning, match="no hansa daemon answers"):
            await in_thread(AdminClient(tmp_path).status)
        nursery.cancel_scope.cancel()


async def test_tasks_use_one_client_at_once(tmp_path: Path) -> None:
    async with daemon(tmp_path), connect(tmp_path) as node:
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(node.peers)


async def test_who_stops_watching_ends_the_watching_and_nothing_else(tmp_path: Path) -> None:
    def block() -> tuple[int, str]:
        node = connect(tmp_path)
        for event in node.watch("endless"):
            if event["done"] == 1:
                break
        return event["done"], node.status()["name"]

    async with daemon(tmp_path) as jobs:
        assert await in_thread(block) == (1, "bank")
        async with connect(tmp_path) as node, aclosing(node.watch("endless")) as events:
            async for event in events:
                if event["done"] == 1:
                    break
        with trio.move_on_after(0.1):
            async for _ in node.watch("endless"):
                pass
        assert await node.status() == {"name": "bank"}
        with trio.fail_after(5):
            while jobs.watchers:
                await trio.sleep(0.01)


async def test_the_blocking_client_works_inside_asyncio(tmp_path: Path) -> None:
    async def cell() -> str:
        with connect(tmp_path) as node:
            return node.status()["name"]

    async with daemon(tmp_path):
        assert await in_thread(lambda: asyncio.run(cell())) == "bank"


def test_the_home_is_the_environments_unless_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HANSA_HOME", str(tmp_path))
    with pytest.raises(DaemonNotRunning, match=str(tmp_path)):
        connect().status()
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    with pytest.raises(DaemonNotRunning, match=str(tmp_path / "me" / "node")):
        connect("~/node").status()


def test_a_method_shows_its_signature_and_its_words(tmp_path: Path) -> None:
    refuse = connect(tmp_path).refuse
    assert list(inspect.signature(refuse).parameters) == ["job", "reason"]
    assert refuse.__doc__ == "Refuse a job; all parties read the reason."
