"""What this node tells peers of itself: its name, its addresses and its version, in a signed record and in each Hello."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from hansa.config.settings import Settings
from hansa.node.identity import Identity
from hansa.node.software import software_version
from hansa.node.store import Store
from hansa.protocols.wire.messages import Hello
from hansa.protocols.wire.record import PeerRecord

EVERY_INTERFACE = {"0.0.0.0", "::", ""}  # noqa: S104  # compared with, not bound to


class OwnRecord:
    """The record of one node; ``port`` is where it listens now."""

    def __init__(self, store: Store, identity: Identity, settings: Settings, port: Callable[[], int]) -> None:
        self._store, self._settings, self._port = store, settings, port
        self.identity = identity
        self.name = settings.node.name
        self.version = software_version()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where peers reach this node; none where it listens on every interface and is not told what to advertise."""
        listen = self._settings.listen
        if listen.advertise or listen.host in EVERY_INTERFACE:
            return listen.advertise
        host = f"[{listen.host}]" if ":" in listen.host else listen.host
        return (f"{host}:{self._port()}",)

    @property
    def listens_on(self) -> str:
        """The interface and port of this node's listener."""
        return f"{self._settings.listen.host}:{self._port()}"

    def record(self) -> PeerRecord:
        """The signed record; its sequence number moves only when what it says does."""
        said = json.dumps([self.name, self.addresses, self.identity.static.public.hex()]).encode()
        if self._store.meta("record-says") != said:
            self._store.set_meta("record-sequence", max(self._sequence + 1, int(time.time())).to_bytes(8, "big"))
            self._store.set_meta("record-says", said)
        return self.identity.record(self.name, self.addresses, self._sequence)

    def outnumber(self, sequence: int) -> None:
        """Peers hold another record of this node under this number: the next one is signed under a higher number."""
        self._store.set_meta("record-sequence", sequence.to_bytes(8, "big"))
        self._store.set_meta("record-says", b"")

    def hello(self) -> Hello:
        """What opens each control connection."""
        return Hello(self.name, self.version, int(time.time()), self.addresses, self._settings.tee.backend)

    @property
    def _sequence(self) -> int:
        return int.from_bytes(self._store.meta("record-sequence") or b"", "big")
