"""How a watched job is shown: live, line by line, and with an estimate of what is left."""

from __future__ import annotations

import io
import re

from hansa.node.cli import job_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_live_view_redraws_in_place(monkeypatch, samples):
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    view = job_progress.Live()
    view.event(samples.event("step", done=0, elapsed_s=0.0))
    view.event(samples.event("step", party="lab", done=2, elapsed_s=1.0))
    view.event(samples.event("opening", what="metrics", text="1 number opened to bank"))
    view.event(samples.event(done=5, elapsed_s=4.0))
    view.end()
    text = screen.getvalue()
    assert "\x1b[2A\x1b[J" in text
    assert "bank: metrics: 1 number opened to bank\n" in text
    assert all(len(line) <= 60 for line in re.sub("\x1b\\[[0-9;]*[a-zA-Z]", "", text).splitlines()[-3:])
    assert "██████████░░░░░░░░░░  50 %" in text


def test_eta(samples):
    assert job_progress.eta(samples.event(done=5, elapsed_s=6.0), 2.0) == "4.0 s"
    assert job_progress.eta(samples.event(done=0), 0.0) == "-"
    assert job_progress.eta(samples.event(total=0), 0.0) == "-"
    assert job_progress.eta(samples.event(done=10), 0.0) == "-"


def test_lines_say_each_tenth_once(capsys, samples):
    view = job_progress.Lines()
    for done in range(100):
        view.event(samples.event(done=done, total=100))
    assert len(capsys.readouterr().out.splitlines()) == 10


def test_what_is_opened_again_has_no_line_of_its_own(capsys, samples):
    view = job_progress.Lines()
    for what in ("split owners", "metrics", "split owners"):
        view.event(samples.event("opening", what=what, text="1 number opened to bank"))
    view.event(samples.event("opening", party="lab", what="split owners", text="1 number opened to lab"))
    assert [line.split("  ")[1] for line in capsys.readouterr().out.splitlines()] == [
        "bank: split owners: 1 number opened to bank",
        "bank: metrics: 1 number opened to bank",
        "lab: split owners: 1 number opened to lab",
    ]
