"""What the demo makes of a folder, and what it says of one it can make nothing of."""

from __future__ import annotations

from pathlib import Path

import pytest

from hansa.algorithms.errors import DataError
from hansa.config import jobfile
from hansa.node.lab.demo.job_text import job_text
from hansa.node.lab.demo.tables import breast_cancer, from_folder


def write(folder: Path, **files: str) -> Path:
    for name, header in files.items():
        (folder / f"{name}.csv").write_text(f"{header}\n")
    return folder


def test_the_key_is_what_all_share_and_the_label_has_a_usual_name(tmp_path: Path) -> None:
    tables = from_folder(write(tmp_path, a="id,x", b="y2,id", c="id,z,target"), None)
    assert (tables.key, tables.label, tables.owner) == ("id", "target", "c")
    job = jobfile.parse(*job_text(tables, given=True, engine=None))
    assert {party.name: party.label for party in job.parties} == {"a": None, "b": None, "c": "target"}


@pytest.mark.parametrize(
    ("files", "label", "message"),
    [
        ({"a": "id,x"}, None, "holds 1 CSV files"),
        ({name: f"id,{name}" for name in "abcdef"}, None, "holds 6 CSV files"),
        ({"a": "id,x", "b": "no,y2", "c": "id,default"}, None, "share no column"),
        ({"a": "id,k,x", "b": "id,k", "c": "id,k,default"}, None, "share 2 columns"),
        ({"a": "id,x", "b": "id,w", "c": "id,z"}, None, "candidates: a.x, b.w, c.z"),
        ({"a": "id,y", "b": "id,w", "c": "id,label"}, None, "several columns are called"),
        ({"a": "id,x", "b": "id,w", "c": "id,z"}, "zz", "no column is called 'zz'"),
    ],
)
def test_folders_it_cannot_use(tmp_path: Path, files: dict[str, str], label: str | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_folder(write(tmp_path, **files), label)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        from_folder(tmp_path / "none", None)


def test_the_built_in_table_is_cut_up_for_three(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the extra 'demo' is not installed")
    tables = breast_cancer(tmp_path)
    assert [table.party for table in tables.tables] == ["clinic", "imaging", "laboratory"]
    assert sum(len(table.columns) for table in tables.tables) == 30 + 3 + 1
    text, name = job_text(tables, given=False, engine=None)
    assert name == "breast-cancer.toml"
    assert jobfile.parse(text, name).seed is not None


@pytest.mark.parametrize(
    ("parties", "asked", "engine"), [(2, None, "auto"), (3, None, "replicated"), (3, "additive", "additive")]
)
def test_the_engine_is_the_examples_for_three(tmp_path: Path, parties: int, asked: str | None, engine: str) -> None:
    files = {name: f"id,{name}" for name in "abc"[: parties - 1]} | {"z": "id,target"}
    job = jobfile.parse(*job_text(from_folder(write(tmp_path, **files), None), given=True, engine=asked))
    assert job.engine == engine
