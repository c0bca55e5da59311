"""A job in lines: its contract, its parties' consent, its result, its error."""

from __future__ import annotations

import argparse
import time
from typing import Any

from hansa.node.cli.output import again, hint, style
from hansa.node.cli.table import facts, shorten, table
from hansa.node.cli.units import clock, count, duration, number, size

_COLOURS = {"done": "green", "running": "cyan", "committed": "cyan"}
_TROUBLE = {"failed", "refused", "expired", "cancelled"}
STORED_KINDS = {"triples": "triples", "bit_triples": "bit triples", "bit_pairs": "bit pairs", "dabits": "daBits"}
"""Correlations that can be made ahead, and what they are called."""
METRICS = {
    "auc": "AUC",
    "ks": "KS",
    "accuracy": "accuracy",
    "log_loss": "log-loss",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "deviance": "deviance",
}
_WRAP = 96
_CATEGORIES = 40


def coloured_state(state: str) -> str:
    """The state in its colour."""
    return style(state, _COLOURS.get(state, "red" if state in _TROUBLE else "yellow"))


def contract_lines(contract: dict[str, Any]) -> list[str]:
    """What a job is: purpose, steps, parameters, parties with their datasets."""
    making = contract.get("kind") == "correlations"  # without data, and nothing is opened
    shown = {} if making else contract
    outputs = shown.get("outputs") or {}
    expires = contract.get("expires")
    return [
        *facts(
            [
                ("purpose", contract.get("purpose")),
                ("makes", ", ".join(_amounts(contract["params"])) if making else None),
                ("trains", None if making else _trains(contract)),
                ("engine", contract.get("engine")),
                ("dealer", contract.get("dealer")),
                ("enclave", _enclave(contract)),
                (
                    "must prove",
                    ", ".join(f"{c['platform']}:{c['measurement']}" for c in contract.get("codes") or []) or None,
                ),
                ("held out", _share(shown.get("test_fraction"))),
                ("model", (shown.get("model") or "")[:16] or None),
                ("outputs", ", ".join(f"{key} to {value}" for key, value in _told(outputs)) or None),
                ("keys compared", shown.get("normalise")),
                ("at most", shown.get("max_rows") and f"{count(contract['max_rows'])} rows"),
                ("expires", expires and f"{clock(expires)} ({_left(expires)})"),
            ]
        ),
        "",
        *party_lines(contract.get("parties") or []),
    ]


def _enclave(contract: dict[str, Any]) -> str | None:
    if not contract.get("enclave"):
        return None
    return f"{contract['enclave']} (its key goes to other code if {contract['enclave_votes']} parties vote for it)"


def party_lines(parties: list[dict[str, Any]]) -> list[str]:
    """The parties with what they bring and, where known, whether they agreed."""
    optional = [key for key in ("weight", "consent", "categorical") if any(party.get(key) for party in parties)]
    headers = ("party", "dataset", "columns", "label", *optional)
    rows = [
        (
            party["name"],
            {"dealer": "deals", "enclave": "computes"}.get(party.get("role", ""), party["dataset"] or None),
            len(party["columns"]),
            party["label"],
            *(_categories(party) if key == "categorical" else party.get(key) for key in optional),
        )
        for party in parties
    ]
    return table(headers, rows, right=["columns"])


def leakage_lines(leakage: list[str]) -> list[str]:
    """Who will learn what."""
    return [
        style("what each party will learn, and nothing else", "bold"),
        *(line for text in leakage for line in _bullet(text)),
    ]


def trust_lines(trust: list[str]) -> list[str]:
    """Who could read more, and together with whom."""
    return [
        style("who would have to work together to learn more", "bold"),
        *(line for text in trust for line in _bullet(text)),
    ]


