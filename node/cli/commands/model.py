"""hansa model: trained models, and what to do with them."""

from __future__ import annotations

import argparse
import csv
import json
import os
from pathlib import Path
from typing import Any

from hansa.config.errors import ConfigError
from hansa.node.cli.ask import ask
from hansa.node.cli.job_lines import METRICS, importance_lines, metric_lines, weight_lines
from hansa.node.cli.job_watch import INTERRUPTED, check, follow
from hansa.node.cli.output import again, emit, hint, say, style
from hansa.node.cli.parser import command, group
from hansa.node.cli.table import facts, shorten, table
from hansa.node.cli.units import clock, count
from hansa.node.errors import UsageError

_SHOWN_SCORES = 10
ABOUT = """\
A model stays in sealed shares, one at each party; nobody holds it whole unless all agree to release it. MODEL is the
id of the job that trained it, the start of it, or its name."""


def register(subparsers: Any) -> None:
    """Add the command."""
    sub = group(subparsers, "model", "list, show, use and release trained models", about=ABOUT)
    command(
        sub,
        "list",
        _list,
        "all models this node has a share of",
        examples=["hansa model list"],
        then="hansa model show MODEL",
    )
    show = command(
        sub,
        "show",
        _show,
        "a model: who trained it on what, how good it is, the coefficients opened to this node",
        examples=["hansa model show 4f1c"],
        then="hansa model predict MODEL --data NAME",
    )
    show.add_argument("model", metavar="MODEL")
    predict = command(
        sub,
        "predict",
        _predict,
        "score new rows with all parties of the model",
        about="A new job that every party must agree to. Waits for it, and prints or writes the scores opened to this node.",
        examples=[
            "hansa model predict 4f1c --data clients-june",
            "hansa model predict 4f1c --data clients-june --with bureau=june --out scores.csv",
        ],
        then="hansa job list",
    )
    predict.add_argument("model", metavar="MODEL")
    predict.add_argument(
        "--data", required=True, metavar="NAME", help="the dataset with the new rows, under this name at every party"
    )
    predict.add_argument(
        "--with",
        dest="others",
        metavar="PEER=NAME",
        type=_pair,
        action="append",
        default=[],
        help="another party's dataset, if it is called otherwise there; may be repeated",
    )
    predict.add_argument("--out", metavar="FILE.csv", help="write the scores there")
    release = command(
        sub,
        "release",
        _release,
        "open a model to all its parties, if all agree",
        examples=["hansa model release 4f1c"],
        then="hansa job watch JOB",
    )
    release.add_argument("model", metavar="MODEL")


def _pair(text: str) -> tuple[str, str]:
    peer, found, name = text.partition("=")
    if not (found and peer and name):
        raise argparse.ArgumentTypeError(f"{text!r} must be PEER=NAME")
    return peer, name


def _list(args: argparse.Namespace) -> int:
    models = ask(args, "model.list")
    emit(args, models, lambda: _list_lines(args, models))
    return 0


def _list_lines(args: argparse.Namespace, models: list[dict[str, Any]]) -> list[str]:
    if not models:
        return ["No models yet.", hint(args, "job plan FILE.toml")]
    rows = [
        (
            model["model"],
            shorten(model["name"], 28),
            model["algorithm"],
            _engine(model),
            ", ".join(model["parties"]),
            count(model.get("rows")),
            _auc(model.get("metrics")),
            clock(model.get("created")),
        )
        for model in models
    ]
    lines = table(
        ("model", "name", "kind", "engine", "parties", "rows", METRICS["auc"], "trained"),
        rows,
        right=["rows", METRICS["auc"]],
    )
    return [*lines, "", hint(args, "model show MODEL")]


def _engine(model: dict[str, Any]) -> str:
    """Where it was trained, and if the hardware behind it was only simulated."""
    where = f" ({model['enclave']})" if model["enclave"] else ""
    return f"{model['engine']}{where}" + (style(", INSECURE: simulated", "red") if model["insecure_simulated"] else "")


