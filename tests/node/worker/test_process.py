"""The daemon's side against small processes of our own in the worker's place."""

import os
import signal
import socket
import textwrap

import pytest
import trio

from hansa.node.worker import process as workers
from hansa.node.worker.messages import Finished, Start, Stepped
from hansa.node.worker.process import WorkerProcess, read_log

START = Start(
    contract=b"contract",
    certificate=b"",
    attempt=0,
    me=b"m" * 32,
    job_secret=b"s" * 32,
    sealing_key=b"k" * 32,
    addresses={},
    suites=[],
    dataset={},
    folder="/tmp",
    scores_file="",
    released_file="",
    model=b"",
    resume_epoch=-1,
    correlation_store="",
    correlation_key=b"",
    tee={},
    release_policy=b"",
)
PRELUDE = """
import os, socket, sys, time
import trio
from hansa.node.worker.fd_passing import FramePipe, PipeClosed
from hansa.node.worker.messages import *
async def main():
    pipe = FramePipe(socket.socket(fileno=int(sys.argv[1])))
    start = decode((await pipe.receive())[0])
    assert start.contract == b"contract"
    async def tell(message):
        await pipe.send(encode(message))
"""
EPILOGUE = "\ntrio.run(main)\n"


@pytest.fixture
def play(tmp_path, monkeypatch):
    """A Worker whose process plays the given lines."""

    def make(lines):
        (tmp_path / "fake_worker.py").write_text(PRELUDE + textwrap.indent(textwrap.dedent(lines), "    ") + EPILOGUE)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.setattr(workers, "MODULE", "fake_worker")
        return WorkerProcess(START, tmp_path / "job" / "log")

    return make


class Heard(list):
    async def __call__(self, message):
        self.append(message)


async def test_what_it_says_is_heard_and_a_said_end_is_no_death(play):
    worker, heard = (
        play("""
        await tell(Stepped("align", 1, 2, 3, 4, 5))
        await tell(Finished({"rows": 3}, b"model"))
    """),
        Heard(),
    )
    with trio.fail_after(60):
        assert await worker.run(heard) is None
    assert heard == [Stepped("align", 1, 2, 3, 4, 5), Finished({"rows": 3}, b"model")]


@pytest.mark.parametrize(
    ("lines", "how"),
    [
        ("os.kill(os.getpid(), 9)", "killed by signal 9 (SIGKILL)"),
        ("os._exit(3)", "ended with exit status 3"),
        ("return", "ended with exit status 0"),
    ],
)
async def test_how_it_died_is_told(play, lines, how):
    with trio.fail_after(60):
        assert await play(lines).run(Heard()) == how


async def test_sockets_that_came_early_and_late_are_handed_over(play):
    worker = play("""
        for _ in range(2):
            body, (fd,) = await pipe.receive()
            with socket.socket(fileno=fd) as sock:
                sock.sendall(decode(body).preamble)
        await tell(Finished({}, b""))
    """)
    early, late = socket.socketpair(), socket.socketpair()
    for mine, _ in (early, late):
        mine.settimeout(60)
    await worker.route(early[1], b"early")
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.run, Heard())
            assert await trio.to_thread.run_sync(early[0].recv, 10) == b"early"
            await worker.route(late[1], b"late")
            assert await trio.to_thread.run_sync(late[0].recv, 10) == b"late"
    for mine, theirs in (early, late):
        mine.close()
        assert theirs.fileno() == -1


async def test_cancelling_kills_the_process(play, monkeypatch):
    monkeypatch.setattr(workers, "STOP_GRACE_S", 0.1)
    worker = play("""
        await tell(Stepped("train", 0, 1, 0, 0, 0))
        time.sleep(600)
    """)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:

            async def heard(message):
                nursery.cancel_scope.cancel()

            nursery.start_soon(worker.run, heard)
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, signal.SIGCONT)


async def test_its_stderr_is_the_jobs_log_and_is_bounded(play, monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "MAX_LOG", 100)
    worker = play("""
        sys.stderr.write("x" * 80 + "\\n" + "y" * 100_000)
        await tell(Finished({}, b""))
    """)
    with trio.fail_after(60):
        await worker.run(Heard())
    log = tmp_path / "job" / "log"
    assert read_log(log) == "x" * 80 + "\n" + "y" * 19
    assert log.stat().st_mode & 0o777 == 0o600
    assert read_log(log, max_bytes=5) == "y" * 5
    assert read_log(tmp_path / "none") == ""


async def test_a_socket_that_comes_while_the_process_starts_waits_for_it(play):
    """The first frame that a worker reads must be its Start, whoever dials however early."""
    worker = play("""
        body, (fd,) = await pipe.receive()
        with socket.socket(fileno=fd) as sock:
            sock.sendall(decode(body).preamble)
        await tell(Finished({}, b""))
    """)
    mine, theirs = socket.socketpair()
    with mine, trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.run, Heard())
            while not worker._pipe:
                await trio.lowlevel.checkpoint()
            await worker.route(theirs, b"early")
            assert await trio.to_thread.run_sync(mine.recv, 10) == b"early"


async def test_sockets_that_wait_for_a_process_are_bounded(play):
    worker = play("return")
    pairs = [socket.socketpair() for _ in range(workers.MAX_EARLY + 1)]
    for _, theirs in pairs:
        await worker.route(theirs, b"early")
    assert [theirs.fileno() == -1 for _, theirs in pairs] == [False] * workers.MAX_EARLY + [True]
    worker.close()
    for mine, _ in pairs:
        mine.close()
