"""The job files of the demo: the example's, fitted to the tables and the engine."""

from __future__ import annotations

import re
from pathlib import Path

from hansa.config import jobfile
from hansa.config.vocabulary import ATTESTED, ENCLAVE
from hansa.node.errors import UsageError
from hansa.node.lab.demo.tables import DemoTables
from hansa.node.lab.testnet.local_nodes import SIMULATED

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
DATASET = "customers"
ENGINE_PARTIES = 3
"""For which the examples' engine is."""
TREES = """\
[gbdt]
n_estimators = 20
max_depth = 3
learning_rate = 0.3
max_bin = 16
"""


def trees_text(text: str) -> str:
    """The same job with boosted trees in place of logistic regression."""
    text = re.sub(r"(?m)^algorithm = .*$", 'algorithm = "gbdt"', text)
    text = re.sub(r'(?m)^name = "(.*)"$', r'name = "\1-trees"', text, count=1)
    return re.sub(r"(?ms)^\[lr\]\n.*?\n(?=\n|\[)", TREES, text)


def job_text(tables: DemoTables, *, given: bool, engine: str | None) -> tuple[str, str]:
    """The job file to submit, and its name: the example's, its parties replaced for a folder of the user's own.

    The engine is ``engine``, or the example's where its number of parties is right, else "auto".
    """
    names = {table.party for table in tables.tables}
    file = EXAMPLES / ("credit-default.toml" if given else "breast-cancer.toml")
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(
            f"the example job file {file} is missing: the demo runs from a clone of hansa",
            remedy="clone hansa and run `make demo` there",
            file=str(file),
        ) from error
    if engine is None and len(names) != ENGINE_PARTIES:
        engine = "auto"
    if engine is not None:
        inside = f'\nenclave = "{ATTESTED}{SIMULATED}"' if engine == ENCLAVE else ""
        text = re.sub(r"(?m)^engine = .*$", f'engine = "{engine}"{inside}', text)
    parsed = jobfile.parse(text, file.name)
    if {party.name for party in parsed.parties} == names and _label_of(parsed) == (tables.owner, tables.label):
        return text, file.name
    head = text[: text.index("[[party]]")]
    sections = []
    for table in tables.tables:
        label = f'label = "{tables.label}"\n' if table.party == tables.owner else ""
        sections.append(f'[[party]]\nname = "{table.party}"\ndataset = "{DATASET}"\n{label}')
    return head + "\n".join(sections), file.name


def _label_of(job: jobfile.JobFile) -> tuple[str, str | None]:
    return next((party.name, party.label) for party in job.parties if party.label is not None)
