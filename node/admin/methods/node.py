"""The admin methods node.*: the node at a glance, its connections, its end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from hansa.node.admin.methods.jobs import JobMethods
from hansa.node.admin.methods.peers import PeerMethods
from hansa.node.admin.methods.tee import TeeMethods
from hansa.node.admin.server import Handler
from hansa.node.admin.views import Json
from hansa.node.data.catalog import Catalog
from hansa.node.net.discovery import Discovery
from hansa.node.net.doctor import Doctor
from hansa.node.net.listener import Listener
from hansa.node.own_record import OwnRecord

MANY_REFUSED = 100


class NodeMethods:
    """Answers about one node; ``stop`` ends it."""

    def __init__(
        self,
        own: OwnRecord,
        listener: Listener,
        doctor: Doctor,
        discovery: Discovery | None,
        *,
        peers: PeerMethods,
        tee: TeeMethods,
        jobs: JobMethods,
        catalog: Catalog,
        stop: Callable[[], None],
    ) -> None:
        self._own, self._listener, self._doctor, self._discovery = own, listener, doctor, discovery
        self._peers, self._tee, self._jobs, self._catalog, self._stop = peers, tee, jobs, catalog, stop
        self._started = time.time()

    def methods(self) -> dict[str, Handler]:
        """Name to handler."""
        return {"node.status": self.status, "node.doctor": self._doctor.examine, "node.stop": self.stop}

    async def status(self) -> Json:
        """The node at a glance."""
        own = self._own
        return {
            "name": own.name,
            "fingerprint": own.identity.fingerprint,
            "identity": own.identity.public.hex(),
            "key": own.identity.key_text,
            "version": own.version,
            "pid": os.getpid(),
            "uptime_s": round(time.time() - self._started, 1),
            "listen": own.listens_on,
            "addresses": list(own.addresses),
            "rss_mb": _rss_mb(),
            "peers": await self._peers.list(),
            "candidates": self._candidates(),
            **self._jobs.status(),
            "datasets": len(self._catalog.all()),
            "warnings": [
                *self._peers.warnings(),
                *self._tee.voter_warnings(),
                *self._warnings(),
                *self._tee.warnings(),
            ],
        }

    async def stop(self) -> Json:
        """End the daemon."""
        self._stop()
        return {"stopping": True}

    def _candidates(self) -> list[Json]:
        found = self._discovery.candidates.values() if self._discovery is not None else ()
        return [{"instance": c.instance, "address": c.address} for c in found]

    def _warnings(self) -> list[Json]:
        warnings = []
        if not self._own.addresses:
            text = "this node listens on every interface and tells peers no address: none can dial it"
            warnings.append({"text": text, "remedy": 'set listen.advertise = ["host:port"] in hansa.toml, restart'})
        if self._discovery is not None and self._discovery.problem:
            warnings.append({"text": self._discovery.problem, "remedy": "see the log, or turn discovery.zeroconf off"})
        if self._listener.refused > MANY_REFUSED:
            text = f"{self._listener.refused} connections from strangers were refused within an hour"
            warnings.append({"text": text, "remedy": "limit the port to your peers in the firewall"})
        return warnings


def _rss_mb() -> float | None:
    try:
        with open("/proc/self/statm") as file:
            return round(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
    except OSError:
        return None
