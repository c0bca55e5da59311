"""How a job file, or a wish to use a model, becomes a contract at this node: look up what the parties show, then build."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import trio

from hansa.config.jobfile import JobFile, parse
from hansa.node.contracts.build import contract_from, contract_on_model
from hansa.node.contracts.check import KnownParty, check_helper
from hansa.node.contracts.explain import why_engine
from hansa.node.contracts.hardware import Hardware
from hansa.node.contracts.plan import DryRun, Json
from hansa.node.data.catalog import Catalog, info_of
from hansa.node.errors import UsageError
from hansa.node.net.mesh import Mesh
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements.binding import Role
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.terms import Enclave

MODEL_JOB_EXPIRES_S = 3600


class Proposals:
    """Builds contracts at one node.

    ``me`` is its identity, ``name`` its own name, ``peer_names`` what it calls its peers, ``hardware`` asks peers for proofs of
    their code, ``busy`` counts the jobs under way that rely on a peer's hardware.
    """

    def __init__(
        self,
        *,
        me: bytes,
        name: str,
        catalog: Catalog,
        mesh: Mesh,
        peer_names: Callable[[], Mapping[bytes, str]],
        hardware: Hardware,
        busy: Callable[[bytes], int],
        max_rows: int,
    ) -> None:
        self._me, self._name, self._catalog, self._mesh = me, name, catalog, mesh
        self._peer_names, self._hardware, self._busy, self._max_rows = peer_names, hardware, busy, max_rows
        self._dry_run = DryRun(me, catalog, mesh)

    async def from_file(self, text: str, file_name: str) -> Contract:
        """The contract of a job file. Raises ConfigError (the file) or UsageError (what it names)."""
        return await self._contract(parse(text, file_name))

    async def plan(self, text: str, file_name: str) -> Json:
        """What a job file's contract means, before anybody is asked. Raises as ``from_file``."""
        job = parse(text, file_name)
        contract = await self._contract(job)
        return self._dry_run.plan(contract) | {"engine": {"name": contract.engine, "why": why_engine(job)}}

    async def _contract(self, job: JobFile) -> Contract:
        offers = await self._offers({entry.name for entry in job.parties})
        check_helper(job, offers)
        codes: tuple[Code, ...] = ()
        if job.attested:
            name, role = (job.enclave, Role.ENCLAVE) if job.dealer is None else (job.dealer, Role.DEALER)
            codes = await self._codes(name or "", offers[name or ""].identity, role)
        return contract_from(job, offers, now=int(time.time()), max_rows=self._max_rows, codes=codes)

    async def _codes(self, name: str, identity: bytes, role: Role) -> tuple[Code, ...]:
        """What a job's member in hardware runs now, if this node accepts it: the contract will hold it to that."""
        if identity == self._me:
            own = await self._hardware.own_code()
            if own is None:
                raise UsageError("this node runs in no trusted hardware", remedy="see [tee] in hansa.toml", party=name)
            return (own,)
        judged = await self._hardware.ask(identity, role)
        if not judged.accepted:
            raise UsageError(
                f"{name} is refused as {role}: {judged.why}",
                remedy="see `hansa tee status`, and docs/tee.md for what this node's policy may accept",
                party=name,
            )
        return (Code(judged.platform, judged.code),)

    async def on_model(self, trained: Contract, kind: str, datasets: Mapping[str, str]) -> Contract:
        """The contract to predict with, or release, a model. ``datasets``: by the names of the training contract."""
        offers = await self._offers(set(), trained)
        helper, codes, enclave = trained.helper, trained.codes, None
        if trained.enclave is not None:
            helper = enclave = self._enclave(trained.enclave)
        if helper is not None and codes:
            role = Role.DEALER if trained.dealer is not None else Role.SCORER if kind == "predict" else Role.ENCLAVE
            codes = await self._codes(helper.name, helper.identity, role)
        return contract_on_model(
            trained,
            kind,
            datasets,
            offers,
            now=int(time.time()),
            expires_in_s=MODEL_JOB_EXPIRES_S,
            codes=codes,
            enclave=enclave,
        )

    def _enclave(self, trained: Enclave) -> Enclave:
        """Who serves a model: of the enclaves that can be reached the one with the fewest jobs here, at random among equals.

        Whether it has the model's key only it knows; it refuses the job if not.
        """
        names = self._peer_names()
        others = [identity for identity in self._hardware.enclaves() if identity in names]
        reached = [identity for identity in {trained.identity, *others} if self._mesh.online(identity)]
        if trained.identity == self._me or not reached:
            return trained
        busy = {identity: self._busy(identity) for identity in reached}
        least = [identity for identity in reached if busy[identity] == min(busy.values())]
        chosen = secrets.choice(least)
        return Enclave(chosen, names.get(chosen, trained.name), trained.votes)

    async def _offers(self, wanted: Iterable[str], trained: Contract | None = None) -> dict[str, KnownParty]:
        """By name: this node and its peers, with the datasets of the wanted ones (all parties of ``trained``).

        For a trained model the names are those of its contract, whatever this node calls the peers.
        """
        me = self._me
        own = tuple(info_of(dataset) for dataset in self._catalog.all())
        names = self._peer_names()
        called = {member.name: member.identity for member in trained.members} if trained is not None else {}
        asked = {identity for identity, name in names.items() if name in set(wanted) or identity in called.values()}
        shown: dict[bytes, Any] = {}

        async def ask(identity: bytes) -> None:
            shown[identity] = await self._catalog.of_peer(identity)

        async with trio.open_nursery() as nursery:
            for identity in asked:
                nursery.start_soon(ask, identity)
        offers = {name: KnownParty(name, identity, shown.get(identity)) for identity, name in names.items()}
        offers[self._name] = KnownParty(self._name, me, own)
        for name, identity in called.items():
            if identity == me or identity in names:
                offers[name] = KnownParty(name, identity, own if identity == me else shown.get(identity))
        return offers
