"""What this node's policy says of a contract: the first rule that matches, else the default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from hansa.config.policy import Policy, Rule
from hansa.protocols.wire.contract import Contract


@dataclass(frozen=True, slots=True)
class Decision:
    """``action`` is "approve", "ask" or "refuse"; ``reason`` is for the other parties and the log."""

    action: str
    reason: str


def decide(policy: Policy, contract: Contract, me: bytes, names: Mapping[bytes, str]) -> Decision:
    """Judge a contract; ``names`` are what *this* node calls its peers (a contract's own names prove nothing)."""
    for number, rule in enumerate(policy.rules, 1):
        if _matches(rule, contract, me, names):
            return Decision(rule.action, f"rule {number} of policy.toml says {rule.action}")
    return Decision(policy.default, f"no rule of policy.toml matches, and its default says {policy.default}")


def _matches(rule: Rule, contract: Contract, me: bytes, names: Mapping[bytes, str]) -> bool:
    others = [names.get(party.identity) for party in contract.parties if party.identity != me]
    mine = next(party for party in contract.parties if party.identity == me)
    return (
        all(name is not None and _any(name, rule.peers) for name in others)
        and (contract.kind == "release" or _any(mine.dataset, rule.datasets))
        and _any(contract.kind, rule.kinds)
        and _any(contract.algorithm, rule.algorithms)
        and _any(contract.purpose, rule.purposes)
        and _any(contract.outputs.scores, rule.scores)
        and _any(_weights(contract), rule.weights)
        and (rule.max_rows is None or contract.limits.max_rows <= rule.max_rows)
    )


def _weights(contract: Contract) -> str:
    """Who receives weights: a release gives the model to all, whatever its training said."""
    return "all" if contract.kind == "release" else contract.outputs.weights


def _any(value: str, patterns: Iterable[str]) -> bool:
    patterns = tuple(patterns)
    return not patterns or any(fnmatchcase(value, pattern) for pattern in patterns)
