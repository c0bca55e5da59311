"""policy.toml: what this institution agrees to without being asked, and what it never agrees to.

The first rule that matches a contract decides; where none does, ``default``. Nobody becomes a dealer, nor works with
one, unasked: an approval must say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hansa.config import toml_reader
from hansa.config.errors import ConfigError
from hansa.config.toml_reader import TomlTable
from hansa.config.vocabulary import ENGINES, IMPORTANCE, KINDS, MOST_PARTIES, ROLES, SCORES, TRAINING_METRIC, WEIGHTS

ACTIONS = ("approve", "ask", "refuse")

DEFAULT_TEXT = """\
# policy.toml: which jobs this node signs by itself. The first rule that matches decides, else the default.
# action and default: "approve", "ask" (wait for `hansa job approve`) or "refuse".
# A rule matches when all its lines do; a line left out matches everything. See docs/policy.md.
default = "ask"

# [[rule]]
# action = "approve"
# peers = ["bank", "bureau"]        # every other party is one of these
# datasets = ["clients"]            # the dataset asked of this node (patterns like "test-*" too)
# kinds = ["train", "predict"]      # train, predict, release, correlations
# algorithms = ["lr", "gbdt"]
# purposes = ["credit risk*"]
# scores = ["label-owner"]          # who may receive scores
# weights = ["owner"]               # who may receive weights
# importance = ["owner", "none"]    # of trees: who may receive the importance of columns
# training_metric = ["none"]        # of trees: who may receive the metric while training
# max_rows = 1000000
# engines = ["additive"]            # additive, replicated, enclave
# dealers = ["tee:exchange"]        # who may deal random numbers, "tee:" if only by proven code; without this line one of `peers`
# enclaves = ["vault"]              # whose trusted hardware may read this node's data; without this line only one of `peers`
# enclave_votes = "all"             # how many parties' votes at least must let a model's key go to other code: "all", or a number
# roles = ["party"]                 # what this node would be: party, dealer, enclave
# max_mb = 500                      # megabytes that correlations made ahead may take here
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: lists of patterns (shell style); an empty list and ``None`` match everything.

    Dealers and enclaves are apart (``contracts.policy_match``): an approving rule must name them, and ``roles``
    is ("party",) unless said.
    ``enclave_votes`` is the least number of votes that an approved contract asks for; None: all parties'.
    """

    action: str
    peers: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    importance: tuple[str, ...] = ()
    training_metric: tuple[str, ...] = ()
    max_rows: int | None = None
    engines: tuple[str, ...] = ()
    dealers: tuple[str, ...] = ()
    enclaves: tuple[str, ...] = ()
    enclave_votes: int | None = None
    roles: tuple[str, ...] = ("party",)
    max_mb: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules in order, and what happens where none matches."""

    default: str = "ask"
    rules: tuple[Rule, ...] = ()


def load_policy(path: Path) -> Policy:
    """Read a policy file; a missing one asks about everything. ``ConfigError`` names file, line and key."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Policy()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", remedy="check the file", file=str(path)) from error
    document = TomlTable(toml_reader.parse(text, str(path)), text=text, file=str(path))
    policy = Policy(document.choice("default", ACTIONS, "ask"), tuple(map(_rule, document.tables("rule"))))
    document.end()
    return policy


def _rule(table: TomlTable) -> Rule:
    action = table.choice("action", ACTIONS)
    rule = Rule(
        action=action,
        peers=table.texts("peers", ()),
        datasets=table.texts("datasets", ()),
        kinds=_among(table, "kinds", KINDS),
        algorithms=table.texts("algorithms", ()),
        purposes=table.texts("purposes", ()),
        scores=_among(table, "scores", SCORES),
        weights=_among(table, "weights", WEIGHTS),
        importance=_among(table, "importance", IMPORTANCE),
        training_metric=_among(table, "training_metric", TRAINING_METRIC),
        max_rows=table.integer("max_rows", 1, 1_000_000_000) if table.has("max_rows") else None,
        engines=_among(table, "engines", ENGINES),
        dealers=table.texts("dealers", ()),
        enclaves=table.texts("enclaves", ()),
        enclave_votes=_votes(table, action),
        roles=_among(table, "roles", ROLES) or ("party",),
        max_mb=table.integer("max_mb", 1, 1_000_000_000) if table.has("max_mb") else None,
    )
    table.end()
    return rule


def _votes(table: TomlTable, action: str) -> int | None:
    if action != "approve" and table.has("enclave_votes"):
        raise table.wrong("enclave_votes", "is for rules that approve: others match however few votes it takes")
    return table.integer_or("all", "enclave_votes", 1, MOST_PARTIES)


def _among(table: TomlTable, key: str, known: tuple[str, ...]) -> tuple[str, ...]:
    values = table.texts(key, ())
    for value in values:
        if value not in known:
            raise table.wrong(key, f"holds {value!r}; known: {', '.join(known)}")
    return values
