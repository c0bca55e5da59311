"""The typed methods against the daemon's own table of methods, and the lines between them, without a socket."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from hansa.config.errors import ConfigError
from hansa.config.settings import NodeSettings, Settings
from hansa.node.admin.api import MAX_JOB_FILE, RESULT, AdminApi, Request, asked, message, read_job_file
from hansa.node.daemon import Daemon
from hansa.node.errors import RelayedError, UsageError
from hansa.node.identity import create_identity

ARGUMENTS = {
    "job_file": "job.toml",
    "key": ["id"],
    "peers": ["bureau"],
    "amounts": {"triples": 1},
    "at": {"bureau": "new"},
    "days": 30,
    "ttl_s": 60,
    "since": 3,
    "limit": 10,
    "copy": True,
    "private": True,
    "everything": True,
}
METHODS = {name: found for name, found in vars(AdminApi).items() if isinstance(found, asked)}


class Recorder(AdminApi):
    """A client that sends nothing: the answer to a request is the request."""

    def ask(self, request: Request[object], /) -> Request[object]:
        return request


@pytest.fixture
def job_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "job.toml"
    path.write_text("name = 'x'\n")
    return path


def requests_of(name: str) -> list[Request[object]]:
    """A method's request with its required arguments, and with all of them."""
    parameters = inspect.signature(getattr(Recorder(), name)).parameters.values()
    arguments = {p.name: ARGUMENTS.get(p.name, p.name) for p in parameters}
    least = {p.name: arguments[p.name] for p in parameters if p.default is p.empty}
    return [getattr(Recorder(), name)(**least), getattr(Recorder(), name)(**arguments)]


def test_the_daemon_takes_every_request_and_has_no_method_that_none_makes(tmp_path: Path, job_file: Path) -> None:
    handlers = Daemon(tmp_path, Settings(node=NodeSettings("bank")), create_identity(tmp_path)).admin.methods
    made = [request for name in METHODS for request in requests_of(name)]
    for request in made:
        inspect.signature(handlers[request.method]).bind(**request.params)
    assert {request.method for request in made} == set(handlers) - {"job.watch"}


def test_every_method_says_what_it_does() -> None:
    for name, method in METHODS.items():
        assert len((method.__doc__ or "").split()) > 2, name
        assert getattr(Recorder(), name).__doc__ == method.__doc__


def test_a_request_on_the_wire(job_file: Path) -> None:
    assert json.loads(Recorder().refuse("4f1c", "no").line()) == {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "job.refuse",
        "params": {"job": "4f1c", "reason": "no"},
    }
    assert Recorder().submit(job_file).params == {"file_text": "name = 'x'\n", "file_name": str(job_file)}
    assert Recorder().submit(job_file).answer({"job": "4f1c"}) == "4f1c"
    assert Recorder().add_data("t.csv", "t", ("id",)).params["path"] == str(Path.cwd() / "t.csv")


def test_messages() -> None:
    assert message(b'{"jsonrpc":"2.0","id":1,"result":null}\n') == (RESULT, None)
    assert message(b'{"jsonrpc":"2.0","method":"job.event","params":{"a":1}}') == ("job.event", {"a": 1})
    own = UsageError("no", remedy="ask otherwise", peer="bank")
    with pytest.raises(RelayedError, match="no\n  next: ask otherwise") as caught:
        message(json.dumps({"id": 1, "error": {"code": -32000, "data": own.as_dict()}}).encode())
    assert (caught.value.code, caught.value.exit_code, caught.value.fields) == ("usage", 2, {"peer": "bank"})
    with pytest.raises(RelayedError, match=r"unknown method x\n  next: .*update client and daemon"):
        message(b'{"id": 1, "error": {"code": -32601, "message": "unknown method x"}}')
    for junk in (b"", b"\n", b"no json\n"):
        with pytest.raises(ValueError, match="Expecting value"):
            message(junk)


def test_job_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    for content, why in [(b" \n", "it is empty"), (b"#" * (MAX_JOB_FILE + 1), "longer than 1 MiB"), (b"\xff", "utf-8")]:
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=why):
            read_job_file(path)
    path.write_bytes(b"#" * MAX_JOB_FILE)
    assert len(read_job_file(path)["file_text"]) == MAX_JOB_FILE
    with pytest.raises(ConfigError, match="No such file"):
        Recorder().plan(tmp_path / "none.toml")
