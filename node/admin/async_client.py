"""The client of a node's admin socket under trio; ``async with hansa.connect(home) as node`` gives one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import trio

from hansa.config.paths import admin_socket
from hansa.node.admin import protocol
from hansa.node.admin.api import EVENT, RESULT, AdminApi, R, Request, message, not_running
from hansa.node.admin.job_answers import JobEvent


class AsyncAdminClient(AdminApi):
    """The client of the daemon of ``home`` for trio.

    Each call has a connection of its own. So several tasks may use one client at once, and a call that is cancelled is
    cancelled at the daemon too.
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    async def check(self) -> None:
        """Raise ``DaemonNotRunning`` if no daemon answers."""
        await (await self._connected()).aclose()

    async def ask(self, request: Request[R], /) -> R:
        """Send a request; its answer."""
        told = [value async for kind, value in self._messages(request) if kind == RESULT]
        return request.answer(told[0])

    async def watch(self, job: str) -> AsyncGenerator[JobEvent, None]:
        """A job's events from its beginning until it ends.

        Who may leave the loop early takes ``contextlib.aclosing(node.watch(job))``, which ends the watching at once.
        """
        async with aclosing(self._messages(Request("job.watch", {"job": job}))) as messages:
            async for kind, value in messages:
                if kind == EVENT:
                    yield value

    async def _connected(self) -> trio.SocketStream:
        try:
            with trio.fail_after(protocol.CONNECT_S):
                return await trio.open_unix_socket(str(admin_socket(self._home)))
        except (OSError, trio.TooSlowError) as error:
            raise not_running(self._home) from error

    async def _messages(self, request: Request[Any]) -> AsyncGenerator[tuple[str, Any], None]:
        """The notifications of one request, then its result."""
        async with await self._connected() as stream:
            try:
                with suppress(trio.BrokenResourceError):  # a daemon that is full says so and hangs up: read it
                    await stream.send_all(request.line())
                buffer, told = bytearray(), ("", None)
                while told[0] != RESULT:
                    told = message(await _next_line(stream, buffer))
                    yield told
            except (ValueError, trio.BrokenResourceError) as error:
                raise not_running(self._home) from error


async def _next_line(stream: trio.SocketStream, buffer: bytearray) -> bytes:
    """The next line. Raises ValueError where the daemon hangs up, or the line is too long.

    ``buffer`` holds what has arrived after it.
    """
    while (end := buffer.find(b"\n") + 1) == 0:
        data = await stream.receive_some()
        if not data or len(buffer) > protocol.MAX_LINE:
            raise ValueError("no line")
        buffer += data
    raw = bytes(buffer[:end])
    del buffer[:end]
    return raw
