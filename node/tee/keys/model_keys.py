"""The keys of the models that this enclave trains: made with a job, kept in the vault, which is opened when first needed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hansa.config.errors import HansaError
from hansa.node.errors import EvidenceError
from hansa.node.tee.evidence.prover import Prover
from hansa.node.tee.keys.sealing_key import sealing_key
from hansa.node.tee.keys.vault import Vault
from hansa.protocols.errors import SecurityError
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.consent.contract import Contract

log = logging.getLogger(__name__)


class ModelKeys:
    """``me`` is this node's identity, ``prover`` None where it has no hardware.

    The first use opens the vault, which asks the hardware for milliseconds: call ``open`` in a thread before. ``on_made`` is
    called with the id of a job whose key is new; ``on_shut`` with the reason when the vault is found to be rolled back.
    """

    def __init__(self, home: Path, prover: Prover | None, me: bytes) -> None:
        self._home, self._prover, self._me = home, prover, me
        self._vault: Vault | None = None
        self._opening = threading.Lock()
        self.on_made: Callable[[bytes], None] = lambda job_id: None
        self.on_shut: Callable[[str], None] = lambda why: None

    @property
    def vault(self) -> Vault:
        """The vault. Raises ``EvidenceError`` where the hardware can seal nothing, ``SecurityError`` where there is none."""
        if self._prover is None:
            raise SecurityError("this node runs in no trusted hardware", remedy="see [tee] in hansa.toml")
        with self._opening:
            if self._vault is None:
                code, backend = Code(*self._prover.own_code()), self._prover.backend
                self._vault = Vault(
                    self._home / "tee" / "keys.sealed",
                    code,
                    self._me,
                    lambda: sealing_key(backend, code, self._home),
                )
        return self._vault

    def open(self) -> None:
        """Open the vault and fetch its sealing key; blocking. Raises as ``vault``."""
        self.vault.epoch_token()

    def of(self, contract: Contract) -> bytes:
        """The key of the model that a contract makes or uses.

        Raises ``SecurityError`` where this enclave has none for this contract, or its state is shut.
        """
        if contract.model is not None:
            return self.vault.key(contract)
        key = self.vault.make(contract)
        self.on_made(contract.job_id)
        return key

    def epoch_token(self) -> bytes:
        """The token of the vault's epoch, also of a vault that is shut; empty where the hardware seals nothing."""
        try:
            return self.vault.epoch_token()
        except HansaError:
            return b""

    def compare(self, seen: bytes) -> None:
        """Compare the vault with the tokens that a member has seen of it (``Vault.compare``); bytes that are none are ignored."""
        if not seen:
            return
        try:
            before = self.vault.why_shut
            self.vault.compare(seen)
        except HansaError:
            return
        if self.vault.why_shut and not before:
            self.on_shut(self.vault.why_shut)

    def describe(self) -> dict[str, Any] | None:
        """For people: how many keys, the epoch, why the vault is shut, why its file was not read; None if nothing is sealed."""
        try:
            vault = self.vault
            vault.epoch_token()
        except HansaError:
            return None
        shut, unread = vault.why_shut or None, vault.why_unread or None
        return {"keys": len(vault), "epoch": vault.epoch, "shut": shut, "unread": unread}

    def reason_to_refuse(self, contract: Contract) -> str | None:
        """Why this enclave has no key for the contract, in words that peers may read; None where it has, or can make one."""
        try:
            self.open()  # raises where the hardware gives no key to seal with
            if contract.model is not None:
                self.vault.key(contract)
            else:
                self.vault.check_makes(contract)
        except EvidenceError as error:
            log.error("%s", error)
            return "its hardware gives no sealing key"
        except HansaError as error:
            return error.message
        return None
