"""Categories, missing values, labels by objective and sample weights of the table that a worker reads."""

import json

import numpy as np
import pytest

from hansa.algorithms.errors import DataError
from hansa.node.data import columns
from hansa.node.data.inspect import inspect
from hansa.node.data.schema import Use, table_spec
from hansa.node.data.table import load_table

SOFTMAX = {"objective": "multi:softprob", "num_class": 3}
SQUARES = {"objective": "reg:squarederror"}
POISSON = {"objective": "count:poisson"}


def load(path, names=("x",), label=None, **use):
    """A file's table as a worker of a job reads it."""
    found = inspect(str(path), ["id"], label, 100_000) | {"path": str(path)}
    wanted = Use(names, label, "trim", 100_000, **({"algorithm": "gbdt"} | use))
    return load_table(json.loads(json.dumps(table_spec(found, wanted))))


@pytest.fixture
def csv(tmp_path):
    """A CSV file of one column, or a few, with a key in front."""

    def write(*cells, header="x"):
        path = tmp_path / "t.csv"
        path.write_text("\n".join([f"id,{header}", *(f"k{n},{cell}" for n, cell in enumerate(cells))]) + "\n")
        return path

    return write


def refused(path, names=("x",), **use):
    with pytest.raises(DataError) as caught:
        load(path, names, **use)
    assert caught.value.fields["file"] == str(path)
    return caught.value


# --- categories ------------------------------------------------------------------------------------------------------


def test_categories_are_places_among_their_sorted_texts(csv):
    table = load(csv("Ulm", " Bonn ", "Ulm", "Aachen"), categorical=("x",))
    assert table.levels == {"x": ("Aachen", "Bonn", "Ulm")}
    np.testing.assert_array_equal(table.features, [[2], [1], [2], [0]])
    assert "Ulm" not in repr(table)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("+1", "1"),
        ("1e0", "1"),
        ("-0.0", "0"),
        ("0.50", "0.5"),
        ("-2.5", "-2.5"),
        ("12345678901234567890", "12345678901234567890"),
        ("01", "01"),
        ("1_0", "1_0"),
        (".5", ".5"),
        ("A1", "A1"),
        ("inf", "inf"),
        ("1e400", "1e400"),
        ("Mu\u0308nchen", "M\u00fcnchen"),
        ("9" * 120, "9" * 120),
    ],
)
def test_numbers_as_categories_have_one_text(csv, cell, text):
    assert load(csv(cell, "z"), categorical=("x",)).levels["x"] == tuple(sorted((text, "z")))


def test_parquet_and_csv_give_one_set_of_categories(tmp_path, csv):
    pyarrow = pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    from datetime import date

    path = tmp_path / "t.parquet"
    written = {
        "whole": [3, 1, 2],
        "real": [3.0, 1.0, 2.0],
        "text": ["3", "1.0", " 2"],
        "bytes": [b"3", b"1", b"2"],
        "truth": [True, False, True],
        "day": [date(2026, 1, 2), date(2026, 1, 1), date(2026, 1, 2)],
    }
    parquet.write_table(pyarrow.table({"id": ["a", "b", "c"]} | written), path)
    table = load(path, tuple(written), categorical=tuple(written))
    for name in ("whole", "real", "text", "bytes"):
        assert table.levels[name] == ("1", "2", "3"), name
    assert table.levels["truth"] == ("0", "1")
    assert table.levels["day"] == ("2026-01-01", "2026-01-02")
    assert load(csv("3", "1", "2.0"), categorical=("x",)).levels["x"] == ("1", "2", "3")
    parquet.write_table(pyarrow.table({"id": ["a"], "x": [[1, 2]]}), path)
    assert "is no text, number or date in row 1" in refused(path, categorical=("x",)).message
    parquet.write_table(pyarrow.table({"id": ["a"], "x": [b"\xff"]}), path)
    assert "is no text, number or date in row 1" in refused(path, categorical=("x",)).message


