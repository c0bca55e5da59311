"""The admin methods tee.*: what this node proves its code by, its verdicts on its peers' proofs, and votes for code."""

from __future__ import annotations

import time
from collections.abc import Sequence

from hansa.config.errors import HansaError
from hansa.node.admin.server import Handler
from hansa.node.admin.views import Json
from hansa.node.errors import UsageError
from hansa.node.net.mesh import Mesh
from hansa.node.net.peers import PeerBook
from hansa.node.tee.peers.attestations import Attestations, Standing
from hansa.node.tee.peers.votes import VoteBook
from hansa.protocols.wire.attestation.platforms import INSECURE_SIMULATED, MEASUREMENT_BYTES, Code
from hansa.protocols.wire.attestation.statements.votes import Vote
from hansa.protocols.wire.limits import VOTE_MAX_AHEAD_S

MOST_DAYS = VOTE_MAX_AHEAD_S // 86_400 - 1


class TeeMethods:
    """Answers about trusted hardware at one node and at its peers; ``voters`` are the names in this node's settings."""

    def __init__(
        self,
        attestations: Attestations,
        votes: VoteBook,
        mesh: Mesh,
        book: PeerBook,
        *,
        own_name: str,
        voters: Sequence[str],
    ) -> None:
        self._attestations, self._votes, self._mesh, self._book = attestations, votes, mesh, book
        self._name, self._voters = own_name, voters

    def methods(self) -> dict[str, Handler]:
        """Name to handler."""
        return {"tee.status": self.status, "tee.vote": self.vote}

    async def status(self) -> Json:
        """This node's hardware and code (None without any), and its peers in hardware, each with the last verdict on it."""
        return {
            "own": await self._own(),
            "votes": [self._vote(vote) for vote in self._votes.all()],
            "peers": [view for peer in self._book.all() if (view := self.of(peer.identity))],
        }

    async def vote(self, code_from: str, code_to: str, days: int) -> Json:
        """Vote that keys for this node's jobs may go from enclaves of one code to enclaves of other code, for so many days."""
        codes = [_code(text) for text in (code_from, code_to)]
        if not isinstance(days, int) or not 1 <= days <= MOST_DAYS:
            raise UsageError(f"days must be from 1 to {MOST_DAYS}", remedy="hansa tee vote FROM TO --days 30")
        if codes[0] == codes[1]:
            raise UsageError("FROM and TO are the same code: it has its keys already", remedy="see `hansa tee status`")
        vote = await self._votes.cast(codes[0], codes[1], int(time.time()) + days * 86400)
        return self._vote(vote)

    def voter_warnings(self) -> list[Json]:
        """Voters of the settings who are no peers that an operator pinned."""
        counted = {self._name, *(peer.name for peer in self._book.all() if not peer.introduced)}
        return [
            {
                "text": f"votes of '{name}' do not count (tee.voters): no peer was pinned here under that name",
                "remedy": "hansa peer invite, or correct tee.voters in hansa.toml",
            }
            for name in sorted(set(self._voters) - counted)
        ]

    def warnings(self) -> list[Json]:
        """What `hansa status` warns of: refused hardware, sealed state that does not open, and simulated hardware."""
        found = []
        for peer in self._book.all():
            standing = self._attestations.standing.get(peer.identity)
            if standing is not None and not standing.judged.accepted:
                text = f"the hardware of {peer.name} is refused: {standing.judged.why}"
                found.append({"text": text, "remedy": "hansa tee status"})
        sealed = self._attestations.model_keys.describe() or {}
        for what in (sealed.get("shut"), sealed.get("unread")):
            if what:
                remedy = "put the newest state back, or have a twin online (docs/tee.md, sealing)"
                found.append({"text": what, "remedy": remedy})
        prover = self._attestations.prover
        if prover is not None and prover.backend == INSECURE_SIMULATED:
            text = "INSECURE: this node only pretends to be in trusted hardware"
            found.append({"text": text, "remedy": "for worthless data only; see [tee] backend in hansa.toml"})
        return found

    def _vote(self, vote: Vote) -> Json:
        peer = self._book.get(vote.voter)
        codes = {"from": str(vote.code_from), "to": str(vote.code_to)}
        return codes | {"voter": peer.name if peer is not None else "this node", "until": vote.until}

    async def _own(self) -> Json | None:
        prover = self._attestations.prover
        if prover is None:
            return None
        try:
            code = await self._attestations.own_code()
        except HansaError as error:
            return {"backend": prover.backend, "platform": None, "code": None, "problem": error.message, "sealed": None}
        found = (None, None) if code is None else (code.platform, code.measurement.hex())
        sealed = self._attestations.model_keys.describe()
        return {"backend": prover.backend, "platform": found[0], "code": found[1], "problem": None, "sealed": sealed}

    def of(self, identity: bytes) -> Json | None:
        """What is known of a peer's hardware; None where it claims none."""
        link, peer = self._mesh.link(identity), self._book.get(identity)
        standing = self._attestations.standing.get(identity)
        claims = link.hello.hardware if link is not None else ""
        if peer is None or (not claims and standing is None):
            return None
        return {"peer": peer.name, "claims": claims or None, **_verdict(standing)}


def _verdict(standing: Standing | None) -> Json:
    if standing is None:
        return {"verdict": "not asked", "ago_s": None, "platform": None, "code": None, "reasons": []}
    told = standing.judged.as_dict()
    ago = round(time.time() - standing.at, 1)
    return {"verdict": told["verdict"], "ago_s": ago, "tcb_status": told["tcb_status"]} | {
        key: told[key] for key in ("platform", "code", "reasons")
    }


def _code(text: str) -> Code:
    """A code as `hansa tee status` writes it: PLATFORM:HEX."""
    platform, _, measurement = str(text).partition(":")
    length = MEASUREMENT_BYTES.get(platform)
    try:
        found = bytes.fromhex(measurement)
    except ValueError:
        found = b""
    if length is None or len(found) != length:
        raise UsageError(
            f"'{text}' is no code: it must be PLATFORM:MEASUREMENT, with {' or '.join(MEASUREMENT_BYTES)} and hex",
            remedy="copy it from `hansa tee status`",
        )
    return Code(platform, found)