def cost_lines(cost: dict[str, Any]) -> list[str]:
    """What it will take, in words."""
    lines = _bullet(
        f"about {duration(cost['seconds'])}: {count(cost['rounds'])} round trips, {size(cost['bytes_per_party'])} sent by "
        f"each party, {count(cost['memory_mb'])} MB of memory at each"
    )
    return [style("what it will cost", "bold"), *lines, *(line for note in cost["notes"] for line in _bullet(note))]


def show_lines(args: argparse.Namespace, job: dict[str, Any]) -> list[str]:
    """Everything about a job."""
    contract = {**job, **(job.get("contract") or {}), "parties": job.get("parties") or []}
    head = f"{style(job['job'], 'bold')}  {job['name']}  {job['kind']}  {coloured_state(job['state'])}"
    lines = [head, f"proposed by {job.get('proposer')}, {clock(job.get('created'))}"]
    if job.get("waiting_for"):
        lines.append(style(f"waits for {', '.join(job['waiting_for'])}", "yellow"))
    if job.get("decision"):
        lines.append(f"this node: {job['decision']}")
    lines += ["", *contract_lines(contract)]
    if job.get("leakage"):
        lines += ["", *leakage_lines(job["leakage"])]
    if job.get("trust"):
        lines += ["", *trust_lines(job["trust"])]
    lines += end_lines(job)
    return [*lines, "", next_line(args, job)]


def end_lines(job: dict[str, Any]) -> list[str]:
    """The result or the error, as far as there is one; begins with an empty line."""
    lines: list[str] = []
    if job.get("error"):
        error = job["error"]
        lines += ["", style(f"error: {error.get('message')}", "red"), f"  next: {error.get('remedy')}"]
    if job.get("result") and job["state"] == "done":
        lines += ["", *result_lines(job)]
    return lines


def result_lines(job: dict[str, Any]) -> list[str]:
    """What came out at this node: rows, metrics, costs, what it learnt."""
    result = job["result"]
    tested = f", {count(result['test_rows'])} of them held out" if result.get("test_rows") else ""
    pairs: list[tuple[str, object]] = []
    if result.get("rows"):
        pairs.append(("rows in common", f"{count(result['rows'])}{tested}"))
    pairs.append(
        (
            "took",
            f"{duration(result.get('seconds'))}, {count(result.get('rounds'))} round trips, "
            f"{size(result.get('bytes_sent'))} sent by this node{_before(result)}",
        )
    )
    if result.get("drawn"):
        pairs.append(("made ahead", _made_ahead(result["drawn"], result.get("stored") or {})))
    if result.get("transfers"):
        pairs.append(("transfers", ", ".join(result["transfers"])))
    if result.get("made"):
        pairs.append(("made", ", ".join(_amounts(result["made"]))))
    if result.get("scores"):
        pairs.append(("scores", result["scores"]))
    if result.get("released"):
        pairs.append(("released", result["released"].get("file")))
    lines = facts(pairs)
    metrics = result.get("metrics") or job.get("metrics")
    if metrics:
        lines += ["", *metric_lines(metrics)]
    if result.get("weights"):
        lines += ["", *weight_lines(result["weights"])]
    if result.get("importance"):
        lines += ["", *importance_lines(result["importance"])]
    return lines


def metric_lines(metrics: dict[str, Any]) -> list[str]:
    """The metrics on the held-out rows."""
    rows = [(METRICS.get(name, name), _metric(value)) for name, value in metrics.items()]
    return table(("on held-out rows", "value"), rows, right=["value"])


