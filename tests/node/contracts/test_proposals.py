"""How a node proposes: whom it asks for their datasets, what its helper in hardware must run, which enclave serves a model."""

from types import SimpleNamespace

import pytest
from support.contracts import TEXT, info, offers

from hansa.node.contracts.proposals import Proposals
from hansa.node.errors import UsageError
from hansa.protocols.wire.attestation.platforms import MEASUREMENT_BYTES, SGX
from hansa.protocols.wire.attestation.statements.binding import Role

ME, BUREAU, TELECOM, VAULT, TWIN, FAR = (letter * 32 for letter in (b"a", b"b", b"c", b"v", b"w", b"f"))
NAMES = {BUREAU: "bureau", TELECOM: "telecom", VAULT: "vault", TWIN: "twin", FAR: "far"}
DATASETS = {identity: offers()[name].datasets for identity, name in NAMES.items() if name in offers()}
CODE = b"m" * MEASUREMENT_BYTES[SGX]
IN_ENCLAVE = 'engine = "enclave"\nenclave = "tee:vault"\n' + TEXT


class Around:
    """What a node's proposals work with: the data of all, and peers in hardware that prove ``CODE``."""

    def __init__(self, *, accepted=True, busy=None, offline=()):
        self.accepted, self.busy, self.offline = accepted, busy or {}, offline
        self.asked, self.proofs = [], []
        self.proposals = Proposals(
            me=ME,
            name="bank",
            catalog=self,
            mesh=self,
            peer_names=lambda: NAMES,
            hardware=self,
            busy=lambda identity: self.busy.get(identity, 0),
            max_rows=1000,
        )

    def all(self):
        own = info(label="default", extra=(("default", "number"),))
        columns = [{"name": name, "kind": kind} for name, kind in own.columns]
        digest = own.schema_digest.hex()
        return [{"name": "clients", "columns": columns, "key": ["id"], "label": "default", "schema_digest": digest}]

    async def of_peer(self, identity):
        self.asked.append(identity)
        return DATASETS.get(identity)

    def online(self, identity):
        return identity not in self.offline

    def enclaves(self):
        return [VAULT, TWIN, FAR, b"s" * 32]

    async def ask(self, identity, role):
        self.proofs.append((identity, role))
        return SimpleNamespace(accepted=self.accepted, why="its code is unknown here", platform=SGX, code=CODE)

    async def from_file(self, text=TEXT):
        return await self.proposals.from_file(text, "job.toml")


async def test_only_the_parties_of_the_job_are_asked_for_their_datasets():
    around = Around()
    contract = await around.from_file()
    assert sorted(around.asked) == [BUREAU, TELECOM]
    assert around.proofs == []
    assert [party.identity for party in contract.parties] == [ME, BUREAU, TELECOM]
    assert contract.limits.max_rows == 1000


async def test_the_helper_proves_the_code_that_the_contract_will_hold_it_to():
    around = Around()
    contract = await around.from_file(IN_ENCLAVE)
    assert around.proofs == [(VAULT, Role.ENCLAVE)]
    assert [(code.platform, code.measurement) for code in contract.codes] == [(SGX, CODE)]
    with pytest.raises(UsageError, match="vault is refused as enclave: its code is unknown here"):
        await Around(accepted=False).from_file(IN_ENCLAVE)


async def test_parties_go_by_the_names_of_the_training(monkeypatch):
    around = Around()
    trained = await around.from_file()
    monkeypatch.setitem(NAMES, BUREAU, "renamed")
    datasets = dict.fromkeys(("bank", "bureau", "telecom"), "clients")
    contract = await around.proposals.on_model(trained, "predict", datasets)
    assert [party.name for party in contract.parties] == ["bank", "bureau", "telecom"]
    assert contract.model == trained.job_id


@pytest.mark.parametrize(
    ("busy", "offline", "served_by"),
    [
        ({VAULT: 2, TWIN: 1, FAR: 1}, {FAR}, TWIN),
        ({VAULT: 0, TWIN: 1, FAR: 1}, (), VAULT),
        ({}, {VAULT, TWIN}, FAR),
        ({VAULT: 5}, {VAULT, TWIN, FAR}, VAULT),
    ],
)
async def test_of_the_enclaves_that_can_be_reached_the_least_busy_serves(busy, offline, served_by):
    trained = await Around().from_file(IN_ENCLAVE)
    around = Around(busy=busy, offline=offline)
    contract = await around.proposals.on_model(trained, "release", {})
    assert contract.enclave.identity == served_by
    assert contract.enclave.name == NAMES[served_by]
    assert contract.enclave.votes == trained.enclave.votes
    assert around.proofs == [(served_by, Role.ENCLAVE)]
