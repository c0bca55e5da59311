"""Votes for changes of code known here: this node's own and those of its peers, kept and passed on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from pathlib import Path

from hansa.node.allowance import Allowance
from hansa.node.mesh import Mesh
from hansa.node.sealing import write_whole
from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire import limits
from hansa.protocols.wire.attestation.votes import Vote
from hansa.protocols.wire.contract import Code
from hansa.protocols.wire.messages import Votes

HEARD_AT_ONCE, HEARD_PER_S = 32.0, 1.0
"""Messages of votes by one peer."""


class Ballots:
    """``seed`` is this node's Ed25519 seed, ``me`` its identity; ``peers`` gives the identities whose votes are kept."""

    def __init__(self, path: Path, mesh: Mesh, *, seed: bytes, me: bytes, peers: Callable[[], list[bytes]]) -> None:
        self._path, self._mesh, self._seed, self._me, self._peers = path, mesh, seed, me, peers
        self._allowances: dict[bytes, Allowance] = {}
        self._votes = dict[tuple[bytes, Code, Code], Vote]()
        self.on_new: list[Callable[[Vote], None]] = []
        for vote in _read(path) if path.exists() else []:
            self._keep(vote)
        mesh.on_up(self._greet)
        mesh.handle(Votes, self._heard)

    def all(self) -> list[Vote]:
        """Those that have not ended."""
        now = time.time()
        return [vote for vote in self._votes.values() if now < vote.until]

    def endorsed(self, voters: Collection[bytes], needed: int) -> list[Code]:
        """The codes that so many of these members voted for, whatever for; none where none are needed."""
        by_code: dict[Code, set[bytes]] = {}
        for vote in self.all():
            if vote.voter in voters:
                by_code.setdefault(vote.code_to, set()).add(vote.voter)
        return [code for code, found in by_code.items() if 0 < needed <= len(found)]

    async def cast(self, code_from: Code, code_to: Code, until: int) -> Vote:
        """Vote, and tell everybody. Raises ``SecurityError`` for a change between real and simulated hardware."""
        vote = Vote.make(self._seed, self._me, code_from, code_to, until)
        self._keep(vote)
        self._save()
        await self._mesh.broadcast(self._peers(), Votes((vote.encode(),)))
        for tell in self.on_new:
            tell(vote)
        return vote

    async def _greet(self, identity: bytes) -> None:
        votes = self.all()
        if votes and self._mesh.online(identity):
            await self._mesh.send(identity, Votes(tuple(vote.encode() for vote in votes[: limits.VOTES_MAX])))

    async def _heard(self, sender: bytes, message: Votes) -> None:
        """Only members' votes are kept: each may say one thing of each change, its latest."""
        allowance = self._allowances.setdefault(sender, Allowance(HEARD_AT_ONCE, HEARD_PER_S))
        if not allowance.take_if_there():
            return  # said again when the connection is next made
        members = {self._me, *self._peers()}
        new = []
        for vote in map(Vote.decode_untrusted, message.votes):
            known = self._votes.get((vote.voter, vote.code_from, vote.code_to))
            if vote.voter in members and time.time() < vote.until and (known is None or vote.until > known.until):
                vote.verify()
                new.append(vote)
        mine = sum(vote.voter == sender for vote in self._votes.values())
        if new and (mine + len(new) > limits.VOTES_MAX or len(self._votes) + len(new) > 16 * limits.VOTES_MAX):
            raise PeerMisbehaved("a peer sends more votes than are kept", remedy="ask its operator what it is about")
        for vote in new:
            self._keep(vote)
        if new:
            self._save()
            await self._mesh.broadcast(self._peers(), Votes(tuple(vote.encode() for vote in new)))
        for vote in new:
            for tell in self.on_new:
                tell(vote)

    def _keep(self, vote: Vote) -> None:
        self._votes[vote.voter, vote.code_from, vote.code_to] = vote

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(self._path, json.dumps([vote.encode().hex() for vote in self.all()]).encode())


def _read(path: Path) -> list[Vote]:
    try:
        return [Vote.decode_untrusted(bytes.fromhex(text)) for text in json.loads(path.read_text())]
    except (ValueError, TypeError, PeerMisbehaved) as error:
        raise SecurityError(
            f"{path} cannot be read: the votes in it are lost",
            remedy="remove it, and vote again (`hansa tee vote`); peers tell theirs when they connect",
            file=str(path),
        ) from error
