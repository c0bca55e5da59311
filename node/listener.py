"""The one open port: accept, read the preamble within bounds, hand the socket to whom it is for.

Strangers cost little: their number is bounded, they have five seconds for a preamble of at most 110 bytes, and what
they get wrong is counted, not answered.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from errno import EADDRINUSE

import trio
from trio.socket import AF_INET, AF_INET6, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, SocketType

from hansa.config.errors import ConfigError, HansaError
from hansa.node.channel import Purpose, read_preamble
from hansa.protocols.wire.preamble import Preamble

logger = logging.getLogger(__name__)

Serve = Callable[[SocketType, Preamble], Awaitable[None]]
MAX_STRANGERS = 128


class Listener:
    """The node's TCP port. ``worker_routes`` maps a job's route token to who takes its connections."""

    def __init__(self, serve: dict[Purpose, Serve]) -> None:
        self._serve = serve
        self._strangers = trio.CapacityLimiter(MAX_STRANGERS)
        self.worker_routes: dict[bytes, Serve] = {}
        self.refused = 0
        self.port = 0

    async def run(self, host: str, port: int, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; reports the port through ``task_status``."""
        sock = await _bind(host, port)
        self.port = sock.getsockname()[1]
        with sock:
            async with trio.open_nursery() as nursery:
                task_status.started(self.port)
                while True:
                    connection, _ = await sock.accept()
                    try:
                        self._strangers.acquire_on_behalf_of_nowait(connection)
                    except trio.WouldBlock:
                        connection.close()
                        self.refused += 1
                        continue
                    nursery.start_soon(self._welcome, connection)

    async def _welcome(self, sock: SocketType) -> None:
        known = False
        try:
            try:
                preamble = await read_preamble(sock)
            finally:
                self._strangers.release_on_behalf_of(sock)
            serve = self._whom(preamble)
            if serve is None:
                self.refused += 1
                sock.close()
                return
            known = True
            await serve(sock, preamble)
        except HansaError as error:
            sock.close()
            self.refused += not known
            logger.info("a connection to the port ended: %s", error.message)

    def _whom(self, preamble: Preamble) -> Serve | None:
        if preamble.purpose is Purpose.WORKER:
            return self.worker_routes.get(preamble.token)
        return self._serve.get(preamble.purpose)


async def _bind(host: str, port: int) -> SocketType:
    sock = trio.socket.socket(AF_INET6 if ":" in host else AF_INET, SOCK_STREAM)
    try:
        sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        await sock.bind((host, port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        taken = "another program uses it" if error.errno == EADDRINUSE else error.strerror
        raise ConfigError(
            f"cannot listen on {host}:{port}: {taken}",
            remedy="choose another listen.port in hansa.toml, or stop the other program",
            key="listen.port",
        ) from error
    return sock
