"""The node's SQLite file: opened in WAL mode, migrated forward, and small typed access to it.

Every write is one transaction, so a kill at any time leaves the last committed state. This module has the connection and the
schema. Each subject reads and writes its own tables (``net.peers``, ``audit``, ``jobs.store``, ``data.catalog``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hansa.config.errors import ConfigError

FILE = "node.db"

MIGRATIONS = (
    """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL);
    CREATE TABLE peers (
        identity BLOB PRIMARY KEY, name TEXT NOT NULL UNIQUE, record BLOB NOT NULL,
        how TEXT NOT NULL, added INTEGER NOT NULL, last_seen REAL);
    CREATE TABLE removed_peers (identity BLOB PRIMARY KEY, removed INTEGER NOT NULL);
    CREATE TABLE invites (token BLOB PRIMARY KEY, secret BLOB NOT NULL, expires INTEGER NOT NULL);
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL,
        hash BLOB NOT NULL, sig BLOB NOT NULL);
    CREATE TABLE peer_heads (
        identity BLOB NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL, sig BLOB NOT NULL,
        PRIMARY KEY (identity, seq));
    CREATE TABLE datasets (name TEXT PRIMARY KEY, description BLOB NOT NULL);
    CREATE TABLE jobs (job_id BLOB PRIMARY KEY, created INTEGER NOT NULL, record BLOB NOT NULL);
    CREATE TABLE job_events (id INTEGER PRIMARY KEY, job_id BLOB NOT NULL, event BLOB NOT NULL);
    CREATE INDEX job_events_by_job ON job_events (job_id);
    """,
)
"""One script a schema version; a script that has been released is never changed, only followed by another."""


class Store:
    """The open database of one home. Use it from one thread; statements here take well under a millisecond."""

    def __init__(self, home: Path) -> None:
        path = home / FILE
        try:
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise _unusable(path, error) from error
        try:
            path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._migrate(path)
        except (OSError, sqlite3.Error) as error:
            self._db.close()
            raise _unusable(path, error) from error
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self._db.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row of a query."""
        found: tuple[Any, ...] | None = self._db.execute(sql, values).fetchone()
        return found

    def write(self, sql: str, *values: Any) -> int:
        """One statement, durable when this returns; the number of rows it changed."""
        return self._db.execute(sql, values).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Several writes, all or none; inside another transaction they are part of it. Do not await in it."""
        nested = self._db.in_transaction
        if nested:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk has rolled it back already
                self._db.execute("ROLLBACK")
            raise

    def meta(self, name: str) -> bytes | None:
        """A named value of this node."""
        found = self.row("SELECT value FROM meta WHERE name = ?", name)
        return None if found is None else bytes(found[0])

    def set_meta(self, name: str, value: bytes) -> None:
        """Keep a named value."""
        self.write(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value
        )

    def _migrate(self, path: Path) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise ConfigError(
                f"{path} was written by a newer hansa (schema {version}, this one knows {len(MIGRATIONS)})",
                remedy="update hansa on this machine",
                file=str(path),
            )
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            self._db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")


def _unusable(path: Path, error: Exception) -> ConfigError:
    busy = "locked" in str(error)
    return ConfigError(
        f"{path} cannot be used: {error}",
        remedy="stop the other program that uses it" if busy else "restore it from a backup, or start with a new home",
        file=str(path),
    )
