"""The proof on a job's own links: what each member makes of it, who is named, and what nobody else reads."""

import dataclasses
from types import SimpleNamespace

import pytest
import trio

from hansa.node import worker_hardware
from hansa.node.errors import EvidenceError
from hansa.node.failure import judge
from hansa.node.job_hardware import AT_FAULT
from hansa.node.tee.devices import insecure_measurement
from hansa.node.tee.policy_file import load_policy
from hansa.protocols.errors import PeerAborted, PeerTimeout, SecurityError
from hansa.protocols.mpc.memory import outcomes_of_parties, parties
from hansa.protocols.wire.contract import Code, Dealer

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


async def test_each_party_gets_a_key_of_the_proven_code():
    (bank, bureau, telecom), reporters = await attested([TEE] * 3)
    assert bank.code == bureau.code == telecom.code == CONTRACT.codes[0].measurement
    assert bank.public_key == bureau.public_key == telecom.public_key
    assert (bank.secret_key, bureau.secret_key, len(telecom.secret_key)) == (b"", b"", 32)
    assert [[each.verdict["verdict"] for each in told.verdicts] for told in reporters] == [["accept"], ["accept"], []]


async def test_other_code_than_the_contracts_is_refused_by_name():
    other = dataclasses.replace(CONTRACT.codes[0], measurement=b"x" * 48)
    contract = SimpleNamespace(**vars(CONTRACT) | {"codes": (other,)})
    outcomes, reporters = await attested([TEE] * 3, contract)
    assert isinstance(outcomes[0], SecurityError)
    assert "telecom is refused as dealer" in str(outcomes[0])
    assert reporters[0].verdicts[0].verdict["verdict"] == "refuse"


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


@pytest.mark.parametrize(
    ("silent", "says", "why"),
    [(1, 2, "bureau asked for no proof in time"), (2, 0, "telecom did not prove its code in time")],
)
async def test_whom_the_others_wait_for_is_named(silent, says, why, mock_clock):
    mock_clock.rate = 1000
    error = (await timed_out(silent))[says]
    assert isinstance(error, PeerTimeout)
    assert (error.message, error.fields["peer"]) == (why, silent)


async def timed_out(silent):
    """By rank the error of whoever gave up waiting, where one member keeps its links and does nothing."""
    outcomes = {}
    async with parties(3) as sessions, trio.open_nursery() as nursery:

        async def member(s):
            start = SimpleNamespace(me=MEMBERS[s.rank].identity, tee=TEE)
            links = dict.fromkeys(s.peers, SimpleNamespace(handshake_hash=b"h" * 64))
            try:
                await worker_hardware.attest(start, CONTRACT, s, links, Told())
            except PeerTimeout as error:
                outcomes[s.rank] = error

        for session in sessions:
            if session.rank != silent:
                nursery.start_soon(member, session)
    return outcomes
