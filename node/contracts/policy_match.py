"""What this node's policy says of a contract: the first rule that matches decides, else the default.

A node becomes a dealer or an enclave only where a rule says so: a rule is about the role of a party unless its ``roles`` name
others. A node trusts a dealer or an enclave only where a rule names it: a rule that approves matches a contract with one only
if ``dealers`` (``enclaves``) names it or, without that line, ``peers``. A default of "approve" asks about either.

In ``dealers`` of a rule that approves, "tee:NAME" is a dealer that must prove its code and NAME one that need not: who trusts
code does not thereby trust whoever runs the machine. ``enclave_votes`` is the least number of votes that may move an enclave's
keys to other code. A rule that asks or refuses matches whether or not a dealer proves its code, so that neither naming a
dealer nor having it prove its code evades the rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from hansa.config.policy import Policy, Rule
from hansa.config.vocabulary import ATTESTED, PREPROCESSING
from hansa.protocols.mpc.additive.stored.kinds import weight
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.terms import Dealer, Enclave


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
    if policy.default == "approve" and contract.helper is not None:
        role = "dealer" if contract.dealer is not None else "enclave"
        what = f"lets this node be the {role}" if contract.party(me) is None else f"approves of the {role}"
        return Decision("ask", f"no rule of policy.toml {what}")
    return Decision(policy.default, f"no rule of policy.toml matches, and its default says {policy.default}")


def _matches(rule: Rule, contract: Contract, me: bytes, names: Mapping[bytes, str]) -> bool:
    others = [names.get(party.identity) for party in contract.parties if party.identity != me]
    mine = contract.party(me)
    return (
        all(name is not None and _any(name, rule.peers) for name in others)
        and _role(contract, me) in rule.roles
        and (mine is None or _helper_fits(rule, contract.dealer, rule.dealers, names, proven=bool(contract.codes)))
        and (mine is None or _helper_fits(rule, contract.enclave, rule.enclaves, names, proven=True))
        and (mine is None or _votes_suffice(rule, contract))
        and (mine is None or contract.kind in {"release", PREPROCESSING} or _any(mine.dataset, rule.datasets))
        and _any(contract.engine, rule.engines)
        and _any(contract.kind, rule.kinds)
        and _any(contract.algorithm, rule.algorithms)
        and _any(contract.purpose, rule.purposes)
        and _any(contract.outputs.scores, rule.scores)
        and _any(_weights(contract), rule.weights)
        and _any(contract.outputs.importance, rule.importance)
        and _any(contract.outputs.training_metric, rule.training_metric)
        and (rule.max_rows is None or contract.limits.max_rows <= rule.max_rows)
        and (rule.max_mb is None or _kept(contract) <= rule.max_mb * 1_000_000)
    )


def _role(contract: Contract, me: bytes) -> str:
    if contract.party(me) is not None:
        return "party"
    return "dealer" if contract.dealer is not None else "enclave"


def _helper_fits(
    rule: Rule, helper: Dealer | Enclave | None, named: tuple[str, ...], names: Mapping[bytes, str], *, proven: bool
) -> bool:
    if helper is None:
        return not named or rule.action == "approve"
    name = names.get(helper.identity, "")
    called = (name, ATTESTED + name) if proven else (name,)
    if rule.action != "approve":
        return any(_any(each, named) for each in called)
    if not named:
        return name != "" and bool(rule.peers) and _any(name, rule.peers)
    if isinstance(helper, Dealer):
        called = called[-1:]
    return name != "" and any(_any(each, named) for each in called)


def _votes_suffice(rule: Rule, contract: Contract) -> bool:
    if contract.enclave is None or rule.action != "approve":
        return True
    return contract.enclave.votes >= (rule.enclave_votes or len(contract.parties))


def _kept(contract: Contract) -> int:
    """Bytes of correlations that the contract leaves on this node's disk."""
    return weight(contract.params) if contract.kind == PREPROCESSING else 0


def _weights(contract: Contract) -> str:
    """Who receives weights: a release gives the model to all, whatever its training said."""
    return "all" if contract.kind == "release" else contract.outputs.weights


def _any(value: str, patterns: Iterable[str]) -> bool:
    patterns = tuple(patterns)
    return not patterns or any(fnmatchcase(value, pattern) for pattern in patterns)
