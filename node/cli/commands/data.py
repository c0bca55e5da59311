"""hansa data: the datasets of this node."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from hansa.node.cli.ask import ask
from hansa.node.cli.output import emit, hint
from hansa.node.cli.parser import command, group
from hansa.node.cli.table import facts, table
from hansa.node.cli.units import clock, count, number

ABOUT = """\
A dataset is a CSV or Parquet file of this institution, read in place. Peers see its name, its columns' names
and kinds, and its keys' names; never a row, never how many rows there are."""


def register(subparsers: Any) -> None:
    """Add the command."""
    sub = group(subparsers, "data", "add, list, show, remove datasets of this node", about=ABOUT)
    add = command(
        sub,
        "add",
        _add,
        "register a CSV or Parquet file",
        about="Nothing is copied unless --copy says so. A file whose columns changed is removed and added again.",
        examples=[
            "hansa data add clients.csv --key customer_id --label default",
            "hansa data add visits.parquet --name visits --key country,passport --copy",
        ],
        then="hansa data show NAME",
    )
    add.add_argument("path", metavar="PATH", help="the file (.csv or .parquet)")
    add.add_argument("--name", help="what jobs will call it (default: the file's name)")
    add.add_argument(
        "--key",
        required=True,
        type=_names,
        metavar="COL[,COL]",
        help="the column(s) that identify a row at every party",
    )
    add.add_argument("--label", metavar="COL", help="the column to predict, if this institution has it")
    add.add_argument("--copy", action="store_true", help="keep a copy in the home, so that the file may go")
    add.add_argument("--private", action="store_true", help="do not show it to peers")
    command(sub, "list", _list, "all datasets of this node", examples=["hansa data list"], then="hansa data show NAME")
    show = command(
        sub, "show", _show, "a dataset's columns", examples=["hansa data show clients"], then="hansa job plan FILE.toml"
    )
    show.add_argument("name", metavar="NAME")
    remove = command(
        sub,
        "remove",
        _remove,
        "forget a dataset; the file stays, a copy in the home goes",
        examples=["hansa data remove clients"],
        then="hansa data list",
    )
    remove.add_argument("name", metavar="NAME")


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} must be column names with commas between")
    return names


def _add(args: argparse.Namespace) -> int:
    path = os.path.abspath(args.path)
    name = args.name or Path(path).stem
    params: dict[str, Any] = {"path": path, "name": name, "key": args.key, "copy": args.copy, "private": args.private}
    if args.label is not None:
        params["label"] = args.label
    added = ask(args, "data.add", **params)
    then = hint(args, "job plan FILE.toml", f'its [[party]] section says: dataset = "{added["name"]}"')
    emit(args, added, lambda: [f"Registered the dataset '{added['name']}'.", "", *_dataset(added), "", then])
    return 0


def _list(args: argparse.Namespace) -> int:
    datasets = ask(args, "data.list")
    emit(args, datasets, lambda: _list_lines(args, datasets))
    return 0


def _list_lines(args: argparse.Namespace, datasets: list[dict[str, Any]]) -> list[str]:
    if not datasets:
        return ["No datasets yet.", hint(args, "data add FILE.csv --key COLUMN")]
    rows = [
        (
            data["name"],
            count(data["rows"]),
            len(data["columns"]),
            ", ".join(data["key"]),
            data["label"],
            _shown(data),
            data["path"],
        )
        for data in datasets
    ]
    return table(("dataset", "rows", "columns", "key", "label", "shown to", "file"), rows, right=["rows", "columns"])


def _shown(data: dict[str, Any]) -> str:
    return "nobody" if data.get("private") else "peers"


def _show(args: argparse.Namespace) -> int:
    data = ask(args, "data.show", name=args.name)
    emit(args, data, lambda: [*_dataset(data), "", *_columns(data)])
    return 0


def _dataset(data: dict[str, Any]) -> list[str]:
    copied = " (copied into the home)" if data.get("copied") else ""
    return facts(
        [
            ("name", data["name"]),
            ("file", f"{data['path']}{copied}"),
            ("format", data.get("format")),
            ("rows", f"{count(data['rows'])} (known here only)"),
            ("columns", len(data["columns"])),
            ("key", ", ".join(data["key"])),
            ("label", data["label"]),
            ("shown to", _shown(data)),
            ("schema", data["schema_digest"][:16]),
            ("added", clock(data.get("added"))),
        ]
    )


def _columns(data: dict[str, Any]) -> list[str]:
    rows = [
        (
            column["name"],
            column["kind"],
            "key" if column["name"] in data["key"] else "label" if column["name"] == data["label"] else "",
            number(column.get("min")),
            number(column.get("max")),
            count(column.get("missing")),
        )
        for column in data["columns"]
    ]
    return table(
        ("column", "kind", "role", "least", "greatest", "missing"), rows, right=["least", "greatest", "missing"]
    )


def _remove(args: argparse.Namespace) -> int:
    removed = ask(args, "data.remove", name=args.name)
    emit(args, removed, lambda: [f"The dataset '{args.name}' is forgotten.", hint(args, "data list")])
    return 0
