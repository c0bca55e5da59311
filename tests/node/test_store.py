"""The store: whole after a kill at any time, migrated forward only, and clear about a file it cannot use."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hansa.config.errors import ConfigError
from hansa.node import store as store_module
from hansa.node.store import FILE, MIGRATIONS, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_values_survive_closing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.meta("port") is None
    store.set_meta("port", b"\x01")
    store.set_meta("port", b"\x02")
    store.close()
    again = Store(tmp_path)
    assert again.meta("port") == b"\x02"
    again.close()
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_a_transaction_is_all_or_nothing(store: Store) -> None:
    def fail() -> None:
        with store.transaction():
            store.set_meta("a", b"1")
            with store.transaction():
                store.set_meta("b", b"1")
            raise KeyError("half way")

    with pytest.raises(KeyError, match="half way"):
        fail()
    assert (store.meta("a"), store.meta("b")) == (None, None)
    with store.transaction():
        store.set_meta("a", b"2")
    assert store.meta("a") == b"2"
    store.close()


def test_an_error_of_sqlite_inside_a_transaction_is_not_hidden(store: Store) -> None:
    def twice() -> None:
        with store.transaction():
            store.write("INSERT INTO meta VALUES ('a', x'00')")
            store.write("INSERT INTO meta VALUES ('a', x'00')")

    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        twice()
    assert store.meta("a") is None
    store.close()


def test_rows_and_counts(store: Store) -> None:
    assert store.row("SELECT value FROM meta WHERE name = ?", "x") is None
    store.set_meta("a", b"1")
    store.set_meta("b", b"2")
    assert store.rows("SELECT name FROM meta ORDER BY name") == [("a",), ("b",)]
    assert store.write("DELETE FROM meta WHERE name = ?", "a") == 1
    assert store.write("DELETE FROM meta WHERE name = ?", "a") == 0
    store.close()


def test_migrations_run_once_each_and_forward_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Store(tmp_path)
    first.set_meta("kept", b"1")
    first.close()
    monkeypatch.setattr(store_module, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE further (x INTEGER);"))
    second = Store(tmp_path)
    assert second.rows("SELECT * FROM further") == []
    assert second.meta("kept") == b"1"
    second.close()
    Store(tmp_path).close()
    monkeypatch.setattr(store_module, "MIGRATIONS", MIGRATIONS)
    with pytest.raises(ConfigError, match=r"written by a newer hansa \(schema .*\n.*update hansa"):
        Store(tmp_path)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path).close()
    broken = "CREATE TABLE half (x INTEGER); CREATE TABLE meta (x INTEGER);"
    monkeypatch.setattr(store_module, "MIGRATIONS", (*MIGRATIONS, broken))
    with pytest.raises(ConfigError, match="cannot be used: table meta already exists"):
        Store(tmp_path)
    monkeypatch.setattr(store_module, "MIGRATIONS", MIGRATIONS)
    store = Store(tmp_path)
    assert store.row("SELECT 1 FROM sqlite_master WHERE name = 'half'") is None
    store.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database at all" * 100)
    with pytest.raises(ConfigError, match=r"node\.db cannot be used.*\n.*backup"):
        Store(tmp_path)


def test_a_home_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"node\.db cannot be used"):
        Store(tmp_path / "missing")


_WRITER = """
import sys
from pathlib import Path
from hansa.node.store import Store
store = Store(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    with store.transaction():
        store.set_meta("first", number.to_bytes(8, "big"))
        store.set_meta("second", number.to_bytes(8, "big"))
    print(number, flush=True)
"""


@pytest.mark.parametrize("writes", [1, 7, 40])
def test_a_kill_leaves_the_last_whole_state(tmp_path: Path, writes: int) -> None:
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(writes):
            said = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
    store = Store(tmp_path)
    first, second = store.meta("first"), store.meta("second")
    assert first == second
    assert int.from_bytes(first or b"", "big") >= said
    store.close()
