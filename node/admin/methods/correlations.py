"""The admin methods correlations.*: propose to make some, list what there is, drop it."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from hansa.node.admin.server import Handler, text_param
from hansa.node.admin.views import Json
from hansa.node.correlations import store
from hansa.node.correlations.propose import preprocessing_contract
from hansa.node.errors import UsageError
from hansa.node.jobs.record import JobRecord
from hansa.node.jobs.registry import JobRegistry
from hansa.node.net.peers import PeerBook
from hansa.protocols.mpc.additive.stored.kinds import weight


class CorrelationMethods:
    """Answers about the correlations that this node has in store."""

    def __init__(self, jobs: JobRegistry, book: PeerBook) -> None:
        self._jobs, self._context, self._book = jobs, jobs.context, book

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
        contract = preprocessing_contract(names, amounts, now=self._context.now())
        job = await self._jobs.submit(contract)
        return {"job": job.record.short, "bytes": weight(contract.params)}

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
        drawn = record.drawn
        if not drawn:
            raise UsageError(
                f"the job {record.short} used no such correlations here: it is not done, or its engine needs none",
                remedy="name amounts: `hansa correlations make --help`",
                job=record.short,
            )
        return drawn
