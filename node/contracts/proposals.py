"""How a job file, or a wish to use a model, becomes a contract at this node: look up what the parties show, then build.

Also the dry run: what such a contract would tell whom, and what it would cost on the links as measured.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import trio

from hansa.algorithms.cost.estimate import Estimate, estimate
from hansa.config.jobfile import JobFile, parse
from hansa.node.contracts.build import KnownParty, check_helper, contract_from, contract_on_model, trust_of, why_engine
from hansa.node.data.catalog import Catalog, info_of
from hansa.node.errors import UsageError
from hansa.node.jobs.context import JobContext
from hansa.node.net.mesh import Mesh
from hansa.protocols.wire.attestation.statements.binding import Role
from hansa.protocols.wire.consent.contract import Code, Contract, Enclave

FEW_ROWS = 500
SHOWN_COLUMNS = 5
ASSUMED_LATENCY_S = 0.02
ASSUMED_BYTES_PER_S = 100e6
MODEL_JOB_EXPIRES_S = 3600

Json = dict[str, Any]


class Proposals:
    """Builds contracts at one node, whose own name is ``name``; ``busy`` says how many jobs rely on a peer's hardware now."""

    def __init__(
        self, context: JobContext, catalog: Catalog, mesh: Mesh, name: str, busy: Callable[[bytes], int]
    ) -> None:
        self._context, self._catalog, self._mesh, self._name, self._busy = context, catalog, mesh, name, busy

    async def from_file(self, text: str, file_name: str) -> Contract:
        """The contract of a job file. Raises ConfigError (the file) or UsageError (what it names)."""
        return await self._contract(parse(text, file_name))

    async def plan(self, text: str, file_name: str) -> Json:
        """What a job file's contract means, before anybody is asked. Raises as ``from_file``."""
        job = parse(text, file_name)
        contract = await self._contract(job)
        return self._plan(contract) | {"engine": {"name": contract.engine, "why": why_engine(job)}}

    async def _contract(self, job: JobFile) -> Contract:
        offers = await self._offers({entry.name for entry in job.parties})
        context = self._context
        check_helper(job, offers)
        codes: tuple[Code, ...] = ()
        if job.attested:
            name, role = (job.enclave, Role.ENCLAVE) if job.dealer is None else (job.dealer, Role.DEALER)
            codes = await self._codes(name or "", offers[name or ""].identity, role)
        return contract_from(job, offers, now=context.now(), max_rows=context.max_rows, codes=codes)

    async def _codes(self, name: str, identity: bytes, role: Role) -> tuple[Code, ...]:
        """What a job's member in hardware runs now, if this node accepts it: the contract will hold it to that."""
        hardware = self._context.hardware
        if identity == self._context.me:
            own = await hardware.own_code()
            if own is None:
                raise UsageError("this node runs in no trusted hardware", remedy="see [tee] in hansa.toml", party=name)
            return (own,)
        judged = await hardware.ask(identity, role)
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
            helper = enclave = self._enclave(trained.enclave, kind)
        if helper is not None and codes:
            role = Role.DEALER if trained.dealer is not None else Role.SCORER if kind == "predict" else Role.ENCLAVE
            codes = await self._codes(helper.name, helper.identity, role)
        return contract_on_model(
            trained,
            kind,
            datasets,
            offers,
            now=self._context.now(),
            expires_in_s=MODEL_JOB_EXPIRES_S,
            codes=codes,
            enclave=enclave,
        )

    def _enclave(self, trained: Enclave, kind: str) -> Enclave:
        """Who serves a model: of the enclaves that can be reached the one with the fewest jobs here, at random among equals.

        Whether it has the model's key only it knows; it refuses the job if not.
        """
        context = self._context
        names = dict(context.peer_names())
        others = [identity for identity in context.hardware.enclaves() if identity in names]
        reached = [identity for identity in {trained.identity, *others} if context.mesh.online(identity)]
        if trained.identity == context.me or not reached:
            return trained
        busy = {identity: self._busy(identity) for identity in reached}
        least = [identity for identity in reached if busy[identity] == min(busy.values())]
        chosen = secrets.choice(least)
        return Enclave(chosen, names.get(chosen, trained.name), trained.votes)

    def _plan(self, contract: Contract) -> Json:
        rows, known = self._rows(contract)
        latency = self._latency(contract)
        estimate = self._estimate(contract, rows, ASSUMED_LATENCY_S if latency is None else latency)
        notes = [
            f"for {rows} common rows, {'as many as this node has' if known else 'a guess: this node has no table in it'}",
            f"a round trip of {1000 * latency:.1f} ms, as measured"
            if latency is not None
            else f"a round trip of {1000 * ASSUMED_LATENCY_S:.0f} ms, assumed: nobody could be measured",
            f"{ASSUMED_BYTES_PER_S / 1e6:.0f} MB/s assumed",
            *_correlations(contract, estimate.preprocessing_bytes),
        ]
        return {
            "contract": contract.describe(),
            "leakage": [opening.text for opening in contract.openings],
            "trust": list(trust_of(contract)),
            "cost": {
                "rounds": estimate.rounds,
                "bytes_per_party": estimate.bytes_per_party,
                "preprocessing_bytes": estimate.preprocessing_bytes,
                "memory_mb": estimate.memory_mb,
                "seconds": round(estimate.seconds, 1),
                "notes": notes,
            },
            "warnings": self._warnings(contract, rows if known else None),
        }

    def _estimate(self, contract: Contract, rows: int, latency: float) -> Estimate:
        owner_first = sorted(contract.parties, key=lambda party: party.label is None)
        columns = [len(party.columns) for party in owner_first]
        return estimate(
            algorithm=contract.algorithm,
            engine=contract.engine,
            dealer=contract.dealer is not None,
            rows=rows,
            columns=columns,
            params=contract.params,
            test_fraction=contract.test_fraction,
            latency_s=latency,
            bytes_per_s=ASSUMED_BYTES_PER_S,
            training_metric=contract.outputs.training_metric != "none",
        )

    async def _offers(self, wanted: Iterable[str], trained: Contract | None = None) -> dict[str, KnownParty]:
        """By name: this node and its peers, with the datasets of the wanted ones (all parties of ``trained``).

        For a trained model the names are those of its contract, whatever this node calls the peers.
        """
        me = self._context.me
        own = tuple(info_of(dataset) for dataset in self._catalog.all())
        names = dict(self._context.peer_names())
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

    def _rows(self, contract: Contract) -> tuple[int, bool]:
        mine = contract.party(self._context.me)
        if mine is not None:
            for dataset in self._catalog.all():
                if dataset["name"] == mine.dataset:
                    return int(dataset["rows"]), True
        return 10_000, False

    def _latency(self, contract: Contract) -> float | None:
        links = [self._mesh.link(party.identity) for party in contract.members]
        measured = [link.conn.latency_s for link in links if link is not None and link.conn.latency_s is not None]
        return max(measured, default=None)

    def _warnings(self, contract: Contract, rows: int | None) -> list[str]:
        warnings = []
        if contract.rank_of(self._context.me) is None:
            warnings.append("this node is not a party of the job and cannot submit it")
        if rows is not None and rows < FEW_ROWS:
            warnings.append(f"{rows} rows are few: weights and scores of a small table tell more about single rows")
        if contract.outputs.weights == "all":
            warnings.append("the weights of every party's columns are opened to all")
        if contract.outputs.importance == "all":
            warnings.append("the importance of every party's columns is opened to all")
        if contract.outputs.training_metric == "all":
            warnings.append("the metric on the training rows is told to all parties after every tree")
        if contract.outputs.scores == "all":
            warnings.append("scores of single rows are opened to all parties, not only to the label's owner")
        for party in contract.parties:
            if not party.columns:
                warnings.append(f"{party.name} brings no feature column")
        return warnings + self._left_out(contract)

    def _left_out(self, contract: Contract) -> list[str]:
        """This node's columns of text, which trees could take, and which the job does not name."""
        mine = contract.party(self._context.me)
        if mine is None or contract.algorithm != "gbdt":
            return []
        described = next((info_of(d) for d in self._catalog.all() if d["name"] == mine.dataset), None)
        if described is None:
            return []
        used = {*described.key, *mine.columns, mine.label, described.label}
        text = [name for name, kind in described.columns if kind == "text" and name not in used]
        more = f" and {len(text) - SHOWN_COLUMNS} more" if len(text) > SHOWN_COLUMNS else ""
        named = f"{', '.join(text[:SHOWN_COLUMNS])}{more}"
        return [f"{mine.name}'s columns of text are left out: {named}; `categorical` takes them in"] if text else []


def _correlations(contract: Contract, made: int) -> list[str]:
    """What the correlations cost, where the engine needs some."""
    if contract.dealer is not None:
        return [f"{made / 1e6:.1f} MB more sent by {contract.dealer.name}, who deals"]
    return [f"{made / 1e6:.1f} MB more sent by each party for correlated random numbers"] if made else []
