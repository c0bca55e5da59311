"""data.*: files are described once, by a child; peers see names and kinds of columns, and of private ones nothing."""

from contextlib import closing
from pathlib import Path

import pytest

from hansa.config.settings import LimitSettings, NodeSettings, Settings
from hansa.node.daemon import Daemon
from hansa.node.data import catalog
from hansa.node.errors import UsageError
from hansa.node.identity import create_identity
from hansa.protocols.errors import HansaError

ROWS = "id,age,city,default\n1,30,Bonn,0\n2,41,Kiel,1\n3,,Ulm,0\n"


@pytest.fixture
def daemon(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    made = Daemon(home, Settings(node=NodeSettings("bank"), limits=LimitSettings(max_rows=10)), create_identity(home))
    with closing(made.node.store):
        yield made


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "clients.csv"
    path.write_text(ROWS)
    return path


def call(daemon, method, /, **params):
    return daemon.admin.methods[method](**params)


async def test_a_dataset_is_described_listed_shown_and_forgotten(daemon, table):
    added = await call(daemon, "data.add", path=str(table), name="clients", key=["id"], label="default")
    assert added["rows"] == 3
    assert added["format"] == "csv"
    assert [(c["name"], c["kind"]) for c in added["columns"]][1:3] == [("age", "number"), ("city", "text")]
    assert added["path"] == str(table)
    assert await call(daemon, "data.list") == [added]
    assert await call(daemon, "data.show", name="clients") == added
    await call(daemon, "data.remove", name="clients")
    assert await call(daemon, "data.list") == []
    assert table.exists()


async def test_a_copy_is_ours_private_to_this_user_and_goes_with_the_dataset(daemon, table):
    added = await call(daemon, "data.add", path=str(table), name="clients", key=["id"], copy=True)
    copy = Path(added["path"])
    assert copy.parent == daemon.node.home / "data"
    assert copy.read_text() == ROWS
    assert copy.stat().st_mode & 0o777 == 0o600
    await call(daemon, "data.remove", name="clients")
    assert not copy.exists()
    assert table.exists()


async def test_peers_see_no_path_no_rows_and_no_private_dataset(daemon, table):
    await call(daemon, "data.add", path=str(table), name="clients", key=["id"], label="default")
    await call(daemon, "data.add", path=str(table), name="hidden", key=["id"], private=True)
    sent = []

    class Mesh:
        async def send(self, identity, message):
            sent.append(message)

    shown = catalog.Catalog.__new__(catalog.Catalog)
    shown._store, shown._mesh = daemon.node.store, Mesh()
    await shown._asked(b"p" * 32, catalog.CatalogRequest(7))
    (answer,) = sent
    assert answer.request == 7
    assert [info.name for info in answer.datasets] == ["clients"]
    assert answer.datasets[0].key == ("id",)
    assert answer.datasets[0].label == "default"
    assert str(table) not in repr(answer)
    digest = bytes.fromhex(shown.get("hidden")["schema_digest"])
    assert shown.info("hidden", bytes(32)) is None  # as a name that does not exist: guessing finds nothing
    assert shown.info("hidden", digest) is not None
    assert shown.info("clients", bytes(32)) is not None


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"name": "no blanks"}, "cannot name a dataset"),
        ({"name": "../x"}, "cannot name a dataset"),
        ({"key": []}, "needs a key column"),
        ({"key": "id"}, "must be a list"),
        ({"key": ["idd"]}, "did you mean 'id'"),
        ({"label": "defalt"}, "did you mean 'default'"),
        ({"path": "/nowhere/x.csv"}, "x.csv"),
    ],
)
async def test_what_cannot_be_added_is_told(daemon, table, change, match):
    params = {"path": str(table), "name": "clients", "key": ["id"], **change}
    with pytest.raises(HansaError, match=match):
        await call(daemon, "data.add", **params)
    assert await call(daemon, "data.list") == []


async def test_a_name_is_used_once_and_an_unknown_one_gets_a_hint(daemon, table):
    await call(daemon, "data.add", path=str(table), name="clients", key=["id"])
    with pytest.raises(UsageError, match="there is a dataset 'clients' already"):
        await call(daemon, "data.add", path=str(table), name="clients", key=["id"])
    with pytest.raises(UsageError, match=r"no dataset 'client' \(did you mean 'clients'\?\)"):
        await call(daemon, "data.show", name="client")


async def test_too_many_rows_for_this_node_are_refused(daemon, table):
    table.write_text("id,age\n" + "".join(f"{i},1\n" for i in range(11)))
    with pytest.raises(HansaError, match="10"):
        await call(daemon, "data.add", path=str(table), name="clients", key=["id"])


async def test_a_reader_that_dies_is_an_error_of_the_file(daemon, table, monkeypatch):
    monkeypatch.setattr(catalog.sys, "executable", "/bin/false")
    with pytest.raises(HansaError, match=r"clients.csv could not be read: the reader ended with 1"):
        await call(daemon, "data.add", path=str(table), name="clients", key=["id"])
