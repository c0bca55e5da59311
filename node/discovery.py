"""Nodes on the local network, by zeroconf: candidates only, until an operator pins one.

The announcement names nothing of the institution: a random instance name, the port and the protocol's version. The
library's threads reach trio through a token and a bounded channel.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from hansa.node.errors import MissingExtra

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf

logger = logging.getLogger(__name__)

SERVICE = "_hansa._tcp.local."
MAX_CANDIDATES = 64
_RESOLVE_MS = 2000


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something on the network that says it is a hansa node."""

    instance: str
    address: str
    seen: float


class Discovery:
    """Announces this node and collects candidates. ``interfaces`` limits it (tests use loopback)."""

    def __init__(self, *, interfaces: list[str] | None = None) -> None:
        self._interfaces = interfaces
        self._instance = f"{os.urandom(6).hex()}.{SERVICE}"
        self.candidates: dict[str, Candidate] = {}

    async def run(self, port: int, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Announce ``port`` and browse until cancelled."""
        try:
            from zeroconf import InterfaceChoice, ServiceBrowser, ServiceInfo, Zeroconf  # noqa: PLC0415  # off by default
        except ImportError as error:
            raise MissingExtra(
                "discovery.zeroconf needs the package zeroconf", remedy="pip install zeroconf", package="zeroconf"
            ) from error
        send, receive = trio.open_memory_channel[tuple[str, bool]](MAX_CANDIDATES)
        token = trio.lowlevel.current_trio_token()

        def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
            del zeroconf, service_type

            def tell() -> None:
                with suppress(trio.WouldBlock):  # of a flood, what is beyond the bound is not looked at
                    send.send_nowait((name, state_change.name != "Removed"))

            with suppress(trio.RunFinishedError):
                token.run_sync_soon(tell)

        interfaces = self._interfaces if self._interfaces is not None else InterfaceChoice.Default
        zeroconf = await trio.to_thread.run_sync(lambda: Zeroconf(interfaces=interfaces))
        try:
            addresses = [socket.inet_aton(ip) for ip in self._interfaces or []]
            info = ServiceInfo(
                SERVICE,
                self._instance,
                addresses=addresses or None,
                port=port,
                properties={"v": "1"},
                server=f"{self._instance.split('.')[0]}.local.",
            )
            await trio.to_thread.run_sync(zeroconf.register_service, info)
            browser = await trio.to_thread.run_sync(lambda: ServiceBrowser(zeroconf, SERVICE, handlers=[changed]))
            task_status.started()
            async for name, there in receive:
                await self._note(zeroconf, name, there)
            browser.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(zeroconf.close)

    async def _note(self, zeroconf: Zeroconf, name: str, there: bool) -> None:
        if name == self._instance:
            return
        if not there:
            self.candidates.pop(name, None)
            return
        info = await trio.to_thread.run_sync(lambda: zeroconf.get_service_info(SERVICE, name, timeout=_RESOLVE_MS))
        addresses = info.parsed_addresses() if info is not None else []
        if info is None or not addresses or not info.port:
            return
        while len(self.candidates) >= MAX_CANDIDATES:
            self.candidates.pop(min(self.candidates, key=lambda key: self.candidates[key].seen))
        host = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
        instance = "".join(c for c in name.removesuffix("." + SERVICE) if c.isalnum() or c in "-_")[:32]
        self.candidates[name] = Candidate(instance, f"{host}:{info.port}", time.time())
