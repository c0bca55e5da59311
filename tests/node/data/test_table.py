"""The table a worker reads: every used cell checked, every refusal naming file, column and row."""

import json
import os

import numpy as np
import pytest

from hansa.algorithms.errors import DataError
from hansa.node.data.inspect import inspect
from hansa.node.data.schema import Use, table_spec
from hansa.node.data.table import load_table

GOOD = "id,age,town,y\nc1,30,Ulm,0\nc2,41.5,Bonn,1\nc3,-2,Ulm,1\n"


def spec(path, *, key=("id",), columns=("age",), label="y", normalise="trim", max_rows=1000, **changes):
    """As the daemon would describe a file that it added when it was good, after its journey in a message."""
    found = inspect(str(path), list(key), label, 10_000) | {"path": str(path)}
    return json.loads(json.dumps(table_spec(found, Use(columns, label, normalise, max_rows)))) | changes


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "clients.csv"
    path.write_text(GOOD)
    return path


def joined(*parts):
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def test_a_good_table(file):
    table = load_table(spec(file))
    assert table.keys == [joined(b"c1"), joined(b"c2"), joined(b"c3")]
    np.testing.assert_array_equal(table.features, [[30], [41.5], [-2]])
    np.testing.assert_array_equal(table.label, [0, 1, 1])
    assert table.features.flags.c_contiguous
    assert table.columns == ("age",)


def test_a_table_prints_nothing_of_what_it_holds(file):
    assert "c1" not in repr(load_table(spec(file)))
    assert "41.5" not in repr(load_table(spec(file)))


def test_columns_come_in_the_contracts_order_and_may_be_none(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,a,b\nx,1,2\ny,3,4\n")
    table = load_table(spec(path, columns=("b", "a"), label=None))
    np.testing.assert_array_equal(table.features, [[2, 1], [4, 3]])
    assert table.label is None
    assert load_table(spec(path, columns=(), label=None)).features.shape == (2, 0)


@pytest.mark.parametrize(
    ("rule", "count"),
    [("exact", 4), ("trim", 3), ("trim-casefold", 2)],
)
def test_keys_are_normalised_by_the_contracts_rule(tmp_path, rule, count):
    path = tmp_path / "t.csv"
    path.write_text("id,x\nab,1\n ab ,2\nAB,3\nz,4\n")
    wanted = spec(path, columns=("x",), label=None, normalise=rule)
    if count == 4:
        assert len(load_table(wanted).keys) == 4
    else:
        with pytest.raises(DataError, match=f"rows 1 and 2 of .* have the same key .*; {4 - count} rows repeat"):
            load_table(wanted)


def test_unicode_forms_of_one_key_are_one(tmp_path):
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("id,x\nM\u00fcller,1\n")
    two.write_text("id,x\nMu\u0308ller,1\n")
    keys = [load_table(spec(path, columns=("x",), label=None, normalise="exact")).keys for path in (one, two)]
    assert keys[0] == keys[1]


def test_composite_keys_do_not_run_into_each_other(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,x\nab,c,1\na,bc,2\n")
    keys = load_table(spec(path, key=("a", "b"), columns=("x",), label=None)).keys
    assert keys == [joined(b"ab", b"c"), joined(b"a", b"bc")]


def test_parquet_and_csv_give_one_table(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")

    numbers = list(range(5000))
    columns = {"id": numbers, "x": [n / 8 for n in numbers], "y": [n % 2 for n in numbers]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    lines = [f"{n},{n / 8},{n % 2}" for n in numbers]
    (tmp_path / "t.csv").write_text("\n".join(["id,x,y", *lines]))
    wanted = spec(tmp_path / "t.csv", columns=("x",), max_rows=5000)
    one, two = load_table(wanted), load_table(wanted | {"path": str(tmp_path / "t.parquet")})
    assert one.keys == two.keys
    np.testing.assert_array_equal(one.features, two.features)
    np.testing.assert_array_equal(one.label, two.label)


def test_integers_of_a_parquet_column_with_gaps_are_still_integers(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")

    parquet.write_table(pyarrow.table({"id": [7.0, 8.0], "x": [1, 2]}), tmp_path / "t.parquet")
    assert load_table(spec(tmp_path / "t.parquet", columns=("x",), label=None)).keys == [joined(b"7"), joined(b"8")]


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("", "is missing"),
        ("NaN", "is missing"),
        (" null ", "is missing"),
        ("abc", "is not a number"),
        ("1_000", "is not a number"),
        ("1,5", "has 5 cells"),
        ("inf", "is infinite"),
        ("-Infinity", "is infinite"),
        ("1e100", "is not below 1e[+]100"),
        ("1e999", "is infinite"),
    ],
)
def test_bad_cells_are_named_by_column_and_row(file, cell, why):
    wanted = spec(file)
    file.write_text(GOOD.replace("41.5", cell))
    with pytest.raises(DataError, match=why) as caught:
        load_table(wanted)
    assert caught.value.fields["file"] == str(file)
    assert caught.value.fields["row"] == 2
    if "cells" not in why:
        assert caught.value.fields["column"] == "age"
        assert "abc" not in caught.value.message
        assert "1_000" not in caught.value.message


def test_a_bad_cell_far_down_has_the_right_row(tmp_path):
    path = tmp_path / "t.csv"
    lines = [f"k{n},{n}" for n in range(1, 9001)]
    path.write_text("\n".join(["id,x", *lines]))
    wanted = spec(path, columns=("x",), label=None, max_rows=10_000)
    lines[8200] = "k8201,oops"
    path.write_text("\n".join(["id,x", *lines]))
    with pytest.raises(DataError, match="'x' is not a number in row 8201"):
        load_table(wanted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("age", "alter"), "changed since it was added: 'age' is gone, 'alter' is new"),
        (GOOD.replace("id,age,town,y", "id,town,age,y"), "changed since it was added: their order is another"),
        (GOOD.replace("0\n", "2\n"), "the label 'y' is neither 0 nor 1 in row 1"),
        (GOOD.replace("0\n", "1\n"), "the label 'y' of .* is the same in every row"),
        (GOOD.replace("0\n", "\n"), "the column 'y' is missing in row 1"),
        (GOOD.replace("c2", "c1"), "rows 1 and 2 of .* have the same key"),
        ("id,age,town,y\n", "has no rows"),
        ("", "is empty"),
    ],
)
def test_a_file_that_changed_since_it_was_added(file, text, message):
    wanted = spec(file)
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        load_table(wanted)


def test_a_file_that_is_gone(file):
    wanted = spec(file)
    os.unlink(file)
    with pytest.raises(DataError, match="does not exist"):
        load_table(wanted)


def test_a_dataset_added_anew_is_not_what_was_agreed(file):
    with pytest.raises(DataError, match="added anew with another schema"):
        load_table(spec(file, schema_digest="00" * 32))
    with pytest.raises(DataError, match="'income' is gone"):
        load_table(spec(file, columns=("income",)))


def test_the_limit_of_rows_is_exceeded_by_one(file):
    assert len(load_table(spec(file, max_rows=3)).keys) == 3
    with pytest.raises(DataError, match="more than 2 rows"):
        load_table(spec(file, max_rows=2))
