"""The server of the admin socket: a unix socket that only this user can open, JSON-RPC 2.0, one message a line."""

from __future__ import annotations

import inspect
import json
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio
from trio.socket import AF_UNIX, SOCK_STREAM

from hansa.config.errors import HansaError
from hansa.node.admin import protocol
from hansa.node.errors import UsageError

logger = logging.getLogger(__name__)

Notify = Callable[[str, dict[str, Any]], Awaitable[None]]
Handler = Callable[..., Awaitable[Any]]
MAX_CLIENTS = 64


class AdminServer:
    """Serves ``methods``: name to an async function of the named parameters.

    A handler with a parameter ``notify`` may call ``await notify(method, params)`` before it returns.
    """

    def __init__(self) -> None:
        self.methods: dict[str, Handler] = {}
        self._clients = trio.CapacityLimiter(MAX_CLIENTS)

    async def run(self, path: Path, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; the socket is 0600 from its first moment and removed at the end."""
        path.unlink(missing_ok=True)
        sock = trio.socket.socket(AF_UNIX, SOCK_STREAM)
        before = os.umask(0o177)
        try:
            await sock.bind(str(path))
        finally:
            os.umask(before)
        sock.listen(32)
        try:
            with sock:
                async with trio.open_nursery() as nursery:
                    task_status.started()
                    while True:
                        connection, _ = await sock.accept()
                        nursery.start_soon(self._client, trio.SocketStream(connection))
        finally:
            path.unlink(missing_ok=True)

    async def _client(self, stream: trio.SocketStream) -> None:
        async with stream:
            if not _same_user(stream.socket):
                logger.warning("another user tried the admin socket")
                return
            try:
                async with self._clients:
                    await self._converse(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the client left; what it asked for is cancelled with its task

    async def _converse(self, stream: trio.SocketStream) -> None:
        buffer = bytearray()
        while True:
            end = buffer.find(b"\n")
            if end < 0:
                if len(buffer) > protocol.MAX_LINE:
                    await stream.send_all(_refused(None, protocol.INVALID_REQUEST, "the line is longer than 8 MiB"))
                    return
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
        handler = self.methods.get(method)
        if handler is None:
            await stream.send_all(_refused(request_id, protocol.METHOD_NOT_FOUND, f"unknown method {method}"))
            return

        async def notify(name: str, body: dict[str, Any]) -> None:
            await stream.send_all(protocol.line({"method": name, "params": body}))

        extra = {"notify": notify} if "notify" in inspect.signature(handler).parameters else {}
        try:
            inspect.signature(handler).bind(**params, **extra)
        except TypeError as error:
            await stream.send_all(_refused(request_id, protocol.INVALID_PARAMS, f"{method}: {error}"))
            return
        try:
            result = await handler(**params, **extra)
            answer = protocol.line({"id": request_id, "result": result})
        except HansaError as error:
            answer = _failed(request_id, error)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise
        except Exception:
            logger.exception("an admin request failed: %s", method)
            answer = _failed(request_id, _bug(method))
        await stream.send_all(answer)


def text_param(name: str, value: Any) -> str:
    """A parameter that must be a string; ``UsageError`` otherwise."""
    if not isinstance(value, str) or not value or len(value) > protocol.MAX_LINE:
        raise UsageError(f"'{name}' must be a text", remedy="see `hansa --help`")
    return value


def _bug(method: str) -> HansaError:
    return HansaError(f"the daemon failed inside '{method}'", remedy="see its log, and report this as a bug")


def _same_user(sock: Any) -> bool:
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # no peer credentials here: the socket's mode and its folder's protect it
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    return bool(uid in {os.getuid(), 0})


def _refused(request_id: Any, code: int, message: str) -> bytes:
    return protocol.line({"id": request_id, "error": {"code": code, "message": message}})


def _failed(request_id: Any, error: HansaError) -> bytes:
    body = {"code": protocol.APPLICATION_ERROR, "message": error.message, "data": error.as_dict()}
    return protocol.line({"id": request_id, "error": body})
