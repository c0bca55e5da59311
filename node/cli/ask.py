"""One question to the daemon of ``--home``.

Commands call the methods of the admin socket by their names; notebooks use ``admin.api.AdminApi``.
"""

from __future__ import annotations

import argparse
from typing import Any

from hansa.node.admin.client import AdminClient


def ask(args: argparse.Namespace, method: str, **params: Any) -> Any:
    """Call a method; raises ``DaemonNotRunning``, or the daemon's own error."""
    with AdminClient(args.home) as client:
        return client.call(method, **params)