def test_categories_are_bounded(csv, monkeypatch):
    assert load(csv("a" * 256), categorical=("x",)).levels["x"] == ("a" * 256,)
    error = refused(csv("b", "a" * 257), categorical=("x",))
    assert error.message.startswith("the column 'x' has more than 256 characters in row 2")
    assert "aaa" not in str(error)
    monkeypatch.setattr(columns, "MOST_LEVELS", 3)
    assert len(load(csv("a", "b", "c", "a"), categorical=("x",)).levels["x"]) == 3
    error = refused(csv("a", "b", "c", "d"), categorical=("x",))
    assert "has more than 3 categories" in error.message
    assert error.fields["row"] == 4


def test_every_category_far_down_has_its_place(tmp_path):
    path = tmp_path / "t.csv"
    names = [f"c{n % 700:03d}" for n in range(9000)]
    path.write_text("\n".join(["id,x", *(f"k{n},{name}" for n, name in enumerate(names))]))
    table = load(path, categorical=("x",))
    assert [table.levels["x"][int(place)] for place in table.features[:, 0]] == names


# --- missing values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["", " ", "NA", "n/a", "NaN", "null", "None"])
def test_missing_cells_are_nan_where_the_job_takes_them(csv, cell):
    path = csv(f"1,{cell}", f"{cell},b", "2,a", header="x,y")
    table = load(path, ("x", "y"), categorical=("y",), params={"missing": True})
    np.testing.assert_array_equal(table.features, [[1, np.nan], [np.nan, 1], [2, 0]])
    assert table.levels == {"y": ("a", "b")}
    for name, row in (("x", 2), ("y", 1)):
        error = refused(path, (name,), categorical=("y",) if name == "y" else ())
        assert error.message.startswith(f"the column '{name}' is missing in row {row} of")
        assert "or write missing = true in [gbdt]" in error.remedy
    error = refused(path, ("x",), algorithm="lr")
    assert error.remedy.startswith("correct the cell, fill it, or leave the column out (rows")


def test_missing_cells_of_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    columns = {"id": ["a", "b", "c"], "x": [None, 1, 2], "z": [float("nan"), 0.5, None], "y": ["u", None, "1"]}
    parquet.write_table(pyarrow.table(columns), path)
    table = load(path, ("x", "z", "y"), categorical=("y",), params={"missing": True})
    np.testing.assert_array_equal(table.features, [[np.nan, np.nan, 1], [1, 0.5, np.nan], [2, np.nan, 0]])


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("abc", "is not a number"),
        ("1_0", "is not a number"),
        ("-inf", "is infinite"),
        ("1e100", "is not below"),
    ],
)
def test_other_bad_cells_are_refused_all_the_same(csv, cell, why):
    use = Use(("x",), None, "trim", 9, algorithm="gbdt", params={"missing": True})
    path = csv("", "1", "2")
    wanted = table_spec(inspect(str(path), ["id"], None, 9) | {"path": str(path)}, use)
    csv("", "1", cell)
    with pytest.raises(DataError, match=f"the column 'x' {why}.* in row 3") as caught:
        load_table(wanted)
    assert "missing = true" not in caught.value.remedy


def test_a_column_without_any_value_can_be_scored_but_not_trained_on(csv):
    path = csv("1,,", "2,NA,", header="x,y,z")
    for name, categorical in (("z", ()), ("y", ("y",))):
        error = refused(path, ("x", name), categorical=categorical, params={"missing": True})
        assert error.message == f"the column '{name}' of {path} is empty in every row"
        assert error.fields["column"] == name
    table = load(path, ("x", "y"), categorical=("y",), params={"missing": True}, scored=True)
    np.testing.assert_array_equal(table.features, [[1, np.nan], [2, np.nan]])
    assert table.levels == {"y": ()}


# --- labels and weights ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "cells"),
    [
        ({}, (0, 1, 1)),
        (SOFTMAX, (2, 0, 1.0)),
        (SQUARES, (-1e12, 1e12, 0.5)),
        (POISSON, (0, 255, 1.5)),
        (POISSON, (3, 1, 2)),
    ],
)
def test_labels_that_fit_their_objective(csv, params, cells):
    path = csv(*(f"{cell},1" for cell in cells), header="y,x")
    np.testing.assert_array_equal(load(path, label="y", params=params).label, cells)


