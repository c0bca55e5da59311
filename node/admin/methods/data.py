"""The admin methods data.*: what this node has registered."""

from __future__ import annotations

from hansa.node.admin.server import Handler, text_param
from hansa.node.admin.views import Json
from hansa.node.data.catalog import Catalog
from hansa.node.errors import UsageError


class DataMethods:
    """Answers about this node's datasets."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def methods(self) -> dict[str, Handler]:
        """Name to handler."""
        return {"data.add": self.add, "data.list": self.list, "data.show": self.show, "data.remove": self.remove}

    async def add(
        self,
        path: str,
        name: str,
        key: list[str],
        label: str | None = None,
        copy: bool = False,
        private: bool = False,
    ) -> Json:
        """Register a file."""
        if not isinstance(key, list) or not all(isinstance(column, str) for column in key):
            raise UsageError("'key' must be a list of column names", remedy="hansa data add PATH --key COLUMN")
        return await self._catalog.add(
            text_param("path", path),
            text_param("name", name),
            key,
            label=label,
            copy=copy is True,
            private=private is True,
        )

    async def list(self) -> list[Json]:
        """Every dataset."""
        return self._catalog.all()

    async def show(self, name: str) -> Json:
        """One dataset."""
        return self._catalog.get(text_param("name", name))

    async def remove(self, name: str) -> Json:
        """Forget a dataset."""
        return self._catalog.remove(text_param("name", name))
