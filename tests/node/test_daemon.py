"""The daemon as a process: it starts once, stops at once, survives kill -9, and idles small."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hansa.config.settings import default_toml
from hansa.node.admin.client import AdminClient
from hansa.node.identity import create_identity

_RUN = """
import sys
from pathlib import Path
from hansa.config.errors import HansaError
from hansa.node.daemon import main
try:
    main(Path(sys.argv[1]), ready=lambda port, _: print(port, flush=True))
except HansaError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def make_home(folder: Path, name: str, **changed: Any) -> Path:
    folder.mkdir()
    (folder / "hansa.toml").write_text(default_toml(name, **changed))
    (folder / "policy.toml").write_text('default = "ask"\n')
    create_identity(folder)
    return folder


@contextmanager
def daemon(home: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _RUN, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr is not None else ""
            process.port = int(line)  # type: ignore[attr-defined]
            yield process
        finally:
            process.kill()


def status(home: Path) -> dict[str, Any]:
    with AdminClient(home) as client:
        return client.status()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, None])
def test_it_stops_cleanly_and_at_once(tmp_path: Path, how: signal.Signals | None) -> None:
    home = make_home(tmp_path / "bank", "bank")
    with daemon(home) as process:
        state = json.loads((home / "daemon.json").read_text())
        assert (state["pid"], state["port"]) == (process.pid, process.port)  # type: ignore[attr-defined]
        if how is None:
            with AdminClient(home) as client:
                assert client.call("node.stop") == {"stopping": True}
        else:
            process.send_signal(how)
        assert process.wait(timeout=2) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert not (home / "daemon.json").exists()
    assert not (home / "admin.sock").exists()


def test_a_second_daemon_on_one_home_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    home = make_home(tmp_path / "bank", "bank")
    with daemon(home):
        second = subprocess.run(
            [sys.executable, "-c", _RUN, str(home)], capture_output=True, text=True, timeout=20, check=False
        )
        assert second.returncode == 3
        assert f"a daemon runs for {home} already" in second.stderr
        assert "hansa status" in second.stderr
        assert status(home)["name"] == "bank"


def test_after_kill_9_it_starts_again_as_it_was(tmp_path: Path) -> None:
    home = make_home(tmp_path / "bank", "bank")
    with daemon(home) as process:
        before, port = status(home), process.port  # type: ignore[attr-defined]
        with AdminClient(home) as client:
            client.call("peer.add", name="bureau", key=f"{'ab' * 32}.{'cd' * 32}", address="127.0.0.1:9")
        process.kill()
        process.wait()
    assert (home / "admin.sock").exists()
    with daemon(home) as process:
        after = status(home)
        assert process.port == port  # type: ignore[attr-defined]
        assert after["identity"] == before["identity"]
        assert [peer["name"] for peer in after["peers"]] == ["bureau"]
        with AdminClient(home) as client:
            assert client.call("audit.verify")["ok"]
            assert [entry["kind"] for entry in client.call("audit.show")] == ["peer-pinned"]


def test_an_idle_daemon_is_small_and_quiet(tmp_path: Path) -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("needs /proc")
    home = make_home(tmp_path / "bank", "bank")
    with daemon(home) as process:

        def cpu_seconds() -> float:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        assert 0 < status(home)["rss_mb"] < 80
        before = cpu_seconds()
        time.sleep(2)
        assert cpu_seconds() - before <= 0.06  # seconds of CPU in two of idling


def test_what_lies_in_the_home_is_this_users_alone(tmp_path: Path) -> None:
    home = make_home(tmp_path / "bank", "bank")
    home.chmod(0o755)
    with daemon(home):
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        for name in ("identity.key", "node.db", "admin.sock"):
            assert stat.S_IMODE((home / name).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda home: (home / "hansa.toml").write_text("[node]\nnam = 'x'\n"), "nam"),
        (lambda home: (home / "policy.toml").write_text("default = 'maybe'\n"), "policy.toml"),
        (lambda home: (home / "identity.key").unlink(), "hansa init"),
        (lambda home: (home / "identity.key").chmod(0o644), "chmod 600"),
        (lambda home: (home / "node.db").write_bytes(b"no database" * 1000), "node.db cannot be used"),
        (lambda home: (home / "hansa.toml").write_text("[listen]\nhost = '192.0.2.1'\n"), "listen.host"),
    ],
)
def test_what_keeps_it_from_starting_is_one_clear_sentence(tmp_path: Path, spoil: Any, words: str) -> None:
    home = make_home(tmp_path / "bank", "bank")
    spoil(home)
    run = subprocess.run(
        [sys.executable, "-c", _RUN, str(home)], capture_output=True, text=True, timeout=20, check=False
    )
    assert run.returncode not in (0, 1)
    assert words in run.stderr
    assert "next: " in run.stderr
    assert "Traceback" not in run.stderr


def test_a_home_whose_path_is_too_long_for_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    home = make_home(tmp_path / ("h" * 120), "bank")
    with daemon(home):
        assert status(home)["name"] == "bank"
        (folder,) = runtime.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (socket_file,) = folder.iterdir()
        assert stat.S_IMODE(socket_file.stat().st_mode) == 0o600
