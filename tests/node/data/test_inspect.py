"""What `hansa data add` learns of a file, and why it refuses one."""

import json
import subprocess
import sys

import pytest

from hansa.algorithms.errors import DataError
from hansa.node.data.inspect import inspect
from hansa.node.data.schema import schema_digest
from hansa.node.errors import MissingExtra

ROWS = 1000


def write(folder, text, name="clients.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_kinds_ranges_missing_and_digest(tmp_path):
    path = write(tmp_path, "\ufeffid,age,town,income\n1,30,Ulm,1e3\n2,,Bonn,-2.5\n3,40,,NA\n")
    got = inspect(path, ["id"], None, ROWS)
    assert got["format"] == "csv"
    assert got["rows"] == 3
    assert got["key"] == ["id"]
    assert got["columns"] == [
        {"name": "id", "kind": "number", "missing": 0, "min": 1.0, "max": 3.0},
        {"name": "age", "kind": "number", "missing": 1, "min": 30.0, "max": 40.0},
        {"name": "town", "kind": "text", "missing": 1},
        {"name": "income", "kind": "number", "missing": 1, "min": -2.5, "max": 1000.0},
    ]
    kinds = [("id", "number"), ("age", "number"), ("town", "text"), ("income", "number")]
    assert got["schema_digest"] == schema_digest(kinds, ["id"], None).hex()


def test_the_digest_names_the_schema_and_no_row(tmp_path):
    first = inspect(write(tmp_path, "id,x\na,1\nb,2\n"), ["id"], None, ROWS)
    more_rows = inspect(write(tmp_path, "id,x\nc,7\nd,8\ne,9\n"), ["id"], None, ROWS)
    other_kind = inspect(write(tmp_path, "id,x\na,one\nb,two\n"), ["id"], None, ROWS)
    labelled = inspect(write(tmp_path, "id,x\na,1\nb,2\n"), ["id"], "x", ROWS)
    assert first["schema_digest"] == more_rows["schema_digest"]
    assert len({first["schema_digest"], other_kind["schema_digest"], labelled["schema_digest"]}) == 3


def test_a_slip_in_a_number_column_is_pointed_at(tmp_path):
    got = inspect(write(tmp_path, "id,x\na,1\nb,12O\nc,3\n"), ["id"], None, ROWS)
    assert got["columns"][1] == {"name": "x", "kind": "text", "missing": 0, "odd_row": 2}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_and_blank_lines_are_none(tmp_path, delimiter):
    text = "id,x\na,1\n\nb,2\n\n".replace(",", delimiter)
    assert inspect(write(tmp_path, text), ["id"], None, ROWS)["rows"] == 2


def test_quoted_cells_may_hold_delimiters_and_line_ends(tmp_path):
    got = inspect(write(tmp_path, 'id,note,x\n"a, b","two\nlines",1\n"c ""d""",,2\n'), ["id"], None, ROWS)
    assert [column["kind"] for column in got["columns"]] == ["text", "text", "number"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "has no header"),
        (b"id,x\n", "has a header but no rows"),
        (b"id,x\na,1\nb\n", "row 2 of .* has 1 cells where the header has 2"),
        (b"id,x\na,1\nb,2,3\n", "row 2 of .* has 3 cells where the header has 2"),
        (b"id,x,x\na,1,2\n", "two columns named 'x'"),
        (b"id,,x\na,1,2\n", "column 2 of .* has no name"),
        (b"id,x\n\xff\xfe,1\n", "not UTF-8 text"),
        (b'id,x\n"a,1\n', "not well-formed CSV"),
        (b"id,x\na,1\nb,2\na,3\nb,4\n", "rows 1 and 3 of .* have the same key .*; 2 rows repeat an earlier key"),
        (b"id,x\na,1\n ,2\n", "the key 'id' is missing or no text or integer in row 2"),
        (b"idd,x\na,1\n", r"no column 'id' \(did you mean 'idd'\?\)"),
        (b'id,"two\nlines"\na,1\n', "the name of column 2 of .* holds line ends"),
        (b"id," + b"x" * 257 + b"\na,1\n", "the name of column 2 of .* is longer than 256 characters"),
        (b"id," + b",".join(b"x%d" % n for n in range(10_000)) + b"\n", "has 10001 columns, 1 of them its key"),
        (b"PAR1 but not really", "damaged or no Parquet"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        inspect(path, ["id"], None, ROWS)
    assert caught.value.fields["file"] == path


def test_no_error_quotes_a_key(tmp_path):
    with pytest.raises(DataError) as caught:
        inspect(write(tmp_path, "id,x\nsecret-7,1\nsecret-7,2\n"), ["id"], None, ROWS)
    assert "secret" not in json.dumps(caught.value.as_dict())


def test_the_limit_of_rows_is_exceeded_by_one(tmp_path):
    path = write(tmp_path, "id,x\na,1\nb,2\n")
    assert inspect(path, ["id"], None, 2)["rows"] == 2
    with pytest.raises(DataError, match="more than 1 rows"):
        inspect(path, ["id"], None, 1)


def test_missing_files_wrong_names_and_roles(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        inspect(str(tmp_path / "nowhere.csv"), ["id"], None, ROWS)
    with pytest.raises(DataError, match="it is no Parquet file"):
        inspect(write(tmp_path, "id,x\na,1\n", "t.parquet"), ["id"], None, ROWS)
    with pytest.raises(DataError, match="Is a directory"):
        inspect(str(tmp_path), ["id"], None, ROWS)
    path = write(tmp_path, "id,x\na,1\n")
    with pytest.raises(DataError, match="both key and label"):
        inspect(path, ["id"], "id", ROWS)
    with pytest.raises(DataError, match="no key column"):
        inspect(path, [], None, ROWS)
    with pytest.raises(DataError, match="no column 'default'"):
        inspect(path, ["id"], "default", ROWS)


def test_parquet_has_the_same_schema_as_csv(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")

    table = pyarrow.table({"id": [1, 2, 3], "x": [1.5, None, 2.0], "town": ["Ulm", "Bonn", None]})
    parquet.write_table(table, tmp_path / "t.parquet")
    from_parquet = inspect(str(tmp_path / "t.parquet"), ["id"], None, ROWS)
    from_csv = inspect(write(tmp_path, "id,x,town\n1,1.5,Ulm\n2,,Bonn\n3,2.0,\n"), ["id"], None, ROWS)
    assert from_parquet.pop("format") == "parquet"
    assert from_csv.pop("format") == "csv"
    assert from_parquet == from_csv


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="extra 'parquet'") as caught:
        inspect(write(tmp_path, b"PAR1...."), ["id"], None, ROWS)
    assert "pip install 'hansa[parquet]'" in caught.value.remedy


@pytest.mark.parametrize(("text", "key"), [("id,x\na,1\n", "ok"), ("id\n", "error")])
def test_the_child_answers_in_json(tmp_path, text, key):
    request = {"path": write(tmp_path, text), "key": ["id"], "label": None, "max_rows": ROWS}
    child = [sys.executable, "-m", "hansa.node.data.inspect"]
    done = subprocess.run(child, input=json.dumps(request), capture_output=True, text=True, check=True, timeout=60)
    answer = json.loads(done.stdout)
    assert list(answer) == [key]
    if key == "error":
        assert answer["error"]["code"] == "data"
