"""The blocking client of a node's admin socket: what the command line and notebooks use.

    node = hansa.connect(home)
    print(node.status()["fingerprint"])

Standard library only, so that a command starts at once.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hansa.config.paths import admin_socket, default_home
from hansa.node.admin import protocol
from hansa.node.admin.api import EVENT, RESULT, AdminApi, R, Request, message, not_running
from hansa.node.admin.job_answers import JobEvent

if TYPE_CHECKING:
    from hansa.node.admin.async_client import AsyncAdminClient


def connect(home: str | Path | None = None) -> AdminClient:
    """A client of the daemon of ``home``, which is ``$HANSA_HOME``, else ``~/.hansa`` if it is not given.

    ``with connect(home) as node`` gives a client whose methods block. ``async with connect(home) as node``, under trio,
    gives one whose methods are awaited. Both raise ``DaemonNotRunning`` at once if no daemon answers. Without ``with``
    the first call finds out.
    """
    return AdminClient(default_home() if home is None else Path(home).expanduser())


class AdminClient(AdminApi):
    """The blocking client of the daemon of ``home``.

    Each call has a connection of its own. So a client may be used from several threads, a call that is interrupted
    leaves nothing behind, and there is nothing to close.
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    def __enter__(self) -> AdminClient:
        self._connected().close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left open between calls."""

    async def __aenter__(self) -> AsyncAdminClient:
        from hansa.node.admin.async_client import AsyncAdminClient  # noqa: PLC0415  # trio: only where it runs already

        client = AsyncAdminClient(self._home)
        await client.check()
        return client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left open between calls."""

    def ask(self, request: Request[R], /) -> R:
        """Send a request; its answer."""
        *_, (_, result) = self._messages(request)
        return request.answer(result)

    def call(self, method: str, **params: Any) -> Any:
        """Call a method by its name on the socket; its whole result."""
        return self.ask(Request(method, params))

    def stream(self, method: str, **params: Any) -> Iterator[tuple[str, Any]]:
        """Call a method that reports on the way: yields (notification's method, params), at last ("result", result)."""
        return self._messages(Request(method, params))

    def watch(self, job: str) -> Iterator[JobEvent]:
        """A job's events from its beginning until it ends. Leaving the loop early ends the watching, not the job."""
        return (value for kind, value in self.stream("job.watch", job=job) if kind == EVENT)

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(protocol.CONNECT_S)
            connection.connect(str(admin_socket(self._home)))
            connection.settimeout(None)  # an answer may take as long as it takes: a join, a job watched
        except OSError as error:
            connection.close()
            raise not_running(self._home) from error
        return connection

    def _messages(self, request: Request[Any]) -> Iterator[tuple[str, Any]]:
        """The notifications of one request, then its result."""
        try:
            with self._connected() as connection, connection.makefile("rb") as file:
                with suppress(BrokenPipeError):  # a daemon that is full says so and hangs up: that is still to be read
                    connection.sendall(request.line())
                told: tuple[str, Any] = ("", None)
                while told[0] != RESULT:
                    told = message(file.readline(protocol.MAX_LINE))  # the empty line of a daemon that hung up is none
                    yield told
        except (OSError, ValueError) as error:
            raise not_running(self._home) from error
