"""What a party keeps of a model that an enclave trained: the model itself, closed, and what was opened to this party."""

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
    """``closed`` opens with the job's key, which only enclaves of the accepted code have; all parties have the same bytes.

    ``opened``, ``importance`` and ``history`` are as in ``model.PartyModel`` and ``gbdt.model.TreeModel``.
    """

    closed: bytes = field(repr=False)
    opened: dict[str, float] = field(default_factory=dict, repr=False)
    importance: dict[str, dict[str, Importance]] = field(default_factory=dict, repr=False)
    history: tuple[float, ...] = field(default=(), repr=False)

    def to_state(self) -> bytes:
        """Bytes to be sealed; what was opened stands in the job's result."""
        return canonical.encode({"version": _VERSION, "engine": "enclave", "closed": self.closed})

    @classmethod
    def from_state(cls, state: bytes) -> EnclaveModel:
        """The model of a state that this node sealed."""
        data: dict[str, Any] = canonical.decode_untrusted(state, _MAX_STATE)
        if data.get("version") != _VERSION or data.get("engine") != "enclave":
            raise DataError("the model was saved by another version of hansa", remedy="train the model anew")
        return cls(data["closed"])
