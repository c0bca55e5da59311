"""How a job's events are shown: redrawn in place on a terminal, one line a change elsewhere, or as JSON lines."""

from __future__ import annotations

import json
import shutil
import sys
import time
from typing import Any, Protocol

from hansa.node.cli.output import clean, say, style
from hansa.node.cli.table import plain, shorten, table
from hansa.node.cli.units import count, duration, size

_BAR = 20
_NO_BAR = " " * (_BAR + len(" 100 %"))
_LASTING = {"state", "log", "error", "metric", "opening"}
_REDRAW_S = 0.1
_TENTHS = 10


class View(Protocol):
    """Somewhere events are shown."""

    def event(self, event: dict[str, Any]) -> None:
        """Take one event in."""

    def end(self) -> None:
        """No more will come."""


class Silent:
    """Nothing is shown."""

    def event(self, event: dict[str, Any]) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


class Raw:
    """One JSON object a line (--json)."""

    def event(self, event: dict[str, Any]) -> None:
        """Print it."""
        print(json.dumps(event), flush=True)

    def end(self) -> None:
        """Nothing to tidy."""


class _Openings:
    """Which openings have a line already: trees open the same again and again, and the audit log has each."""

    def __init__(self) -> None:
        self._shown: set[tuple[Any, Any]] = set()

    def lasting(self, event: dict[str, Any]) -> str | None:
        """A line that stays; None for an opening of what the same party has opened before."""
        if event["kind"] == "opening":
            opening = event["party"], event.get("what")
            if opening in self._shown:
                return None
            self._shown.add(opening)
        return lasting(event)


class Lines:
    """One line a change: new steps, states and, within a step, each tenth."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[Any, int]] = {}
        self._openings = _Openings()

    def event(self, event: dict[str, Any]) -> None:
        """Print it if something changed."""
        line = self._openings.lasting(event) if event["kind"] in _LASTING else self._progress(event)
        if line:
            say(line)
            sys.stdout.flush()

    def end(self) -> None:
        """Nothing to tidy."""

    def _progress(self, event: dict[str, Any]) -> str | None:
        now = (event.get("step"), int(_TENTHS * _fraction(event)))
        if self._last.get(event["party"]) == now:
            return None
        self._last[event["party"]] = now
        share = f" {100 * _fraction(event):3.0f} %" if event.get("total") else ""
        share += f" ({event['note']})" if event.get("note") else ""
        rest = f"{count(event.get('rounds'))} round trips, {size(event.get('bytes_sent'))} sent"
        return (
            f"{_time(event)}  {event['party']}: {event.get('step')}{share}  {rest}, {duration(event.get('elapsed_s'))}"
        )


class Live:
    """A table of the parties, redrawn in place; what lasts scrolls by above it."""

    def __init__(self) -> None:
        self._parties: dict[str, dict[str, Any]] = {}
        self._began: dict[str, tuple[Any, float]] = {}
        self._drawn = 0
        self._at = 0.0
        self._openings = _Openings()

    def event(self, event: dict[str, Any]) -> None:
        """Take it in and redraw, at most ten times a second."""
        if event["kind"] in _LASTING:
            line = self._openings.lasting(event)
            if line:
                self._erase()
                say(line)
                self._at = 0.0
        else:
            party = event["party"]
            if self._began.get(party, (None, 0.0))[0] != event.get("step"):
                self._began[party] = (event.get("step"), event.get("elapsed_s") or 0.0)
            self._parties[party] = event
        if time.monotonic() - self._at >= _REDRAW_S or event["kind"] == "step":
            self._draw()

    def end(self) -> None:
        """Leave the last state on the screen."""
        self._draw()

    def _draw(self) -> None:
        self._erase()
        if self._parties:
            lines = table(
                ("party", "step", "", "round trips", "sent", "elapsed", "left"),
                [self._row(party, event) for party, event in self._parties.items()],
                right=["round trips", "sent", "elapsed", "left"],
            )
            say(*(_fitted(clean(line, sys.stdout)) for line in lines))
            self._drawn = len(lines)
        sys.stdout.flush()
        self._at = time.monotonic()

    def _erase(self) -> None:
        if self._drawn:
            sys.stdout.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0

    def _row(self, party: str, event: dict[str, Any]) -> tuple[object, ...]:
        return (
            party,
            f"{event.get('step')} ({event['note']})" if event.get("note") else event.get("step"),
            bar(_fraction(event)) if event.get("total") else _NO_BAR,
            count(event.get("rounds")),
            size(event.get("bytes_sent")),
            duration(event.get("elapsed_s")),
            eta(event, self._began[party][1]),
        )


def eta(event: dict[str, Any], step_began_s: float) -> str:
    """Time left in the step, by its speed so far."""
    fraction = _fraction(event)
    spent = (event.get("elapsed_s") or 0.0) - step_began_s
    if not 0 < fraction < 1 or spent <= 0:
        return "-"
    return duration(spent * (1 - fraction) / fraction)


def bar(fraction: float) -> str:
    """A progress bar with its percentage."""
    full = round(_BAR * fraction)
    return f"{style('█' * full, 'cyan')}{'░' * (_BAR - full)} {100 * fraction:3.0f} %"


def lasting(event: dict[str, Any]) -> str:
    """A line that stays."""
    text = event.get("text") or event.get("step") or event["kind"]
    if event["kind"] == "error":
        text = style(f"error: {text}", "red")
    elif event["kind"] == "opening":
        text = f"{event.get('what')}: {text}"
    return f"{_time(event)}  {event['party']}: {text}"


def _fraction(event: dict[str, Any]) -> float:
    total = event.get("total") or 0
    return min(1.0, (event.get("done") or 0) / total) if total else 0.0


def _time(event: dict[str, Any]) -> str:
    return time.strftime("%H:%M:%S", time.localtime(event.get("time")))


def _fitted(line: str) -> str:
    """A line no longer than the terminal is wide: a wrapped one would not be erased."""
    wide = shutil.get_terminal_size().columns
    return line if len(plain(line)) <= wide else shorten(plain(line), wide)