def _auc(metrics: dict[str, Any] | None) -> str:
    value = (metrics or {}).get("auc")
    return "-" if value is None else f"{value:.4f}"


def _show(args: argparse.Namespace) -> int:
    model = ask(args, "model.show", model=args.model)
    emit(args, model, lambda: _model_lines(args, model))
    return 0


def _model_lines(args: argparse.Namespace, model: dict[str, Any]) -> list[str]:
    label = model.get("label")
    lines = [
        f"{style(model['model'], 'bold')}  {model['name']}",
        *facts(
            [
                ("kind", model["algorithm"]),
                ("engine", _engine(model)),
                ("purpose", model.get("purpose")),
                ("parties", ", ".join(model["parties"])),
                ("rows", count(model.get("rows"))),
                ("trained", clock(model.get("created"))),
                ("scores go to", ", ".join(model["scores_to"]) or "nobody"),
                ("intercept at", model["intercept_holder"]),
                ("label", label and f"{label['column']} of {label['party']}"),
                ("released", (model.get("released") or {}).get("file")),
            ]
        ),
    ]
    if model.get("metrics"):
        lines += ["", *metric_lines(model["metrics"])]
    weights = _coefficients(model)
    if weights:
        lines += ["", f"Opened to this node ({model.get('coefficients_are', 'coefficients')}):", *weight_lines(weights)]
    if model.get("importance"):
        lines += ["", *importance_lines(model["importance"])]
    then = f"open it to all: {again(args, 'model release ' + model['model'])}"
    return [*lines, "", hint(args, f"model predict {model['model']} --data NAME", then)]


def _coefficients(model: dict[str, Any]) -> dict[str, float]:
    named = {column["name"]: column.get("coefficient") for column in model.get("columns") or []}
    return {k: v for k, v in {"intercept": model.get("intercept"), **named}.items() if v is not None}


def _predict(args: argparse.Namespace) -> int:
    if args.out:
        _check_writable(args.out)
    params = {"model": args.model, "data": args.data, "with": dict(args.others)}
    job = ask(args, "model.predict", **params)["job"]
    if not args.json:
        say(f"Proposed the job {style(job, 'bold')} to the model's parties.")
    ended = follow(args, job)
    if ended is None:
        return INTERRUPTED
    check(ended)
    _give_scores(args, job, ended.get("scores"))
    return 0


def _give_scores(args: argparse.Namespace, job: str, path: str | None) -> None:
    if not path:
        emit(args, {"job": job, "rows": 0, "path": None}, lambda: ["The scores were opened to other parties only."])
        return
    header, *rows = _read(path)
    if args.out:
        _copy(path, args.out)
    where = os.path.abspath(args.out) if args.out else path
    if args.json:
        print(json.dumps({"job": job, "rows": len(rows), "path": where}))
    elif args.out:
        say("", f"Wrote {count(len(rows))} scores to {where}.")
    else:
        left = len(rows) - _SHOWN_SCORES
        more = f"… {count(left)} more in {path}" if left > 0 else f"They are in {path}."
        say("", *table(header, rows[:_SHOWN_SCORES], right=header[-1:]), more)


def _read(path: str) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def _check_writable(path: str) -> None:
    folder = Path(path).absolute().parent
    if not os.access(folder, os.W_OK):
        raise UsageError(
            f"{path} cannot be written: {folder} is not a folder to write to", remedy="choose another --out"
        )


def _copy(source: str, target: str) -> None:
    import shutil  # noqa: PLC0415  # only here

    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise ConfigError(
            f"{target} cannot be written: {error.strerror}", remedy=f"the scores are in {source}: copy them from there"
        ) from error


def _release(args: argparse.Namespace) -> int:
    proposed = ask(args, "model.release", model=args.model)
    job = proposed["job"]
    emit(
        args,
        proposed,
        lambda: [
            f"Proposed the job {style(job, 'bold')}: once all agree, all learn the model.",
            hint(args, f"job watch {job}"),
        ],
    )
    return 0
