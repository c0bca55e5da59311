"""hansa demo: institutions train a model on real data."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from hansa.config.vocabulary import ENCLAVE, ENGINES
from hansa.node.cli.output import emit, say, style
from hansa.node.cli.parser import command
from hansa.node.cli.table import table
from hansa.node.cli.units import count, duration, size

ABOUT = """\
Starts three real daemons on this machine, each with its own keys, policy and table: a clinic (which knows the
diagnosis), a laboratory and an imaging centre, who know different patients and different findings. They meet, agree on
examples/breast-cancer.toml, find their common patients and train a logistic regression and boosted trees under MPC;
then everything is stopped and removed. With --data, the same on your own folder of two to five CSV files, one an
institution. --engine replaces the job file's engine."""


def register(subparsers: Any) -> None:
    """Add the command."""
    parser = command(
        subparsers,
        "demo",
        run,
        "three institutions train a model on real data",
        about=ABOUT,
        examples=["hansa demo", "hansa demo --data ./tables --label default", "hansa demo --json"],
        then="hansa net up -n 3   (the same by hand)",
    )
    parser.add_argument("--data", metavar="FOLDER", help="CSV files; the key is the column they all share")
    parser.add_argument("--label", metavar="COL", help="the label (default: label, target, default or y)")
    parser.add_argument("--engine", choices=("auto", *ENGINES), help="the engine (default: the job file's)")
    parser.add_argument("--keep", action="store_true", help="keep homes and logs, and say where")


def run(args: argparse.Namespace) -> int:
    """Run the demo and show its table."""
    from hansa.node.lab.demo import scenario  # noqa: PLC0415  # brings numpy and scikit-learn along

    live = _Live(quiet=args.json)
    data = Path(args.data).expanduser() if args.data else None
    result = scenario.run(data, args.label, tell=live.tell, watch=live.watch, engine=args.engine, keep=args.keep)
    live.end()
    emit(args, _json(result), lambda: _lines(result))
    return 0


class _Live:
    """Stages as lines, progress as one line that is redrawn on a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._redraws = sys.stdout.isatty() and not quiet
        self._open = False

    def tell(self, line: str) -> None:
        """A stage."""
        if not self._quiet:
            self.end()
            say(style("• ", "cyan") + line)
            sys.stdout.flush()

    def watch(self, event: dict[str, Any]) -> None:
        """A job's event."""
        if self._quiet:
            return
        if (event["kind"] == "step" and event["party"]) or (event["kind"] == "progress" and self._redraws):
            self._draw(event)

    def _draw(self, event: dict[str, Any]) -> None:
        if not self._redraws:
            return
        done, total = int(event.get("done") or 0), int(event.get("total") or 0)
        part = f"{min(100, 100 * done // total):3d} %" if total else "     "
        line = f"  {event['party']:<12} {event['step']:<9} {part}  {size(event.get('bytes_sent'))} sent"
        sys.stdout.write(f"\r\x1b[K{line[:100]}")
        sys.stdout.flush()
        self._open = True

    def end(self) -> None:
        """Leave the line."""
        if self._open:
            sys.stdout.write("\r\x1b[K")
            self._open = False


def _json(result: Any) -> dict[str, Any]:
    contract = result.regression.job["contract"]
    return {
        **_facts(result.regression),
        "trees": _facts(result.trees),
        "total_seconds": round(result.total_seconds, 2),
        "learnt": list(result.learnt),
        "engine": contract["engine"],
        "trust": list(result.regression.job["trust"]),
    }


def _facts(model: Any) -> dict[str, Any]:
    metrics, reference, ended = model.job["metrics"], model.reference, model.job["result"]
    return {
        "auc": metrics["auc"],
        "ks": metrics["ks"],
        "accuracy": metrics["accuracy"],
        "log_loss": metrics["log_loss"],
        "reference": reference.by,
        "auc_alone": reference.alone["auc"],
        "auc_pooled": reference.pooled["auc"],
        "ks_alone": reference.alone["ks"],
        "ks_pooled": reference.pooled["ks"],
        "rows": ended["rows"],
        "test_rows": ended["test_rows"],
        "train_seconds": model.train_seconds or None,
        "job_seconds": {party: cost["seconds"] for party, cost in model.costs.items()},
        "rounds": {party: cost["rounds"] for party, cost in model.costs.items()},
        "bytes_sent": {party: cost["bytes_sent"] for party, cost in model.costs.items()},
        "job": model.job["job"],
    }


def _lines(result: Any) -> list[str]:
    job, owner = result.regression.job, result.tables.owner
    models = (("logistic regression", result.regression), ("boosted trees", result.trees))
    rows, costs = [], []
    for name, model in models:
        who = model.reference.by
        rows += [
            _row(name, f"{owner} alone, {who}", model.reference.alone),
            _row("", "the league", model.job["metrics"], "bold"),
            _row("", f"pooled, {who} *", model.reference.pooled),
        ]
        for number, (party, cost) in enumerate(model.costs.items()):
            spent = duration(cost["seconds"]), count(cost["rounds"]), size(cost["bytes_sent"])
            costs.append(("" if number else name, party, *spent))
    train = job["result"]["rows"] - job["result"]["test_rows"]
    inside = job["contract"]["engine"] == ENCLAVE
    return [
        "",
        f"{count(job['result']['rows'])} rows in common: {count(train)} to train, "
        f"{count(job['result']['test_rows'])} held out. On those held out:",
        "",
        *table(("model", "who trains", "AUC", "KS", "accuracy", "log-loss"), rows, right=_RIGHT),
        "",
        style("* on all tables in one place, which only this demo can do: it owns them all", "dim"),
        *_other_training(inside),
        *_without_xgboost(result.trees.reference.by),
        "",
        *table(("model", "party", "time", "rounds", "sent"), costs, right=["time", "rounds", "sent"]),
        f"{_training(result)}all of the demo {duration(result.total_seconds)}",
        "",
        "What left each house, besides ciphertext and uniformly random shares:",
        *(f"  • {text}" for text in result.learnt),
        f"Whom it took trust in (engine {job['contract']['engine']}):",
        *(f"  • {text}" for text in job["trust"]),
        "",
        style(f"next: hansa net up -n 3{' --insecure-simulated-tee 1' if inside else ''}   (the same by hand)", "dim"),
    ]


_RIGHT = ("AUC", "KS", "accuracy", "log-loss")


def _other_training(inside: bool) -> list[str]:
    if not inside:
        return []
    words = "of logistic regression the enclave's is another training: scikit-learn's, to the optimum (docs/job.md, engines)"
    return [style(f"  {words}", "dim")]


def _without_xgboost(by: str) -> list[str]:
    words = "XGBoost is not installed (pip install 'hansa[demo]'): hansa's own trees on plaintext stand in for it"
    return [] if by.startswith("XGBoost") else [style(f"  {words}", "yellow")]


def _row(model: str, who: str, metrics: dict[str, float], *styles: str) -> tuple[str, ...]:
    names = ("auc", "ks", "accuracy", "log_loss")
    return (model, style(who, *styles), *(style(f"{metrics[name]:.4f}", *styles) for name in names))


def _training(result: Any) -> str:
    """How long the training was; an owner does not see it where it is inside an enclave."""
    if not result.regression.train_seconds:
        return ""
    return (
        f"training itself took {duration(result.regression.train_seconds)} and {duration(result.trees.train_seconds)}; "
    )
