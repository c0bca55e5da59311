"""Frames with open sockets between the daemon and a worker, over a unix socket pair.

A frame is ``u32 length, u8 number of descriptors, body``; the descriptors (SCM_RIGHTS) travel with the frame's first
byte, so the kernel hands them over no later than the header. Both ends are our own processes: the bounds here catch
bugs, not attackers, but they are kept, since a worker reads what institutions wrote.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections import deque

import trio

from hansa.node.errors import JobError

HEADER = struct.Struct(">IB")
MAX_FRAME = 256 * 1024 * 1024
MAX_FDS = 4
READ_SIZE = 256 * 1024
FD_SIZE = array.array("i").itemsize


class PipeClosed(Exception):
    """The process at the other end is gone: the ordinary end of a pipe, told apart from an error."""


class FramePipe:
    """One end of the pair: whole frames out, whole frames in, each with the descriptors that came along."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = trio.socket.from_stdlib_socket(sock)
        self._send_lock = trio.Lock()
        self._buffer = bytearray()
        self._fds: deque[int] = deque()

    async def send(self, body: bytes, fds: tuple[int, ...] = ()) -> None:
        """Send one frame; the descriptors stay open here (the receiver gets duplicates).

        Raises PipeClosed when the other process is gone.
        """
        if len(body) > MAX_FRAME or len(fds) > MAX_FDS:
            raise JobError(
                f"a message of {len(body)} bytes does not fit between the daemon and its worker",
                remedy="train on fewer columns or rows",
                size=len(body),
            )
        data = memoryview(HEADER.pack(len(body), len(fds)) + body)
        async with self._send_lock:
            try:
                sent = await self._send_first(data, fds)
                while sent < len(data):
                    sent += await self._sock.send(data[sent:])
            except OSError as error:
                raise PipeClosed("the process at the other end ended") from error

    async def _send_first(self, data: memoryview, fds: tuple[int, ...]) -> int:
        if not fds:
            return await self._sock.send(data)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())]
        return await self._sock.sendmsg([data], rights)

    async def receive(self) -> tuple[bytes, tuple[int, ...]]:
        """The next frame and its descriptors, which now belong to the caller. Raises PipeClosed at the end."""
        await self._fill(HEADER.size)
        length, n_fds = HEADER.unpack_from(self._buffer)
        if length > MAX_FRAME or n_fds > MAX_FDS:
            raise PipeClosed(f"a frame of {length} bytes with {n_fds} descriptors")
        await self._fill(HEADER.size + length)
        body = bytes(self._buffer[HEADER.size : HEADER.size + length])
        del self._buffer[: HEADER.size + length]
        if len(self._fds) < n_fds:
            raise PipeClosed("the descriptors of a frame did not arrive")
        return body, tuple(self._fds.popleft() for _ in range(n_fds))

    async def _fill(self, wanted: int) -> None:
        while len(self._buffer) < wanted:
            try:
                data, ancillary, flags, _ = await self._sock.recvmsg(READ_SIZE, socket.CMSG_SPACE(MAX_FDS * FD_SIZE))
            except OSError as error:
                raise PipeClosed("the process at the other end ended") from error
            for level, kind, rights in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    received = array.array("i")
                    received.frombytes(rights[: len(rights) - len(rights) % FD_SIZE])
                    self._fds.extend(received)
            if not data or flags & socket.MSG_CTRUNC:
                raise PipeClosed("the process at the other end ended")
            self._buffer += data

    def close(self) -> None:
        """Close this end and every descriptor nobody took."""
        self._sock.close()
        while self._fds:
            os.close(self._fds.popleft())


def pipe_pair() -> tuple[socket.socket, socket.socket]:
    """A connected pair: one end for the daemon, one to be inherited by the worker."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
