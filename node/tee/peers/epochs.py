"""What this node remembers of enclaves' sealed state: the latest epoch token of each lineage that an enclave has shown.

Tokens count only from enclaves that have proven themselves on the channel that carries them. A host that puts an older sealed
file back, or goes on from one, is found by every member that saw the newer state (``keys.vault``). An enclave that begins a new
lineage has lost what it had sealed, and is believed.
"""

from __future__ import annotations

import json
from pathlib import Path

from hansa.node.sealing import write_whole
from hansa.node.tee.keys.epoch_tokens import EpochToken
from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire import limits

Lineages = dict[bytes, EpochToken]
"""The latest token of each lineage of one enclave."""


class SeenEpochs:
    """The tokens by enclave identity, kept in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, Lineages] = {}
        if path.exists():
            try:
                read = json.loads(path.read_text())
                self._seen = {str(identity): _decoded(bytes.fromhex(tokens)) for identity, tokens in read.items()}
            except (ValueError, AttributeError, TypeError, PeerMisbehaved) as error:
                raise SecurityError(
                    f"{path} cannot be read: this node has forgotten which state enclaves have shown it",
                    remedy="restore it from a backup, or remove it, and rely on the other members' memory",
                    file=str(path),
                ) from error

    def tokens_of(self, identity: bytes) -> bytes:
        """The latest token of every lineage of an enclave, one behind the other; empty before the first."""
        return _encoded(self._seen.get(identity.hex(), {}))

    def note(self, identity: bytes, shown: bytes, *, asked_with: bytes | None = None) -> None:
        """Remember the tokens that an accepted enclave shows.

        ``asked_with`` are its ``tokens_of`` when it was asked to prove itself (None: those of now). A token is compared with
        these. A later token may have come on another way meanwhile; the older one, still on its way, is then no rollback.

        Raises ``SecurityError`` where the enclave has shown a later epoch before, or another state of the same epoch.
        Raises it also for more than ``EPOCH_LINEAGES_MAX`` lineages: forgetting the oldest instead would let a host, which
        can begin lineages at will, push out the one that it wants to roll back. Raises ``PeerMisbehaved`` for other bytes.
        """
        known = self._seen.get(identity.hex(), {})
        before = known if asked_with is None else _decoded(asked_with)
        added: Lineages = {}
        for token in EpochToken.decode_all_untrusted(shown):
            latest = known.get(token.lineage)
            _refuse_rollback(token, before.get(token.lineage))
            if latest is None or token.epoch >= latest.epoch:
                _refuse_rollback(token, latest)
                if token != latest:
                    added[token.lineage] = token
        if len(known | added) > limits.EPOCH_LINEAGES_MAX:
            raise SecurityError(
                f"its sealed state has begun anew more than {limits.EPOCH_LINEAGES_MAX} times",
                remedy="ask its operator why; HOME/tee/epochs.json is what this node remembers of it",
            )
        if added and (known or len(self._seen) < limits.EPOCHS_MAX_ENCLAVES):
            self._seen[identity.hex()] = known | added
            self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = {identity: _encoded(tokens).hex() for identity, tokens in sorted(self._seen.items())}
        write_whole(self._path, json.dumps(kept).encode())


def _refuse_rollback(token: EpochToken, before: EpochToken | None) -> None:
    found = ""
    if before is not None and token.epoch < before.epoch:
        found = f"it shows epoch {token.epoch}, and has shown epoch {before.epoch} before"
    elif before is not None and token.epoch == before.epoch and token != before:
        found = f"it has shown two states of one epoch, {token.epoch}"
    if found:
        raise SecurityError(
            f"its sealed state was rolled back: {found}",
            remedy="ask its operator to put the newest state back; until then do not rely on it",
        )


def _decoded(tokens: bytes) -> Lineages:
    return {token.lineage: token for token in EpochToken.decode_all_untrusted(tokens)}


def _encoded(lineages: Lineages) -> bytes:
    return b"".join(token.encode() for token in lineages.values())
