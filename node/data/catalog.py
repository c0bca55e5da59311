"""This node's datasets, and what it shows of them: names and columns to peers, never rows, private ones not at all.

A file is read once by a short-lived child (node.data.inspect) when it is added; nothing is copied unless asked.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import trio

from hansa.algorithms.errors import DataError
from hansa.config.vocabulary import NAME
from hansa.node.data import schema
from hansa.node.errors import RelayedError, UsageError, nearest
from hansa.node.net.mesh import Mesh
from hansa.node.net.requests import CATALOG
from hansa.node.store import Store
from hansa.protocols.errors import PeerError
from hansa.protocols.wire.limits import CATALOG_MAX_DATASETS
from hansa.protocols.wire.messages import CatalogReply, CatalogRequest, DatasetInfo

READ_WITHIN_S = 600.0

Dataset = dict[str, Any]


class Catalog:
    """The table ``datasets``, and the catalogs of peers."""

    def __init__(self, store: Store, home: Path, mesh: Mesh, max_rows: int) -> None:
        self._store, self._home, self._mesh, self._max_rows = store, home, mesh, max_rows
        mesh.handle(CatalogRequest, self._asked)

    # --- our own datasets --------------------------------------------------------------------------------------------

    async def add(
        self, path: str, name: str, key: list[str], *, label: str | None, copy: bool, private: bool
    ) -> Dataset:
        """Read a file once and register it. Raises UsageError (names) or DataError (the file)."""
        if not re.fullmatch(NAME, name):
            raise UsageError(
                f"'{name}' cannot name a dataset", remedy="use up to 64 letters, digits, dots, dashes, underscores"
            )
        if self._row(name) is not None:
            raise UsageError(
                f"there is a dataset '{name}' already", remedy=f"choose another --name, or `hansa data remove {name}`"
            )
        if len(self.all()) >= CATALOG_MAX_DATASETS:
            raise UsageError(
                f"there are {CATALOG_MAX_DATASETS} datasets already", remedy="remove one: `hansa data remove NAME`"
            )
        if not key:
            raise UsageError("a dataset needs a key column", remedy="name it with --key COLUMN")
        source = Path(path).expanduser().absolute()
        facts = await self._inspect(source, key, label)
        kept = await trio.to_thread.run_sync(self._copy, source, name) if copy else source
        dataset: Dataset = {
            "name": name,
            "path": str(kept),
            **facts,
            "copied": copy,
            "private": private,
            "added": int(time.time()),
        }
        self._store.write("INSERT INTO datasets VALUES (?, ?)", name, json.dumps(dataset))
        return dataset

    def all(self) -> list[Dataset]:
        """Every dataset, by name."""
        rows = self._store.rows("SELECT description FROM datasets ORDER BY name")
        return [json.loads(description) for (description,) in rows]

    def get(self, name: str) -> Dataset:
        """One dataset. Raises UsageError with the nearest name there is."""
        found = self._row(name)
        if found is None:
            names = [dataset["name"] for dataset in self.all()]
            raise UsageError(f"there is no dataset '{name}'{nearest(name, names)}", remedy="see `hansa data list`")
        return found

    def remove(self, name: str) -> Dataset:
        """Forget a dataset, and delete our copy if we made one."""
        dataset = self.get(name)
        self._store.write("DELETE FROM datasets WHERE name = ?", name)
        if dataset["copied"]:
            Path(dataset["path"]).unlink(missing_ok=True)
        return dataset

    def info(self, name: str, schema_digest: bytes) -> DatasetInfo | None:
        """A dataset as it is now, for a contract that knows it by this digest.

        A private one is there only for who knows its schema, so that nobody finds out by guessing its name.
        """
        dataset = self._row(name)
        hidden = dataset is not None and dataset["private"] and dataset["schema_digest"] != schema_digest.hex()
        return None if dataset is None or hidden else info_of(dataset)

    def table_spec(self, name: str, use: schema.Use) -> dict[str, Any]:
        """What node.data.table needs to read a job's table. Raises DataError when the dataset is gone."""
        dataset = self._row(name)
        if dataset is None:
            raise DataError(
                f"the dataset '{name}' is no longer registered", remedy=f"`hansa data add PATH --name {name}`"
            )
        return schema.table_spec(dataset, use)

    # --- peers' datasets ---------------------------------------------------------------------------------------------

    async def of_peer(self, identity: bytes) -> tuple[DatasetInfo, ...] | None:
        """The datasets a peer shows; None when it is offline or does not answer within seconds."""
        try:
            return (await self._mesh.request(identity, CATALOG)).datasets
        except PeerError:
            return None

    async def _asked(self, identity: bytes, request: CatalogRequest) -> None:
        shown = tuple(info_of(dataset) for dataset in self.all() if not dataset["private"])
        await self._mesh.send(identity, CatalogReply(request.request, shown))

    # --- inside ------------------------------------------------------------------------------------------------------

    def _row(self, name: str) -> Dataset | None:
        row = self._store.row("SELECT description FROM datasets WHERE name = ?", name)
        return None if row is None else json.loads(row[0])

    def _copy(self, source: Path, name: str) -> Path:
        folder = self._home / "data"
        folder.mkdir(exist_ok=True, mode=0o700)
        target = folder / f"{name}{source.suffix}"
        shutil.copyfile(source, target)
        target.chmod(0o600)
        return target

    async def _inspect(self, path: Path, key: list[str], label: str | None) -> Dataset:
        request = json.dumps({"path": str(path), "key": key, "label": label, "max_rows": self._max_rows})
        with trio.move_on_after(READ_WITHIN_S):
            done = await trio.run_process(
                [sys.executable, "-m", "hansa.node.data.inspect"],
                stdin=request.encode(),
                capture_stdout=True,
                stderr=subprocess.DEVNULL,
                check=False,
            )
            if done.returncode != 0:
                raise DataError(
                    f"{path.name} could not be read: the reader ended with {done.returncode}",
                    remedy="check that the file is CSV or Parquet and fits into memory",
                    file=str(path),
                )
            answer = json.loads(done.stdout)
            if "error" in answer:
                raise RelayedError.from_dict(answer["error"])
            return dict(answer["ok"])
        raise DataError(
            f"{path.name} was not read within {READ_WITHIN_S:.0f} s", remedy="use a smaller file", file=str(path)
        )


def info_of(dataset: Dataset) -> DatasetInfo:
    """What peers may see of a dataset."""
    return DatasetInfo(
        name=dataset["name"],
        schema_digest=bytes.fromhex(dataset["schema_digest"]),
        columns=tuple((column["name"], column["kind"]) for column in dataset["columns"]),
        key=tuple(dataset["key"]),
        label=dataset["label"],
    )
