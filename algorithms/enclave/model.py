"""What a party keeps of a model that an enclave trained: the encrypted model, and what was opened to this party."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hansa.algorithms.errors import DataError
from hansa.algorithms.gbdt.model.tree_model import Importance
from hansa.protocols.wire import canonical

_VERSION = 1
_MAX_STATE = 1 << 29


@dataclass(frozen=True, slots=True)
class EnclaveModel:
    """``closed``: the model, the same bytes at all parties. Only enclaves of the accepted code have the key to it.

    ``opened`` is as in ``lr.model.PartyModel``, ``importance`` and ``history`` as in ``gbdt.model.tree_model.TreeModel``.
    """

    closed: bytes = field(repr=False)
    opened: dict[str, float] = field(default_factory=dict, repr=False)
    importance: dict[str, dict[str, Importance]] = field(default_factory=dict, repr=False)
    history: tuple[float, ...] = field(default=(), repr=False)

    def to_state(self) -> bytes:
        """Bytes to be sealed. What was opened is not among them: it stands in the job's result."""
        return canonical.encode({"version": _VERSION, "engine": "enclave", "closed": self.closed})

    @classmethod
    def from_state(cls, state: bytes) -> EnclaveModel:
        """The model of a state that this node sealed."""
        data: dict[str, Any] = canonical.decode_untrusted(state, _MAX_STATE)
        if data.get("version") != _VERSION or data.get("engine") != "enclave":
            raise DataError("the model was saved by another version of hansa", remedy="train the model anew")
        return cls(data["closed"])
