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
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf

logger = logging.getLogger(__name__)

SERVICE = "_hansa._tcp.local."
MAX_CANDIDATES = 64
_RESOLVE_MS = 2000
_RETRY_S = 60.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something on the network that says it is a hansa node."""

    instance: str
    address: str
    seen: float


class Discovery:
    """Announces a node that listens on ``host``, and collects candidates; ``problem`` says why it cannot."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._instance = f"{os.urandom(6).hex()}.{SERVICE}"
        self.candidates: dict[str, Candidate] = {}
        self.problem = ""

    async def run(self, port: int, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Announce ``port`` and browse until cancelled; where the network is not ready, try again later."""
        try:
            import zeroconf  # noqa: PLC0415  # off by default, and 8 MB
        except ImportError:
            self.problem = "discovery.zeroconf is on, but the package zeroconf is not installed (pip install zeroconf)"
            task_status.started()
            return
        while True:
            try:
                await self._serve(port, task_status)
            except (OSError, zeroconf.Error) as error:
                self.problem = f"looking for nodes on the local network fails: {error}"
                logger.warning("%s", self.problem)
                task_status = trio.TASK_STATUS_IGNORED
                await trio.sleep(_RETRY_S)

    async def _serve(self, port: int, task_status: trio.TaskStatus[None]) -> None:
        from zeroconf import InterfaceChoice, ServiceBrowser, ServiceInfo, Zeroconf  # noqa: PLC0415  # see run

        send, receive = trio.open_memory_channel[tuple[str, bool]](MAX_CANDIDATES)
        token = trio.lowlevel.current_trio_token()

        def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
            del zeroconf, service_type

            def tell() -> None:
                with suppress(trio.WouldBlock, trio.BrokenResourceError):  # what is beyond the bound is not looked at
                    send.send_nowait((name, state_change.name != "Removed"))

            with suppress(trio.RunFinishedError):
                token.run_sync_soon(tell)

        addresses = await trio.to_thread.run_sync(_own_addresses, self._host)
        local = all(address.is_loopback for address in addresses)
        interfaces = [str(address) for address in addresses] if local else InterfaceChoice.Default
        zeroconf = await trio.to_thread.run_sync(lambda: Zeroconf(interfaces=interfaces))
        try:
            info = ServiceInfo(
                SERVICE,
                self._instance,
                addresses=[address.packed for address in addresses],
                port=port,
                properties={"v": "1"},
                server=f"{self._instance.split('.')[0]}.local.",
            )
            await trio.to_thread.run_sync(zeroconf.register_service, info)
            await trio.to_thread.run_sync(lambda: ServiceBrowser(zeroconf, SERVICE, handlers=[changed]))
            self.problem = ""
            task_status.started()
            async for name, there in receive:
                await self._note(zeroconf, name, there)
        finally:
            receive.close()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(zeroconf.close)

    async def _note(self, zeroconf: Zeroconf, name: str, there: bool) -> None:
        if name == self._instance:
            return
        if not there:
            self.candidates.pop(name, None)
            return
        info = await trio.to_thread.run_sync(
            lambda: zeroconf.get_service_info(SERVICE, name, timeout=_RESOLVE_MS), abandon_on_cancel=True
        )
        addresses = info.parsed_addresses() if info is not None else []
        if info is None or not addresses or not info.port:
            return
        while len(self.candidates) >= MAX_CANDIDATES:
            self.candidates.pop(min(self.candidates, key=lambda key: self.candidates[key].seen))
        host = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
        instance = "".join(c for c in name.removesuffix("." + SERVICE) if c.isalnum() or c in "-_")[:32]
        self.candidates[name] = Candidate(instance, f"{host}:{info.port}", time.time())


def _own_addresses(host: str) -> list[IPv4Address]:
    """The addresses to announce: the one listened on, or, for every interface, those of this machine's."""
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104  # compared with, not bound to
        import ifaddr  # noqa: PLC0415  # zeroconf's own dependency

        found = [IPv4Address(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
        return [address for address in found if not address.is_loopback]
    return [IPv4Address(socket.gethostbyname(host))]
