"""The node's one TCP port: accept a connection, read its preamble, hand the socket to whom the preamble names.

Strangers cost little. A preamble has at most 110 bytes and must come within five seconds. At most 128 connections may wait
for theirs; one more closes the oldest, so that a peer, whose preamble comes at once, still gets through. What a stranger
gets wrong is counted, not answered.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from errno import EADDRINUSE, EMFILE, ENFILE, ENOBUFS, ENOMEM

import trio
from trio.socket import AF_INET, AF_INET6, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, SocketType

from hansa.config.errors import ConfigError, HansaError
from hansa.node.net.connection import ChannelClosed, Purpose, read_preamble
from hansa.protocols.errors import PeerLost, PeerTimeout
from hansa.protocols.wire.channel.preamble import Preamble

logger = logging.getLogger(__name__)

Serve = Callable[[SocketType, Preamble], Awaitable[None]]
MAX_STRANGERS = 128
COUNTED_REFUSALS = 1000
REFUSALS_FORGOTTEN_S = 3600.0
RETRY_S = 0.1
_OUT_OF_RESOURCES = {EMFILE, ENFILE, ENOBUFS, ENOMEM}


class Listener:
    """The node's TCP port. ``worker_routes`` maps a job's route token to who takes its connections."""

    def __init__(self, serve: dict[Purpose, Serve]) -> None:
        self._serve = serve
        self._strangers: dict[SocketType, trio.CancelScope] = {}  # the oldest first
        self._refusals: deque[float] = deque(maxlen=COUNTED_REFUSALS)
        self.worker_routes: dict[bytes, Serve] = {}
        self.port = 0

    @property
    def refused(self) -> int:
        """Connections refused in the last hour (counted to 1000)."""
        while self._refusals and self._refusals[0] < trio.current_time() - REFUSALS_FORGOTTEN_S:
            self._refusals.popleft()
        return len(self._refusals)

    async def run(self, host: str, port: int, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; reports the port through ``task_status``."""
        sock = await _bind(host, port)
        self.port = sock.getsockname()[1]
        listener = trio.SocketListener(sock)
        async with listener, trio.open_nursery() as nursery:
            task_status.started(self.port)
            while True:
                connection = (await next_stream(listener)).socket
                if len(self._strangers) >= MAX_STRANGERS:
                    next(iter(self._strangers.values())).cancel()
                self._strangers[connection] = trio.CancelScope()
                nursery.start_soon(self._take, connection)

    async def _take(self, sock: SocketType) -> None:
        try:
            preamble = await self._read_preamble(sock)
            await self._server_for(preamble)(sock, preamble)
        except ChannelClosed as error:
            logger.info("a peer ended its connection: %s", error.reason)
        except HansaError as error:
            self._refusals.append(trio.current_time())
            logger.info("a connection to the port was refused: %s", error.message)
        except Exception:
            logger.exception("serving a connection to the port failed")
        finally:
            sock.close()  # a worker has its own copy of the descriptor

    async def _read_preamble(self, sock: SocketType) -> Preamble:
        try:
            with self._strangers[sock]:
                return await read_preamble(sock)
        finally:
            del self._strangers[sock]
        raise PeerTimeout("a connection said nothing while others waited", remedy="dial again")

    def _server_for(self, preamble: Preamble) -> Serve:
        if preamble.purpose is Purpose.WORKER:
            serve = self.worker_routes.get(preamble.token)
        else:
            serve = self._serve.get(preamble.purpose)
        if serve is None:
            raise PeerLost("a connection for what is not here", remedy="nothing: it was closed")
        return serve


async def next_stream(listener: trio.SocketListener) -> trio.SocketStream:
    """The next connection, also after a while in which the system had no file descriptor to spare.

    trio passes over clients that left before they were accepted.
    """
    while True:
        try:
            return await listener.accept()
        except OSError as error:
            if error.errno not in _OUT_OF_RESOURCES:
                raise
            logger.warning("cannot accept a connection for now: %s", error.strerror)
            await trio.sleep(RETRY_S)


async def _bind(host: str, port: int) -> SocketType:
    sock = trio.socket.socket(AF_INET6 if ":" in host else AF_INET, SOCK_STREAM)
    try:
        sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        await sock.bind((host, port))
        sock.listen(128)
    except (OSError, UnicodeError) as error:
        sock.close()
        taken = getattr(error, "errno", None) == EADDRINUSE
        why = "another program uses it" if taken else getattr(error, "strerror", None) or "that is no address"
        raise ConfigError(
            f"cannot listen on {host}:{port}: {why}",
            remedy="choose another listen.port in hansa.toml, or stop the other program"
            if taken
            else "correct listen.host and listen.port in hansa.toml: an address of this machine, or 0.0.0.0",
            key="listen.port" if taken else "listen.host",
        ) from error
    except BaseException:
        sock.close()
        raise
    return sock
