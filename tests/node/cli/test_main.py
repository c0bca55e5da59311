"""The command itself: its list of commands, its manners, its exit codes, what it loads."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hansa.config.errors import ConfigError, HansaError
from hansa.node.cli import main as cli
from hansa.protocols.errors import ConsentError, PeerLost, SecurityError

DOCS = Path(__file__).parents[3] / "docs"
HEAVY = {"trio", "numpy", "numba", "pyarrow", "sklearn", "nacl", "cryptography", "msgpack", "zeroconf", "asyncio"}

COMMANDS = [
    "init",
    "run",
    "status",
    "doctor",
    "config show",
    "config check",
    "peer invite",
    "peer join",
    "peer add",
    "peer list",
    "peer remove",
    "data add",
    "data list",
    "data show",
    "data remove",
    "job plan",
    "job submit",
    "job list",
    "job show",
    "job watch",
    "job logs",
    "job approve",
    "job refuse",
    "job cancel",
    "model list",
    "model show",
    "model predict",
    "model release",
    "correlations make",
    "correlations list",
    "correlations drop",
    "audit show",
    "audit verify",
    "tee status",
    "tee vote",
    "tee verify",
    "demo",
    "net up",
    "net status",
    "net logs",
    "net kill",
    "net slow",
    "net down",
    "bench",
]


def leaves(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that runs something."""
    subs = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not subs:
        yield words
    for sub in subs:
        for name, child in sub.choices.items():
            yield from leaves(child, (*words, name))


def all_commands() -> list[str]:
    return [" ".join(words) for words in leaves(cli.build_parser(cli.command_names()))]


def test_golden_list_of_commands():
    found = [name for name in all_commands() if not name.startswith(("net ", "bench"))]
    assert found == [name for name in COMMANDS if not name.startswith(("net ", "bench"))]
    assert {name for name in COMMANDS if name.startswith("net ")} <= set(all_commands())


def test_docs_name_every_command():
    text = (DOCS / "cli.md").read_text()
    documented = re.findall(r"^### `hansa ([a-z ]+?)(?: [A-Z[-].*)?`", text, re.MULTILINE)
    found = all_commands()
    assert [name for name in documented if not name.startswith("bench")] == [
        name for name in found if not name.startswith("bench")
    ]
    assert any(name.startswith("bench") for name in documented)


@pytest.mark.parametrize("words", [command.split() for command in COMMANDS], ids=" ".join)
def test_help_teaches(words, hansa):
    code, out, err = hansa(*words, "--help")
    assert code == 0
    assert err == ""
    assert f"usage: hansa {' '.join(words)}" in out
    assert "--home DIR" in out
    assert "--json" in out


def test_overview_lists_every_command(hansa):
    for words in ([], ["--help"], ["-h"]):
        code, out, _ = hansa(*words)
        assert code == 0
        for name in cli.command_names():
            assert f"  {name} " in out


def test_version(hansa):
    assert re.fullmatch(r"hansa \d+\.\d+.*\n", hansa("--version")[1])


def test_a_mistyped_command(hansa):
    code, out, err = hansa("statis")
    assert (code, out) == (2, "")
    assert err == "error: hansa has no command 'statis' (did you mean 'hansa status'?)\n  next: hansa status --help\n"


@pytest.mark.parametrize(
    "words",
    [
        ["peer"],
        ["peer", "jion"],
        ["data", "add", "x.csv"],
        ["job", "show"],
        ["--nonsense"],
        ["status", "--hom", "x"],
        ["peer", "invite", "--ttl", "soon"],
        ["data", "add", "x.csv", "--key", "a,,b"],
        ["model", "predict", "m", "--data", "d", "--with", "lab"],
        ["init", "--port", "70000"],
        ["init", "--name", "två ord"],
        ["init", "--advertise", "nowhere"],
    ],
)
def test_usage_errors(words, hansa, home):
    code, out, err = hansa(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: hansa")
    assert "\n  next: hansa" in err
    code, out, err = hansa(*words, "--json")
    assert (code, err) == (2, "")
    error = json.loads(out)["error"]
    assert (error["code"], error["exit_code"]) == ("usage", 2)


def test_no_daemon(hansa, home):
    for words in (["status"], ["job", "list"], ["peer", "list"], ["model", "list"], ["audit", "verify"], ["doctor"]):
        code, out, err = hansa(*words)
        assert (code, out) == (9, "")
        assert f"no hansa daemon answers for {home}" in err
        assert f"next: start it with `hansa run --home {home}`" in err


def test_home_and_json_stand_anywhere(hansa, daemon, monkeypatch):
    monkeypatch.setenv("HANSA_HOME", "/nowhere")
    daemon.answers["job.list"] = []
    where = ["--home", str(daemon.home)]
    for words in (
        [*where, "--json", "job", "list"],
        ["job", *where, "--json", "list"],
        ["job", "list", "--json", f"--home={daemon.home}"],
        ["--json", "job", "list", *where],
    ):
        assert hansa(*words) == (0, "[]\n", "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("c", remedy="r"), 3),
        (PeerLost("p", remedy="r"), 5),
        (ConsentError("c", remedy="r"), 6),
        (SecurityError("s", remedy="r"), 8),
        (HansaError("i", remedy="r"), 1),
    ],
)
def test_the_daemons_errors_keep_their_code(error, code, hansa, daemon):
    daemon.answers["peer.list"] = error
    assert hansa("peer", "list") == (code, "", f"error: {error.message}\n  next: r\n")
    got, out, _ = hansa("peer", "list", "--json")
    assert got == code
    assert json.loads(out)["error"] == error.as_dict()


def test_nothing_a_peer_wrote_moves_the_cursor(hansa, daemon):
    daemon.answers["peer.list"] = PeerLost("gone \x1b[2J\x9b1A\u202e", remedy="look \x07")
    _, _, err = hansa("peer", "list")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", err)


def test_a_bug_of_ours_is_one_line_and_a_log(hansa, monkeypatch, home, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("hansa.node.cli.commands.status.run", lambda args: 1 / 0)
    code, out, err = hansa("status")
    assert (code, out) == (1, "")
    assert "Traceback" not in err
    found = re.search(r"failed unexpectedly: ZeroDivisionError: .* \(the traceback is in (\S+)\)", err)
    assert "ZeroDivisionError" in Path(found[1]).read_text()
    monkeypatch.setenv("HANSA_DEBUG", "1")
    with pytest.raises(ZeroDivisionError, match="division"):
        hansa("status")


def test_interrupting(hansa, monkeypatch, home):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("hansa.node.cli.commands.status.run", interrupted)
    assert hansa("status") == (130, "", "interrupted\n")


def test_a_closed_pipe_is_no_error(daemon):
    daemon.answers["audit.show"] = [
        {"seq": n, "time": 1.7e9, "kind": "x", "body": {"text": "y" * 500}, "hash": ""} for n in range(2000)
    ]
    command = f"{sys.executable} -m hansa.node.cli audit show | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=True, env=os.environ)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


@pytest.mark.parametrize("words", [["status"], ["job", "list"], ["peer", "list"], ["--help"], ["job", "watch", "x"]])
def test_a_command_loads_nothing_heavy(words, home):
    code = f"import sys; from hansa.node.cli.main import main; main({words!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & HEAVY


def test_every_command_module_is_there():
    for name in cli.command_names():
        assert callable(importlib.import_module(cli.module_of(name)).register)
