"""A job file of three parties, what they show, and the contract made of both."""

from hansa.config.jobfile import parse
from hansa.node.contracts.build import contract_from
from hansa.node.contracts.check import KnownParty
from hansa.protocols.wire.messages import DatasetInfo

NOW = 1_800_000_000
TEXT = """
name = "credit"
purpose = "predict default"
algorithm = "lr"
expires_in = "30m"
[split]
test = 0.25
[[party]]
name = "bank"
dataset = "clients"
label = "default"
[[party]]
name = "bureau"
dataset = "clients"
columns = ["income", "age"]
[[party]]
name = "telecom"
dataset = "clients"
"""
TREES = TEXT.replace('"lr"', '"gbdt"')


def info(*, name="clients", label=None, digest=b"d" * 32, extra=()):
    columns = (("id", "text"), ("age", "number"), ("income", "number"), ("city", "text"), *extra)
    return DatasetInfo(name, digest, columns, ("id",), label)


def offers(*more):
    """What bank, bureau and telecom show, and further names; stranded cannot be reached."""
    shown = {
        "bank": KnownParty("bank", b"a" * 32, (info(label="default", extra=(("default", "number"),)),)),
        "bureau": KnownParty("bureau", b"b" * 32, (info(), info(name="others"))),
        "telecom": KnownParty("telecom", b"c" * 32, (info(),)),
        "stranded": KnownParty("stranded", b"s" * 32, None),
    }
    return shown | {name: KnownParty(name, name[0].encode() * 32, (info(),)) for name in more}


def build(text=TEXT, known=None):
    """The contract of a job file."""
    return contract_from(parse(text, "job.toml"), known or offers(), now=NOW, max_rows=1000)


def with_weights():
    """What is offered, with a column of weights at bank."""
    known = offers()
    extra = (("default", "number"), ("w", "number"))
    known["bank"] = KnownParty("bank", b"a" * 32, (info(label="default", extra=extra),))
    return known
