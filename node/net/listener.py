"""The one open port: accept, read the preamble within bounds, hand the socket to whom it is for.

Strangers cost little: their number is bounded, they have five seconds for a preamble of at most 110 bytes, and what
they get wrong is counted, not answered. Where there are too many, the one that has taken longest goes, so that a peer,
whose preamble comes at once, still gets through.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from errno import EADDRINUSE

import trio
from trio.socket import AF_INET, AF_INET6, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, SocketType

from hansa.config.errors import ConfigError, HansaError
from hansa.node.net.accepting import next_stream
from hansa.node.net.connection import ChannelClosed, Purpose, read_preamble
from hansa.protocols.errors import PeerLost, PeerTimeout
from hansa.protocols.wire.channel.preamble import Preamble

logger = logging.getLogger(__name__)

Serve = Callable[[SocketType, Preamble], Awaitable[None]]
MAX_STRANGERS = 128
COUNTED_REFUSALS = 1000
REFUSALS_FORGOTTEN_S = 3600.0


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
                nursery.start_soon(self._welcome, connection)

    async def _welcome(self, sock: SocketType) -> None:
        try:
            preamble = await self._introduced(sock)
            await self._whom(preamble)(sock, preamble)
        except ChannelClosed as error:
            logger.info("a peer ended its connection: %s", error.reason)
        except HansaError as error:
            self._refusals.append(trio.current_time())
            logger.info("a connection to the port was refused: %s", error.message)
        except Exception:
            logger.exception("serving a connection to the port failed")
        finally:
            sock.close()  # a worker has its own copy of the descriptor

    async def _introduced(self, sock: SocketType) -> Preamble:
        try:
            with self._strangers[sock]:
                return await read_preamble(sock)
        finally:
            del self._strangers[sock]
        raise PeerTimeout("a connection said nothing while others waited", remedy="dial again")

    def _whom(self, preamble: Preamble) -> Serve:
        routes = self.worker_routes if preamble.purpose is Purpose.WORKER else None
        serve = self._serve.get(preamble.purpose) if routes is None else routes.get(preamble.token)
        if serve is None:
            raise PeerLost("a connection for what is not here", remedy="nothing: it was closed")
        return serve


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
