"""A shaping TCP relay: what crosses it is delayed and throttled, so that one machine can play a wide-area network.

Latency is one way, added in each direction; bandwidth is per connection and direction. Both may change while
connections stand. The relay sees ciphertext only, belongs to `hansa net` and `hansa bench`, and needs no root.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from hansa.node.lab.testnet.shape import Shape

_CHUNK = 64 * 1024
_BUFFERED = 8 << 20
"""Bytes under way in one direction of one connection; more wait in the sender's socket."""
_BURST_S = 0.01


@dataclass(slots=True)
class _Pipe:
    """One direction of one connection: chunks with the time at which they may leave."""

    shape: Shape
    free_at: float = 0.0
    held: int = 0
    room: trio.Event = field(default_factory=trio.Event)

    def departure(self, size: int) -> float:
        """When a chunk that came now has crossed: after those before it, at the bandwidth, plus the latency."""
        now = trio.current_time()
        self.free_at = max(self.free_at, now - _BURST_S) + size / self.shape.bytes_per_s
        return max(self.free_at, now) + self.shape.latency_s


async def serve_relay(
    target: tuple[str, int],
    shape: Shape,
    *,
    port: int = 0,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Relay loopback connections to ``target`` until cancelled; reports its port."""
    listener = (await trio.open_tcp_listeners(port, host="127.0.0.1"))[0]
    task_status.started(listener.socket.getsockname()[1])
    await trio.serve_listeners(_handler(target, shape), [listener])


def _handler(target: tuple[str, int], shape: Shape) -> Callable[[trio.SocketStream], Awaitable[None]]:
    async def handle(near: trio.SocketStream) -> None:
        try:
            far = await trio.open_tcp_stream(*target)
        except OSError:
            return  # the node behind is down: the dialer sees the connection close
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(_carry, near, far, _Pipe(shape), nursery.cancel_scope)
            nursery.start_soon(_carry, far, near, _Pipe(shape), nursery.cancel_scope)

    return handle


async def _carry(source: trio.SocketStream, sink: trio.SocketStream, pipe: _Pipe, whole: trio.CancelScope) -> None:
    send, receive = trio.open_memory_channel[tuple[float, bytes]](math.inf)  # bounded by bytes, below

    async def take_in() -> None:
        async with send:
            while data := await source.receive_some(_CHUNK):
                pipe.held += len(data)
                await send.send((pipe.departure(len(data)), data))
                while pipe.held > _BUFFERED:
                    pipe.room = trio.Event()
                    await pipe.room.wait()

    async def let_out() -> None:
        async for departure, data in receive:
            await trio.sleep_until(departure)
            await sink.send_all(data)
            pipe.held -= len(data)
            pipe.room.set()
        await sink.send_eof()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_in)
            nursery.start_soon(let_out)
    except* (trio.BrokenResourceError, trio.ClosedResourceError):
        whole.cancel()  # one side broke: both end, as without a relay
