"""Tables, units and what reaches the terminal."""

from __future__ import annotations

import io

import pytest

from hansa.node.cli import units
from hansa.node.cli.output import clean, style
from hansa.node.cli.table import facts, shorten, table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (units.size, None, "-"),
        (units.size, 0, "0 B"),
        (units.size, 1023, "1023 B"),
        (units.size, 1536, "1.5 KiB"),
        (units.size, 20 << 20, "20 MiB"),
        (units.size, 3 << 40, "3.0 TiB"),
        (units.duration, None, "-"),
        (units.duration, 0.35, "350 ms"),
        (units.duration, 4.21, "4.2 s"),
        (units.duration, 42, "42 s"),
        (units.duration, 200, "3 min 20 s"),
        (units.duration, 7500, "2 h 5 min"),
        (units.duration, 3600, "1 h"),
        (units.duration, 100 * 3600, "4 d 4 h"),
        (units.ago, None, "never"),
        (units.ago, 0.4, "now"),
        (units.ago, 40, "40 s ago"),
        (units.ago, 3 * 3600, "3 h ago"),
        (units.latency, None, "-"),
        (units.latency, 0.418, "0.42 ms"),
        (units.latency, 51.2, "51 ms"),
        (units.count, 24811, "24,811"),
        (units.count, None, "-"),
        (units.number, 0.123456, "0.1235"),
        (units.number, 7, "7"),
        (units.number, None, "-"),
        (units.clock, None, "-"),
    ],
)
def test_units(function, value, text):
    assert function(value) == text


def test_table_aligns():
    assert table(("name", "rows"), [("a", 1), ("longer", 20000), (None, 3)], right=["rows"]) == [
        "name     rows",
        "a           1",
        "longer  20000",
        "-           3",
    ]


def test_table_aligns_under_colours(monkeypatch):
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    lines = table(("a", "b"), [(style("red", "red"), 1), ("plain", 2)])
    assert lines[1] == "\x1b[31mred\x1b[0m    1"
    assert lines[2] == "plain  2"
    monkeypatch.setenv("NO_COLOR", "1")
    assert style("red", "red") == "red"


def test_cells_stay_on_their_line():
    assert table(("a",), [("x\ny",)]) == ["a", "x y"]
    assert facts([("k", "x\ny"), ("none", None), ("key", 1)]) == ["k    x y", "key  1"]


def test_shorten():
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefg", 6) == "abcde…"


def test_clean_keeps_only_colours_and_only_on_a_terminal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert clean("\x1b[31mred\x1b[0m\x1b[2J", Terminal()) == "\x1b[31mred\x1b[0m\ufffd[2J"
    assert clean("\x1b[31mred\x1b[0m\x1b]0;title\x07", io.StringIO()) == "red\ufffd]0;title\ufffd"
    assert clean("tab\tline\nß漢", io.StringIO()) == "tab\tline\nß漢"
