"""Correlations made ahead, as this node's people see them: propose to make some, list what there is, drop it."""

from __future__ import annotations

import builtins
import os
from collections.abc import Mapping, Sequence

from hansa.config.params import PARAMS, Whole
from hansa.config.vocabulary import FRAC_BITS, PREPROCESSING
from hansa.node.admin.server import Handler, text_param
from hansa.node.admin.views import Json
from hansa.node.correlations import store
from hansa.node.errors import UsageError
from hansa.node.jobs.context import JobContext
from hansa.node.jobs.job import Job
from hansa.node.jobs.record import JobRecord, JobState
from hansa.node.jobs.registry import JobRegistry
from hansa.node.net.peers import PeerBook
from hansa.protocols.mpc.additive.stored.kinds import STORED_KINDS, weight
from hansa.protocols.wire.consent.contract import VERSION, Align, Contract, Limits, Outputs, Party

EXPIRES_S = 3600


def preprocessing_contract(names: Mapping[bytes, str], amounts: Mapping[str, int], *, now: int) -> Contract:
    """The contract to make so many elements of each kind among parties, identities to names in rank order.

    Raises UsageError where an amount is none, or all are zero.
    """
    for kind, amount in amounts.items():
        param = PARAMS[PREPROCESSING].get(kind)
        most = param.most if isinstance(param, Whole) else 0
        if not isinstance(amount, int) or not 0 <= amount <= most:
            raise UsageError(
                f"'{kind}' must be a number from 0 to {most:,.0f}", remedy="hansa correlations make --help"
            )
    if not any(amounts.values()):
        raise UsageError("there is nothing to make", remedy="say how many: `hansa correlations make --help`")
    return Contract(
        version=VERSION,
        kind=PREPROCESSING,
        name=PREPROCESSING,
        purpose="random numbers made ahead, for later jobs of these parties",
        parties=tuple(Party(identity, name, "", bytes(32), (), None) for identity, name in names.items()),
        align=Align("exact"),
        algorithm=PREPROCESSING,
        params={kind: amounts.get(kind, 0) for kind in STORED_KINDS},
        test_fraction=0.0,
        seed=os.urandom(16),
        frac_bits=FRAC_BITS,
        engine="additive",
        outputs=Outputs("none", "owner", "label-owner"),
        model=None,
        openings=(),
        limits=Limits(1),
        created=now,
        expires=now + EXPIRES_S,
        nonce=os.urandom(16),
    )


def drawn_by(record: JobRecord) -> dict[str, int]:
    """What a job used of each kind at this node; empty where it is not done, or used none."""
    drawn = (record.result or {}).get("drawn") if record.state is JobState.DONE else None
    return {kind: int(n) for kind, n in (drawn or {}).items() if kind in STORED_KINDS and n}


class CorrelationMethods:
    """Answers about the correlations of this node, whose own name is ``name``."""

    def __init__(self, jobs: JobRegistry, context: JobContext, book: PeerBook) -> None:
        self._jobs, self._context, self._book = jobs, context, book

    def methods(self) -> dict[str, Handler]:
        """Name to handler."""
        return {"correlations.make": self.make, "correlations.list": self.list, "correlations.drop": self.drop}

    async def make(self, peers: list[str], amounts: dict[str, int], like: str | None = None) -> Json:
        """Propose to make correlations with peers; ``like``: as many as a job used, with its parties if none is named."""
        amounts = dict(amounts)
        names = self._named(peers)
        if like is not None:
            record = self._jobs.find(text_param("like", like)).record
            amounts = self._like(record) | {kind: n for kind, n in amounts.items() if n}
            if not peers:
                known = {identity: self._context.peer_names().get(identity) for identity in record.identities}
                gone = [record.name_of(i) for i, name in known.items() if name is None and i != self._context.me]
                if gone:
                    raise UsageError(f"{gone[0]} is no longer among your peers", remedy="see `hansa peer list`")
                names |= {identity: name for identity, name in known.items() if name is not None}
        if len(names) < 2:
            raise UsageError("no peer is named", remedy="hansa correlations make PEER... --like JOB")
        job = await self.propose(names, amounts)
        return {"job": job.record.short, "bytes": weight(job.record.contract.params)}

    async def propose(self, names: Mapping[bytes, str], amounts: Mapping[str, int]) -> Job:
        """Sign and propose such a contract."""
        return await self._jobs.submit(preprocessing_contract(names, amounts, now=self._context.now()))

    async def list(self) -> builtins.list[Json]:
        """Every set of parties with what it has made and not used."""
        names = {**self._context.peer_names(), self._context.me: self._context.name}
        found = []
        for place in store.store_folders(self._context.home):
            lying = store.contents(place)
            others = [i for i in store.members(place) if i != self._context.me]
            if lying.size:
                peers = sorted(names.get(identity, identity.hex()[:16]) for identity in others)
                found.append({"peers": peers, "amounts": lying.amounts, "bytes": lying.size, "made": lying.made})
        return found

    async def drop(self, peers: builtins.list[str], everything: bool = False) -> Json:
        """Throw away what was made with exactly these peers, or all there is."""
        if not everything and not peers:
            raise UsageError("no peer is named", remedy="hansa correlations drop PEER..., or --all")
        known = store.store_folders(self._context.home)
        wanted = known if everything else [store.store_folder(self._context.home, list(self._named(peers)))]
        dropped = [place for place in known if place in wanted]
        size = sum(store.contents(place).size for place in dropped)
        for place in dropped:
            store.drop(place)
        return {"sets": len(dropped), "bytes": size}

    def _named(self, peers: Sequence[str]) -> dict[bytes, str]:
        """This node and these peers."""
        if not isinstance(peers, Sequence) or isinstance(peers, str):
            raise UsageError("'peers' must be a list", remedy="hansa correlations make PEER...")
        found = [self._book.find(text_param("peer", peer)) for peer in peers]
        return {self._context.me: self._context.name} | {peer.identity: peer.name for peer in found}

    @staticmethod
    def _like(record: JobRecord) -> dict[str, int]:
        drawn = drawn_by(record)
        if not drawn:
            raise UsageError(
                f"the job {record.short} used no such correlations here: it is not done, or its engine needs none",
                remedy="name amounts: `hansa correlations make --help`",
                job=record.short,
            )
        return drawn
