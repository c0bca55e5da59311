"""The relay process of a local network: `python -m hansa.node.lab.testnet.relay_process NET.json`.

SIGHUP makes it read its shape anew.
"""

from __future__ import annotations

import math
import signal
import sys
from functools import partial
from pathlib import Path

import trio

from hansa.node.lab.testnet.network import NetState, load_state
from hansa.node.lab.testnet.relay import serve_relay
from hansa.node.lab.testnet.shape import Shape, parse_bandwidth, parse_latency


def apply(state: NetState, shape: Shape) -> None:
    """Take over latency and bandwidth."""
    shape.latency_s = parse_latency(state.latency) if state.latency else 0.0
    shape.bytes_per_s = parse_bandwidth(state.bandwidth) if state.bandwidth else math.inf


async def serve(file: Path) -> None:
    """Relay every node's port until the process ends."""
    state, shape = load_state(file), Shape()
    apply(state, shape)
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            for name, port in state.relay_ports.items():
                target = ("127.0.0.1", state.ports[name])
                await nursery.start(partial(serve_relay, target, shape, port=port))
            async for _ in signals:
                apply(load_state(file), shape)


if __name__ == "__main__":
    trio.run(serve, Path(sys.argv[1]))
