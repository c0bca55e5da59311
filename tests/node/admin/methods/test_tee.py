"""What a node says of hardware when it is asked: warnings, votes, and the record of votes."""

from types import SimpleNamespace

import pytest
from support.tee.members import CODE, OTHER

from hansa.node.admin.methods.tee import TeeMethods
from hansa.node.errors import UsageError
from hansa.node.tee.evidence.judge import Judged
from hansa.protocols.wire.attestation.statements.votes import Vote

BANK, TEE = b"b" * 32, b"t" * 32


class Cast:
    def __init__(self):
        self.votes = []

    def all(self):
        return self.votes

    async def cast(self, code_from, code_to, until):
        self.votes.append(Vote(code_from, code_to, BANK, until, bytes(64)))
        return self.votes[-1]


def methods(*, standing=None, backend="", shut=""):
    attestations = SimpleNamespace(
        standing=standing or {},
        prover=SimpleNamespace(backend=backend) if backend else None,
        model_keys=SimpleNamespace(describe=lambda: {"keys": 0, "epoch": 1, "shut": shut or None} if backend else None),
    )
    book = SimpleNamespace(all=lambda: [SimpleNamespace(identity=TEE, name="enclave")], get=lambda identity: None)
    return TeeMethods(attestations, Cast(), SimpleNamespace(), book, own_name="bank", voters=())


def test_status_warns_of_what_is_refused_shut_or_only_simulated():
    assert methods().warnings() == []
    refused = {TEE: SimpleNamespace(judged=Judged.without_proof("its hardware is gone"))}
    (warning,) = methods(standing=refused).warnings()
    assert warning == {
        "text": "the hardware of enclave is refused: malformed: its hardware is gone",
        "remedy": "hansa tee status",
    }
    assert [each["text"] for each in methods(backend="sev-guest", shut="it was rolled back").warnings()] == [
        "it was rolled back"
    ]
    (simulated,) = methods(backend="insecure-simulated").warnings()
    assert simulated["text"].startswith("INSECURE: this node only pretends")


async def test_a_vote_is_for_a_change_that_there_is():
    asked = methods()
    told = await asked.vote(str(CODE), str(OTHER), 3)
    assert (told["from"], told["to"], told["voter"]) == (str(CODE), str(OTHER), "this node")
    for words, why in (
        ((str(CODE), str(CODE), 3), "FROM and TO are the same code"),
        ((str(CODE), str(OTHER), 367), "days must be from 1 to 366"),
        ((str(CODE), str(OTHER), 0), "days must be from 1 to 366"),
        ((str(CODE), "SGX:00", 3), "'SGX:00' is no code"),
        ((str(CODE), "SGX 00", 3), "'SGX 00' is no code"),
    ):
        with pytest.raises(UsageError, match=why):
            await asked.vote(*words)
