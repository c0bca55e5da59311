"""The daemon's side of a worker: start the process, feed it sockets, hear what it says, know how it died.

A worker's stderr becomes the job's log, bounded; nothing it prints there reaches another party or the user's terminal.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import trio

from hansa.node.worker.fd_passing import FramePipe, PipeClosed, pipe_pair
from hansa.node.worker.messages import Broke, Finished, FromWorker, Route, Start, decode, encode

MAX_LOG = 1 << 20
STOP_GRACE_S = 2.0
MAX_EARLY = 64
MODULE = "hansa.node.worker.entry"

Heard = Callable[[FromWorker], Awaitable[None]]


class WorkerProcess:
    """One worker process of one attempt. ``run`` ends when the process has ended."""

    def __init__(self, start: Start, log: Path) -> None:
        self._start = start
        self._log = log
        self._pipe: FramePipe | None = None
        self._early: list[tuple[socket.socket, bytes]] = []
        self._begun = False  # whether it has its Start, which must be the first it reads
        self.pid = 0

    async def run(self, heard: Heard) -> str | None:
        """Start the process and hand on what it says, until it ends or this is cancelled (which kills it).

        Returns None after a Finished or Broke, else how the process died ("killed by signal 9").
        """
        ours, theirs = pipe_pair()
        self._pipe = FramePipe(ours)
        try:
            process = await self._spawn(theirs)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_keep_log, process, self._log)
                    last = await self._converse(heard)
            finally:
                self.close()
                await _end(process)
            return None if last else _how(process.returncode)
        finally:
            self.close()

    async def route(self, sock: socket.socket, preamble: bytes) -> None:
        """Hand a connection over (ours is closed); kept until the process is there, up to ``MAX_EARLY`` of them."""
        if self._begun:
            await self._hand_over(sock, preamble)
        elif len(self._early) < MAX_EARLY:
            self._early.append((sock, preamble))
        else:
            sock.close()

    async def _hand_over(self, sock: socket.socket, preamble: bytes) -> None:
        pipe = self._pipe
        if pipe is None:
            sock.close()
            return
        with sock, suppress(PipeClosed):  # if so, the dialing worker sees it close, and `run` reports this one's end
            await pipe.send(encode(Route(preamble)), (sock.fileno(),))

    def close(self) -> None:
        """Let go of the pipe and of sockets not handed over."""
        if self._pipe is not None:
            self._pipe.close()
        for sock, _ in self._early:
            sock.close()
        self._early.clear()

    async def _spawn(self, theirs: socket.socket) -> trio.Process:
        with theirs:
            process: trio.Process = await trio.lowlevel.open_process(
                [sys.executable, "-m", MODULE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
            )
        self.pid = process.pid
        return process

    async def _converse(self, heard: Heard) -> bool:
        """True when the worker said how it ended (the daemon then stops it when all parties have)."""
        pipe = self._pipe
        if pipe is None:
            return False
        last = False
        try:
            await pipe.send(encode(self._start))
            while self._early:
                await self._hand_over(*self._early.pop(0))
            self._begun = True
            while True:
                body, _ = await pipe.receive()
                message = decode(body)
                if isinstance(message, Start | Route):
                    continue
                last = last or isinstance(message, Finished | Broke)
                await heard(message)
        except PipeClosed:
            return last


async def _keep_log(process: trio.Process, path: Path) -> None:
    """Append what the process writes to stderr to its log, no more than ``MAX_LOG`` in all; drain the rest."""
    stderr = process.stderr
    if stderr is None:
        return
    room = _room(path)
    async with stderr:
        async for data in stderr:
            if room > 0:
                append_private(path, bytes(data[:room]))
                room -= len(data)


def _room(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return MAX_LOG - (path.stat().st_size if path.exists() else 0)


def append_private(path: Path, data: bytes) -> None:
    """Append to a file that only its owner may read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
        file.write(data)


async def _end(process: trio.Process) -> None:
    with trio.CancelScope(shield=True):
        with trio.move_on_after(STOP_GRACE_S if process.poll() is None else 0):
            await process.wait()
        if process.poll() is None:
            process.kill()
            await process.wait()


def _how(returncode: int | None) -> str:
    if returncode is not None and returncode < 0:
        name = signal.Signals(-returncode).name if -returncode in set(signal.Signals) else ""
        return f"killed by signal {-returncode}" + (f" ({name})" if name else "")
    return f"ended with exit status {returncode}"


def read_log(log: Path, max_bytes: int = 64 * 1024) -> str:
    """The end of a job's log."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - max_bytes))
            return file.read(max_bytes).decode(errors="replace")
    except FileNotFoundError:
        return ""
