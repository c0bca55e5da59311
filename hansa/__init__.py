"""hansa: a league of equals for machine learning on data that may not move.

These names are the public API; docs/api.md describes them. Each loads its module when it is first used (PEP 562), so
that ``import hansa`` loads neither trio nor numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hansa import errors
    from hansa.in_memory import run_parties
    from hansa.node.admin.client import connect
    from hansa.node.software import software_version
    from hansa.protocols.mpc.engine import Engine
    from hansa.protocols.mpc.engines import open_engine
    from hansa.protocols.mpc.fixed_point import decode, encode
    from hansa.protocols.mpc.session.session import Session

    __version__ = software_version()

__all__ = [
    "Engine",
    "Session",
    "__version__",
    "connect",
    "decode",
    "encode",
    "errors",
    "open_engine",
    "run_parties",
]

_MODULE_OF = {
    "Engine": "hansa.protocols.mpc.engine",
    "Session": "hansa.protocols.mpc.session.session",
    "connect": "hansa.node.admin.client",
    "decode": "hansa.protocols.mpc.fixed_point",
    "encode": "hansa.protocols.mpc.fixed_point",
    "open_engine": "hansa.protocols.mpc.engines",
    "run_parties": "hansa.in_memory",
}


if not TYPE_CHECKING:  # a type checker that sees it takes every name for one of hansa's

    def __getattr__(name: str) -> Any:
        if name == "errors":
            return import_module("hansa.errors")
        if name == "__version__":
            return import_module("hansa.node.software").software_version()
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'hansa' has no attribute {name!r}")
        return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
