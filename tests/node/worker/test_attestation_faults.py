"""The proof on a job's own links, where the fault is here: nobody else reads of this machine's files."""

from types import SimpleNamespace

import pytest

from hansa.node.contracts.hardware import AT_FAULT
from hansa.node.errors import EvidenceError
from hansa.node.tee.evidence.devices import insecure_measurement
from hansa.node.tee.evidence.policy_file import load_policy
from hansa.node.worker import attestation as worker_hardware
from hansa.node.worker.verdict import judge
from hansa.protocols.errors import PeerAborted
from hansa.protocols.mpc.session.memory import outcomes_of_parties, parties
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.consent.terms import Dealer

WORD = "insecure-simulated"
MEMBERS = (Dealer(b"b" * 32, "bank"), Dealer(b"u" * 32, "bureau"), Dealer(b"t" * 32, "telecom"))
CONTRACT = SimpleNamespace(
    codes=(Code(WORD, insecure_measurement("code")),),
    parties=MEMBERS[:2],
    members=MEMBERS,
    dealer=MEMBERS[2],
    kind="train",
)
TEE = {
    "backend": WORD,
    "collateral": [],
    "code": "code",
    "policy": "/home/alice/tee.toml",
    "accept": WORD,
    "endorsed": [],
}


class Told:
    def __init__(self):
        self.verdicts = []

    def step(self, name, total=0):
        pass

    def attested(self, message):
        self.verdicts.append(message)


async def attested(tee, contract=CONTRACT):
    """All members' outcomes, and what each reported; ``tee`` are the settings of each."""
    reporters = [Told() for _ in MEMBERS]

    async def member(s):
        start = SimpleNamespace(me=MEMBERS[s.rank].identity, tee=tee[s.rank])
        links = {
            rank: SimpleNamespace(handshake_hash=bytes([min(rank, s.rank), max(rank, s.rank)]) * 32) for rank in s.peers
        }
        return await worker_hardware.attest(start, contract, s, links, reporters[s.rank])

    async with parties(3) as sessions:
        return await outcomes_of_parties(sessions, member), reporters


@pytest.mark.parametrize(
    ("at", "change"),
    [
        (2, {"collateral": ["/home/alice/vcek.der"]}),
        (2, {"backend": "gramine"}),
        (0, {"accept": "hardware"}),
    ],
    ids=["collateral", "device", "policy"],
)
async def test_what_is_wrong_with_own_files_is_told_to_nobody_else(at, change, tmp_path, monkeypatch, caplog):
    """Neither by the error that the session passes on, nor by the verdict that the daemon does."""
    tee = [TEE] * 3
    tee[at] = TEE | change | {"policy": str(tmp_path / "alice.toml")}
    (tmp_path / "alice.toml").write_text("base = 5\n")
    if at == 0:  # the member shows real evidence, or what looks like it, and the party's own policy cannot be read
        real = worker_hardware.Judge.judge

        def judged(self, *args):
            return load_policy(str(self.policy)) if self.policy.exists() else real(self, *args)

        monkeypatch.setattr(worker_hardware.Judge, "judge", judged)
    outcomes, _ = await attested(tee)
    error = outcomes[at]
    assert isinstance(error, EvidenceError)
    assert error.message == AT_FAULT
    names = {member.identity: member.name for member in MEMBERS}
    told = judge(error, me=MEMBERS[at].identity, parties=names, step="attest", job="j").error
    others = [str(each) for rank, each in enumerate(outcomes) if rank != at and isinstance(each, PeerAborted)]
    assert others or at == 0  # where a party fails, the others may have all that they need already
    for text in (str(told), *others):
        assert "alice" not in text
        assert "attestation" not in text
    assert "alice" in caplog.text or "/dev/attestation" in caplog.text
