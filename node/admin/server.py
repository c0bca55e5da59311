"""The server of the admin socket: a unix socket that only this user can open, JSON-RPC 2.0, one message a line."""

from __future__ import annotations

import inspect
import json
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from hansa.config.errors import HansaError, hansa_error_in
from hansa.node.admin import protocol
from hansa.node.errors import UsageError
from hansa.node.net.listener import next_stream

logger = logging.getLogger(__name__)

Notify = Callable[[str, dict[str, Any]], Awaitable[None]]
Handler = Callable[..., Awaitable[Any]]
MAX_CLIENTS = 64


class AdminServer:
    """Serves ``methods``: name to an async function of the named parameters, whose result is a JSON value.

    A handler with a parameter ``notify`` may call ``await notify(method, params)`` any number of times before it
    returns; each call is a notification to this client alone. A handler whose client has left is cancelled. What it
    raises reaches the client as error -32000 with ``HansaError.as_dict()`` in ``data``.
    """

    def __init__(self, methods: dict[str, Handler]) -> None:
        self.methods = methods
        self._clients = trio.CapacityLimiter(MAX_CLIENTS)

    async def run(self, path: Path, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; the socket is 0600 from its first moment and removed at the end."""
        path.unlink(missing_ok=True)  # left by a daemon that was killed: HOME/daemon.lock says none runs now
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(_bound(path)))
        try:
            async with listener, trio.open_nursery() as nursery:
                task_status.started()
                while True:
                    nursery.start_soon(self._client, await next_stream(listener))
        finally:
            path.unlink(missing_ok=True)

    async def _client(self, stream: trio.SocketStream) -> None:
        async with stream:
            if not _same_user(stream.socket):
                logger.warning("another user tried the admin socket")
                return
            try:
                self._clients.acquire_nowait()
            except trio.WouldBlock:
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(_failed(None, _too_many()))
                return
            try:
                await self._converse(stream)
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the client left; what it asked for was cancelled with its task
            finally:
                self._clients.release()

    async def _converse(self, stream: trio.SocketStream) -> None:
        buffer = bytearray()
        while True:
            end = buffer.find(b"\n")
            if (end if end >= 0 else len(buffer)) > protocol.MAX_LINE:
                await stream.send_all(_refused(None, protocol.INVALID_REQUEST, "the line is longer than 8 MiB"))
                return
            if end < 0:
                data = await stream.receive_some(1 << 16)
                if not data:
                    return
                buffer += data
                continue
            raw = bytes(buffer[:end])
            del buffer[: end + 1]
            if not await self._while_connected(stream, buffer, raw):
                return

    async def _while_connected(self, stream: trio.SocketStream, buffer: bytearray, raw: bytes) -> bool:
        """Answer one line; a client that leaves meanwhile cancels it. False once the client has left."""
        connected = True

        async def watch() -> None:
            nonlocal connected
            while len(buffer) <= protocol.MAX_LINE:
                data = await stream.receive_some(1 << 16)
                if not data:
                    connected = False
                    nursery.cancel_scope.cancel()
                    return
                buffer.extend(data)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await self._answer(stream, raw)
            nursery.cancel_scope.cancel()
        return connected

    async def _answer(self, stream: trio.SocketStream, raw: bytes) -> None:
        try:
            request = json.loads(raw)
            method, params, request_id = request["method"], request.get("params", {}), request.get("id")
            if not isinstance(params, dict) or not isinstance(method, str):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            await stream.send_all(_refused(None, protocol.PARSE_ERROR, "not a JSON-RPC 2.0 request"))
            return

        async def notify(name: str, body: dict[str, Any]) -> None:
            await stream.send_all(protocol.line({"method": name, "params": body}))

        answer = await self._result(method, params, request_id, notify)
        if "id" in request:  # without one it was a notification: nobody waits for an answer
            await stream.send_all(answer)

    async def _result(self, method: str, params: dict[str, Any], request_id: Any, notify: Notify) -> bytes:
        handler = self.methods.get(method)
        if handler is None:
            return _refused(request_id, protocol.METHOD_NOT_FOUND, f"unknown method {method[:100]}")
        signature = inspect.signature(handler)
        extra = {"notify": notify} if "notify" in signature.parameters else {}
        try:
            signature.bind(**params, **extra)
        except TypeError as error:
            return _refused(request_id, protocol.INVALID_PARAMS, f"{method}: {error}")
        try:
            answer = protocol.line({"id": request_id, "result": await handler(**params, **extra)})
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise
        except Exception as error:
            known = _first_of_ours(error)
            if known is None:
                logger.exception("an admin request failed: %s", method)
            return _failed(request_id, known or _bug(method))
        return answer if len(answer) <= protocol.MAX_LINE else _failed(request_id, _too_long(method))


def text_param(name: str, value: Any) -> str:
    """A parameter that must be a string; ``UsageError`` otherwise."""
    if not isinstance(value, str) or not value or len(value) > protocol.MAX_LINE:
        raise UsageError(f"'{name}' must be a text", remedy="see `hansa --help`")
    return value


def _bug(method: str) -> HansaError:
    return HansaError(f"the daemon failed inside '{method}'", remedy="see its log, and report this as a bug")


def _too_many() -> HansaError:
    return UsageError(f"{MAX_CLIENTS} programs use this node at once already", remedy="close some `hansa job watch`")


def _too_long(method: str) -> HansaError:
    return UsageError(f"the answer to '{method}' is longer than 8 MiB", remedy="ask for less: --since, --limit")


def _first_of_ours(error: BaseException) -> HansaError | None:
    """The first error of ours; None where any other is among them: those are bugs."""
    bugs = error.split(HansaError)[1] if isinstance(error, BaseExceptionGroup) else None
    return hansa_error_in(error) if bugs is None else None


def _bound(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # no await until it is back: it is the whole process's
    try:
        sock.bind(str(path))
        sock.listen(32)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock


def _same_user(sock: Any) -> bool:
    uid = _peer_uid(sock)
    return uid is None or uid in {os.getuid(), 0}


def _peer_uid(sock: Any) -> int | None:
    """Whose process connected; None where the system does not say: the socket's mode protects it there."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    return int(uid)


def _refused(request_id: Any, code: int, message: str) -> bytes:
    return protocol.line({"id": request_id, "error": {"code": code, "message": message}})


def _failed(request_id: Any, error: HansaError) -> bytes:
    body = {"code": protocol.APPLICATION_ERROR, "message": error.message, "data": error.as_dict()}
    return protocol.line({"id": request_id, "error": body})