def importance_lines(importance: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """Columns by what their splits gain in all trees, the most first; those without a split are only counted."""
    found = [(party, name, facts) for party, columns in importance.items() for name, facts in columns.items()]
    used = sorted((each for each in found if each[2]["splits"]), key=lambda each: -each[2]["gain"])
    rows = [
        (party, name, f"{facts['splits']:.0f}", f"{facts['gain']:.4g}", f"{facts['cover']:.4g}")
        for party, name, facts in used
    ]
    lines = table(("party", "column", "splits", "gain", "cover"), rows, right=["splits", "gain", "cover"])
    unused = len(found) - len(used)
    return [*lines, f"{unused} more columns have no split"] if unused else lines


def weight_lines(weights: dict[str, float]) -> list[str]:
    """Coefficients, the heaviest first."""
    intercept = [(name, value) for name, value in weights.items() if name == "intercept"]
    others = sorted(((n, v) for n, v in weights.items() if n != "intercept"), key=lambda pair: -abs(pair[1]))
    rows = [(name, f"{value:+.4f}") for name, value in [*intercept, *others]]
    return table(("column", "coefficient"), rows, right=["coefficient"])


def next_line(args: argparse.Namespace, job: dict[str, Any]) -> str:
    """What to type next, by the job's state."""
    name, state = job["job"], job["state"]
    if job.get("approval_needed"):
        return hint(args, f"job approve {name}", f"or: {again(args, f'job refuse {name} --reason WHY')}")
    if state == "done":
        return _after(args, job)
    if state in _TROUBLE:
        return hint(args, f"job logs {name}")
    return hint(args, f"job watch {name}")


def _after(args: argparse.Namespace, job: dict[str, Any]) -> str:
    """What to do with a job that is done."""
    name = job["job"]
    if job["kind"] == "correlations":
        return hint(args, "correlations list")
    if not job["model"]:  # a dealer has no part of it
        return hint(args, "audit show")
    if job["kind"] == "train":
        return hint(args, f"model show {name}", f"score new rows: {again(args, f'model predict {name} --data NAME')}")
    return hint(args, "model list")


def _before(result: dict[str, Any]) -> str:
    """What of it went into correlations, where some were needed."""
    before = result.get("preprocessing") or {}
    spent = f"{duration(before['seconds'])} and " if before.get("seconds") else ""
    return (
        f", {spent}{size(before['bytes_sent'])} of it for correlated random numbers" if before.get("bytes_sent") else ""
    )


def _trains(contract: dict[str, Any]) -> str | None:
    shown = contract.get("params") or {}
    if contract.get("algorithm") == "lr" and contract.get("enclave"):  # of its parameters an enclave heeds this one
        return f"lr (l2 {_param(shown.get('l2'))}, to convergence by scikit-learn)"
    params = ", ".join(f"{key} {_param(value)}" for key, value in shown.items())
    return f"{contract.get('algorithm')} ({params})" if params else contract.get("algorithm")


def _categories(party: dict[str, Any]) -> str | None:
    return shorten(", ".join(party.get("categorical") or ()), _CATEGORIES) or None


def _param(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else number(value)


def _told(outputs: dict[str, str]) -> list[tuple[str, str]]:
    """What goes to whom; what only trees have, where they give it."""
    trees = {"importance", "training_metric"}
    return [(key.replace("_", " "), to) for key, to in outputs.items() if to != "none" or key not in trees]


def _amounts(amounts: dict[str, int]) -> list[str]:
    return [f"{count(amount)} {STORED_KINDS.get(kind, kind)}" for kind, amount in amounts.items() if amount]


def _made_ahead(drawn: dict[str, int], stored: dict[str, int]) -> str:
    """What of the correlations that a job used came from the store: `1,024 of 2,048 triples`."""
    return ", ".join(
        f"{count(min(stored.get(kind, 0), used))} of {count(used)} {STORED_KINDS.get(kind, kind)}"
        for kind, used in drawn.items()
    )


def _bullet(text: str) -> list[str]:
    import textwrap  # noqa: PLC0415  # costs a few ms, and most commands have no prose

    return textwrap.wrap(text, _WRAP, initial_indent="  - ", subsequent_indent="    ")


def _share(fraction: float | None) -> str | None:
    return None if fraction is None else f"{100 * fraction:g} % of the rows in common"


def _left(expires: float) -> str:
    left = expires - time.time()
    return f"{duration(left)} left" if left > 0 else "past"


def _metric(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