@pytest.mark.parametrize(
    ("params", "cells", "row", "why"),
    [
        ({}, (0, 1, 2), 3, "is neither 0 nor 1"),
        (SOFTMAX, (0, 1, 3), 3, "is not one of 3 classes"),
        (SOFTMAX, (0, -1, 2), 2, "is not one of 3 classes"),
        (SOFTMAX, (0, 0.5, 2), 2, "is not one of 3 classes"),
        (SOFTMAX, (0, 1, 1), None, "not every class from 0 to 2 of the label 'y' is in"),
        (SOFTMAX, (1, 1, 1), None, "is the same in every row"),
        (SQUARES, (0, 1.1e12, 2), 2, r"is above 1e+12 in size"),
        (SQUARES, (-2e12, 1, 2), 1, r"is above 1e+12 in size"),
        (SQUARES, (7.5, 7.5, 7.5), None, "is the same in every row"),
        (POISSON, (0, 1, -1), 3, "is not from 0 to 255"),
        (POISSON, (0, 256, 1), 2, "is not from 0 to 255"),
        (POISSON, (0, 0, 0), None, "is the same in every row"),
        *((params, (0, "", 1), 2, "the column 'y' is missing") for params in ({}, SOFTMAX, SQUARES, POISSON)),
        (SQUARES | {"missing": True}, (0, "", 1), 2, "the column 'y' is missing"),
        (SQUARES, (0, "inf", 1), 2, "the column 'y' is infinite"),
    ],
)
def test_labels_that_do_not(csv, params, cells, row, why):
    path = csv(*(f"{cell},1" for cell in cells), header="y,x")
    error = refused(path, label="y", params=params)
    assert why in error.message
    assert error.fields["column"] == "y"
    assert error.fields.get("row") == row
    for value in ("1.1e", "-2e", "7.5", "256"):
        assert value not in error.message


def test_weights_of_rows(csv):
    path = csv("0,1,0", "1,2,128", "1,3,0.5", header="y,x,w")
    table = load(path, label="y", weight="w")
    np.testing.assert_array_equal(table.weights, [0, 128, 0.5])
    assert table.columns == ("x",)
    assert load(path, label="y").weights is None
    assert "128" not in repr(table)


@pytest.mark.parametrize(
    ("cells", "row", "why"),
    [
        ((1, -0.5, 1), 2, "the weight 'w' is not from 0 to 128 in row 2"),
        ((1, 1, 128.5), 3, "the weight 'w' is not from 0 to 128 in row 3"),
        ((1, "", 1), 2, "the column 'w' is missing in row 2"),
        ((1, "nan", 1), 2, "the column 'w' is missing in row 2"),
        ((1, "inf", 1), 2, "the column 'w' is infinite in row 2"),
        ((0, 0, 0), None, "the weight 'w' of .* is 0 in every row"),
    ],
)
def test_bad_weights(csv, cells, row, why):
    path = csv(*(f"{n % 2},1,{cell}" for n, cell in enumerate(cells)), header="y,x,w")
    with pytest.raises(DataError, match=why) as caught:
        load(path, label="y", weight="w", params={"missing": True})
    assert caught.value.fields["column"] == "w"
    assert caught.value.fields.get("row") == row
    assert "128.5" not in str(caught.value)
    assert "missing = true" not in caught.value.remedy


def test_what_a_contract_uses_of_a_table():
    contract = {
        "kind": "train",
        "normalise": "trim",
        "max_rows": 9,
        "algorithm": "gbdt",
        "params": SOFTMAX | {"missing": True},
    }
    party = {"columns": ["a", "b"], "label": "y", "categorical": ["b"], "weight": "w"}
    use = Use.of(contract, party)
    assert use.wanted == ("a", "b", "y", "w")
    assert (use.label_kind, use.num_class, use.missing, use.scored) == ("classes", 3, True, False)
    scored = Use.of(contract | {"kind": "predict"}, party)
    assert (scored.wanted, scored.categorical, scored.scored) == (("a", "b"), ("b",), True)
