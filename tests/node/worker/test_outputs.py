"""The files a worker leaves: scores with their keys, and at the label's owner the curves."""

import csv
import stat
from types import SimpleNamespace

import numpy as np

from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.pipeline import Scores
from hansa.node.data.cells import join_key
from hansa.node.worker.outputs import key_parts, write_scores

KEYS = [("a", "1"), ("b,c", "2"), ('d"', "3"), ("é", "4")]


def written(tmp_path, label, scores, params=None):
    start = SimpleNamespace(scores_file=str(tmp_path / "scores" / "job.csv"), dataset={"key": ["id", "branch"]})
    table = PartyTable([join_key(key) for key in KEYS], np.zeros((4, 1)), ("x",), label)
    contract = SimpleNamespace(name="a <job>", algorithm="gbdt", params=params or {})
    return write_scores(start, contract, table, scores)


SCORES = Scores(np.array([2, 0, 1]), np.array([0.25, 1.0, 0.123456789]))


def test_scores_carry_the_keys_of_the_table(tmp_path):
    path = written(tmp_path, None, SCORES)
    with open(path, newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["id", "branch", "score"],
            ['d"', "3", "0.250000"],
            ["a", "1", "1.000000"],
            ["b,c", "2", "0.123457"],
        ]
    assert stat.S_IMODE((tmp_path / "scores" / "job.csv").stat().st_mode) == 0o600
    assert not (tmp_path / "scores" / "job.svg").exists()


def test_the_labels_owner_gets_the_curves_beside_them(tmp_path):
    written(tmp_path, np.array([1.0, 0.0, 0.0, 1.0]), SCORES)
    picture = (tmp_path / "scores" / "job.svg").read_text()
    assert picture.startswith("<svg")
    assert "a &lt;job&gt;: 3 rows held out" in picture
    assert stat.S_IMODE((tmp_path / "scores" / "job.svg").stat().st_mode) == 0o600


def test_other_labels_than_0_and_1_have_no_such_curves(tmp_path):
    written(tmp_path, np.array([3.5, 0.1, 2.0, 1.0]), SCORES, {"objective": "reg:squarederror"})
    assert [path.name for path in (tmp_path / "scores").iterdir()] == ["job.csv"]


def test_a_party_that_receives_no_scores_writes_nothing(tmp_path):
    assert written(tmp_path, None, None) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_composite_key_comes_apart_again():
    assert [tuple(key_parts(join_key(key))) for key in KEYS] == KEYS


def test_every_class_has_a_column_and_there_are_no_curves(tmp_path):
    scores = Scores(np.array([2, 0]), np.array([[0.25, 0.5, 0.25], [1.0, 0.0, 0.0]]))
    params = {"objective": "multi:softprob", "num_class": 3}
    path = written(tmp_path, np.array([1.0, 0.0, 2.0, 1.0]), scores, params)
    with open(path, newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["id", "branch", "score_0", "score_1", "score_2"],
            ['d"', "3", "0.250000", "0.500000", "0.250000"],
            ["a", "1", "1.000000", "0.000000", "0.000000"],
        ]
    assert not (tmp_path / "scores" / "job.svg").exists()
